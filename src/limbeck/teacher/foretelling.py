"""What language models say of the tokens at some places, without all logits at once.

A head over 50,000 tokens is the memory of a language model: of 8,192 places its logits alone are
1.6 GB, and a loss and its gradient take them several times over. So the head is asked for some
places at a time, what a loss looks at is kept of its logits, and where gradients are wanted it is
asked again on the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.data.batches import Batch
from limbeck.errors import TeacherError
from limbeck.objective.foretold import all_foretold, foretold, likeliest
from limbeck.tasks.head import OF_TOKENS, Head
from limbeck.teacher.family import FAMILIES, Family
from limbeck.teacher.masked_lm import check_vocabulary_head, vocabulary_at

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint

CHUNK_NUMBERS = 2**24
"""Logits that are held at a time: 64 MB of them."""


@dataclass(frozen=True)
class Wanted:
    """What is asked at each place.

    Attributes:
        tokens: int64 [places], what stands there, -1 where nobody knows.
        likely: int64 [places, k], tokens whose log-probabilities are wanted beside, with that of
            all the rest as one; None for those that the model finds likeliest.
        top_k: How many of these; 0 for the whole vocabulary in its order.
    """

    tokens: Tensor
    likely: Tensor | None
    top_k: int

    def of(self, logits: Tensor, part: slice) -> Tensor:
        """What some places' logits [places, vocabulary] say of it (`objective.foretold`)."""
        tokens = self.tokens[part]
        if self.likely is not None:
            return foretold(logits, tokens, self.likely[part])
        if not self.top_k:
            return all_foretold(logits, tokens)
        return likeliest(logits, tokens, k=min(self.top_k, logits.shape[1]))


def asked_of(batch: Batch, device: torch.device, top_k: int) -> Wanted:
    """What a batch asks of a language model, on a device."""
    assert batch.tokens is not None
    likely = None if batch.likely is None else batch.likely.to(device, non_blocking=True)
    return Wanted(batch.tokens.to(device, non_blocking=True), likely, top_k)


def check_head_of_tokens(checkpoint: Checkpoint, head: Head) -> None:
    """Refuse architectures whose language-model head limbeck does not know how to find.

    Raises:
        TeacherError: Naming those that it knows.
    """
    if head == "masked_lm":
        check_vocabulary_head(checkpoint)
    if head == "causal_lm" and not (
        checkpoint.family.causal and checkpoint.family.vocabulary_head is not None
    ):
        known = [name for name, family in FAMILIES.items() if family.causal]
        raise TeacherError(
            f"{checkpoint.path}/config.json, model_type",
            f"limbeck knows no causal language model of the kind {checkpoint.config.model_type!r}",
            f"Give one of {', '.join(known)}.",
        )
    assert head in OF_TOKENS


@contextmanager
def foretelling(
    model: PreTrainedModel, family: Family, places: Tensor, wanted: Wanted
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Inside, `model` gives as logits what is wanted at some places, and nothing of others.

    Args:
        model: With a language model's head.
        family: Its family.
        places: int64, counted row after row in [batch * tokens], on the model's device.
        wanted: Of just these.

    Yields:
        What the model's logits are to be handed to: most are what is wanted already.
    """
    decoder: Any = model.get_output_embeddings()
    whole, own = decoder.forward, vars(decoder).get("forward")
    done: list[bool] = []

    def forward(states: Tensor) -> Tensor:
        done.append(True)
        return _in_chunks(whole, states, wanted, int(decoder.weight.shape[0]))

    def reduced(logits: Tensor) -> Tensor:  # MobileBERT multiplies by the table itself
        return logits if done else wanted.of(logits, slice(None))

    decoder.forward = forward
    try:
        with vocabulary_at(model, family, places):
            yield reduced
    finally:
        del decoder.forward
        if own is not None:  # somebody's own, as that of a table updated by row
            decoder.forward = own


def _in_chunks(
    head: Callable[[Tensor], Tensor], states: Tensor, wanted: Wanted, vocabulary: int
) -> Tensor:
    import torch
    from torch.utils.checkpoint import checkpoint

    size = max(1, CHUNK_NUMBERS // vocabulary)
    if len(states) <= size:
        return wanted.of(head(states), slice(None))

    def said(some: Tensor, part: slice) -> Tensor:
        return wanted.of(head(some), part)

    parts: list[Tensor] = []
    for start in range(0, len(states), size):
        part = slice(start, start + size)
        if torch.is_grad_enabled():
            again: Any = checkpoint(
                said, states[part], part, use_reentrant=False, preserve_rng_state=False
            )
            parts.append(again)
        else:
            parts.append(said(states[part], part))
    return torch.cat(parts)
