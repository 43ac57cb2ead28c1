"""What is kept of the teacher for an objective, and how many bytes that takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import KnowledgeConfig
from limbeck.knowledge.columns import in_int8
from limbeck.knowledge.store import Kind
from limbeck.teacher.attention import basis, numbers
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from limbeck.teacher.load import Checkpoint

_ID, _SCALE, _ERRORS = 24, 4, 8
"""Bytes of a row's id and hash, of a token's int8 scale, of a row's rounding errors."""


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
    return Kind(kept, precision, settings.states if vectors else "float16")


def knowledge_mb(kind: Kind, config: PreTrainedConfig, classes: int, lengths: np.ndarray) -> float:
    """Size on disk in MB of what `kind` keeps, before it is recorded.

    Args:
        kind: What is kept.
        config: The teacher's.
        classes: Of its head.
        lengths: Tokens of each text.
    """
    size = (_ID + 4 * classes) * len(lengths)
    for part in kind.parts:
        count = numbers(config, part, lengths)
        if in_int8(part, kind):
            size += count + _SCALE * int(lengths.sum()) + _ERRORS * len(lengths)
        else:
            size += 2 * count
    return size / 1e6
