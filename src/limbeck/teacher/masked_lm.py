"""Models of masked words: loading them, and asking for the vocabulary where words are masked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from limbeck.errors import TeacherError
from limbeck.teacher.family import FAMILIES, Family

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint


def check_vocabulary_head(checkpoint: Checkpoint) -> None:
    """Refuse architectures whose masked-LM head limbeck does not know how to find.

    Raises:
        TeacherError: Naming those that it knows.
    """
    if not _fills_gaps(checkpoint.family):
        known = [name for name, family in FAMILIES.items() if _fills_gaps(family)]
        raise TeacherError(
            f"{checkpoint.path}/config.json, model_type",
            f"limbeck knows no masked-LM head of a {checkpoint.config.model_type!r} model",
            f"Use terms on layers alone (hidden, attention, relations), or one of "
            f"{', '.join(known)}.",
        )


def _fills_gaps(family: Family) -> bool:
    return family.vocabulary_head is not None and not family.causal


def load_masked_lm(
    checkpoint: Checkpoint, *, attention: str = "eager", new_head: bool = False, seed: int = 0
) -> PreTrainedModel:
    """The checkpoint with its masked-LM head, float32.

    Args:
        checkpoint: From `look_at`.
        attention: The attention implementation, ``eager`` or ``sdpa``.
        new_head: Make what is missing of the head: it is to be trained.
        seed: Of what is made.

    Raises:
        TeacherError: If weights of the head are missing and no new ones were asked for.
    """
    import torch
    from transformers import AutoModelForMaskedLM

    from limbeck.teacher.load import loaded

    check_vocabulary_head(checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, missing = loaded(
            AutoModelForMaskedLM,
            checkpoint,
            checkpoint.config,
            attention=attention,
            another_head=False,
        )
    body = f"{model.base_model_prefix}."
    gaps = [name for name in missing if not new_head or name.startswith(body)]
    if gaps:
        raise TeacherError(
            checkpoint.path,
            f"{len(gaps)} weights are not in the checkpoint, {gaps[0]} among them: what it expects "
            "at masked words would be random",
            "Give a checkpoint with a masked-LM head as pretraining.teacher (--set "
            "pretraining.teacher=…), or leave the logits term out of pretraining.terms.",
        )
    return model


@contextmanager
def vocabulary_at(model: PreTrainedModel, family: Family, places: Tensor) -> Iterator[None]:
    """Inside, `model` gives logits [masked, vocabulary] of those places and of no others.

    A head over 30,000 tokens costs as much as a small encoder; 85 % of its rows say nothing that a
    loss would look at.

    Args:
        model: With a masked-LM head.
        family: Its family.
        places: Counted row after row in [batch * tokens], on the model's device.
    """
    assert family.vocabulary_head is not None  # check_vocabulary_head has been there
    head = model.get_submodule(family.vocabulary_head)

    def at_places(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        states, *others = inputs
        return (states.flatten(0, 1).index_select(0, places), *others)

    handle = head.register_forward_pre_hook(at_places)
    try:
        yield
    finally:
        handle.remove()
