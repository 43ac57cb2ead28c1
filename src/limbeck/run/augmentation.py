"""The altered copies that a recipe asks for, and the masked language model that they may need."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from limbeck.config.recipe import DataConfig, TeacherConfig
from limbeck.config.stages import AugmentConfig
from limbeck.data.altered import altered_copies, replaced_copies
from limbeck.data.texts import Texts
from limbeck.errors import RecipeError, TeacherError
from limbeck.knowledge.candidates import candidate_words
from limbeck.knowledge.whole_words import whole_words
from limbeck.teacher.load import Checkpoint, look_at
from limbeck.teacher.masked_lm import check_vocabulary_head, load_masked_lm

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_REMEDY = (
    "Name a checkpoint with a masked-LM head as data.augment.masked_lm: the encoder that the "
    "teacher was fine-tuned from, or one that `limbeck pretrain` makes out of plain text; or use "
    "data.augment.by=words."
)


def masked_lm_of(augment: AugmentConfig) -> Checkpoint | None:
    """The model that is to be asked for words, looked at; None where none is.

    Raises:
        TeacherError: If there is no such checkpoint, or it is no masked language model.
    """
    if augment.masked_lm is None:
        return None
    checkpoint = look_at(TeacherConfig(path=augment.masked_lm), role="masked language model")
    try:
        check_vocabulary_head(checkpoint)
    except TeacherError as error:
        raise TeacherError(error.where, error.found, _REMEDY) from None
    whole_words(checkpoint.tokenizer, int(checkpoint.config.vocab_size))
    return checkpoint


def copies_of(
    texts: Texts,
    data: DataConfig,
    masked_lm: Checkpoint | None,
    *,
    seed: int,
    folder: Path | None,
    knowledge: Path | None,
) -> Texts | None:
    """Altered copies of texts as `data.augment` wants them, or None if it wants none.

    Args:
        texts: The labelled file's rows.
        data: The recipe's `data`.
        masked_lm: From `masked_lm_of`.
        seed: Of the copies.
        folder: On whose disk texts are kept while the process needs them.
        knowledge: Where a model's answers are recorded, in ``candidates/``; None forgets them.

    Raises:
        TeacherError: If the model has no masked-LM head.
    """
    wanted = data.augment
    if not wanted.copies:
        return None
    if masked_lm is None:
        return altered_copies(
            texts, copies=wanted.copies, share=wanted.share, seed=seed, folder=folder
        )
    if texts.paired:
        raise RecipeError(
            "data.augment.by",
            "it is masked_lm, which replaces words of single texts, but the rows are pairs",
            "Use data.augment.by=words.",
        )
    with ExitStack() as stack:
        place = knowledge or Path(stack.enter_context(TemporaryDirectory()))
        candidates = candidate_words(
            texts,
            _loaded(masked_lm),
            masked_lm,
            count=wanted.candidates,
            max_tokens=data.max_tokens,
            folder=place / "candidates",
        )
        return replaced_copies(
            texts, candidates, copies=wanted.copies, share=wanted.share, seed=seed, folder=folder
        )


def _loaded(checkpoint: Checkpoint) -> PreTrainedModel:
    import torch

    try:
        model = load_masked_lm(checkpoint, attention="sdpa")
    except TeacherError as error:
        raise TeacherError(error.where, error.found, _REMEDY) from None
    if torch.cuda.is_available():
        model.to("cuda")  # pyright: ignore[reportArgumentType]
    return model
