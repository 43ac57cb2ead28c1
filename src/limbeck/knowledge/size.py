"""What is kept of the teacher for an objective, and how many bytes that takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import KnowledgeConfig
from limbeck.data.likely import SHOWN, width
from limbeck.knowledge.kind import Kind
from limbeck.tasks.head import OF_TOKENS, head_of
from limbeck.teacher.attention import basis, numbers
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from limbeck.teacher.load import Checkpoint

_TOP_K = 64
"""Tokens at each place, where the recipe does not say."""
_ROW, _LIST, _SCALE, _ERRORS = 28, 8, 4, 8
"""Bytes of a row's id, hash and length; of its place in a column of lists; of a token's int8 scale;
of a row's rounding errors."""


def kind_for(
    parts: Iterable[Part], checkpoint: Checkpoint, settings: KnowledgeConfig, *, precision: str
) -> Kind:
    """What to keep so that `parts` can be given.

    Args:
        parts: What the objective's terms look at.
        checkpoint: The teacher's.
        settings: The recipe's `knowledge`.
        precision: Arithmetic of the teacher's pass.
    """
    kept = basis(checkpoint.family, parts)
    vectors = any(part.what != "attention" for part in kept)
    top_k = 0
    if head_of(checkpoint.config) in OF_TOKENS:
        recorded = settings.source == "recorded"
        top_k = settings.top_k or (_TOP_K if recorded else 0)
        top_k = min(top_k, int(checkpoint.config.vocab_size))
    return Kind(kept, precision, settings.states if vectors else "float16", top_k)


def judged_kind(checkpoint: Checkpoint) -> Kind:
    """What is kept of a teacher on rows that are judged."""
    of_tokens = head_of(checkpoint.config) in OF_TOKENS
    return Kind(top_k=min(SHOWN, int(checkpoint.config.vocab_size)) if of_tokens else 0)


def numbers_a_place(kind: Kind, classes: int) -> int:
    """Numbers that a head says about each row, word or place, as `kind` keeps them."""
    return width(kind.top_k) if kind.top_k else classes


def knowledge_mb(kind: Kind, config: PreTrainedConfig, logits: float, lengths: np.ndarray) -> float:
    """Size on disk in MB of what `kind` keeps, before it is recorded.

    Args:
        kind: What is kept.
        config: The teacher's.
        logits: Numbers that its head says about a row, on average.
        lengths: Tokens of each text.
    """
    rows, tokens = len(lengths), int(lengths.sum())
    size = (_ROW + 4 * logits) * rows
    for part in kind.parts:
        count = numbers(config, part, lengths)
        size += (count if kind.int8(part) else 2 * count) + _LIST * rows
        if kind.int8(part):
            size += _SCALE * tokens + (_LIST + _ERRORS) * rows
    return size / 1e6
