"""A student that gives vectors: how wide they are, and the layer that makes them as wide."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from limbeck.config.shapes import Layered
from limbeck.config.student import StudentConfig
from limbeck.errors import StudentError
from limbeck.teacher.pooling import Dense, set_vectors, vector_width, vectors_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig


def with_vectors(
    config: PreTrainedConfig, teacher: PreTrainedConfig | None, wanted: StudentConfig
) -> None:
    """Note in a student's config that it makes vectors as its teacher does, or that it makes none.

    Args:
        config: The student's.
        teacher: The teacher's, or None for a student with another head.
        wanted: The recipe's `student`: whether its vectors are as wide as the teacher's.
    """
    vectors = vectors_of(teacher) if teacher is not None else None
    if vectors is not None and teacher is not None:
        theirs = vector_width(teacher)
        own = replace(vectors_of(config) or vectors, normalize=vectors.normalize)
        if wanted.vectors == "own":
            own = replace(own, dense=None)
        elif theirs != (own.dense.width if own.dense else config.hidden_size):
            own = replace(own, dense=Dense(theirs))
        vectors = own
    set_vectors(config, vectors)


def with_layer_to_cut(
    weights: dict[str, Tensor], teacher: PreTrainedConfig, student: PreTrainedConfig
) -> dict[str, Tensor]:
    """The teacher's weights with those of the student's dense layer, to be cut to its width.

    Where the teacher has no such layer, the identity stands for it: cut like all that reads the
    stream, it becomes the way back from the student's stream to the teacher's.
    """
    import torch

    own, theirs = vectors_of(student), vectors_of(teacher)
    if own is None or theirs is None:
        return weights
    if own.dense is None:
        return {name: value for name, value in weights.items() if not name.startswith("dense.")}
    if theirs.dense is None:
        return weights | {"dense.weight": torch.eye(int(teacher.hidden_size))}
    return weights


def refuse_unbuildable(architecture: Layered) -> None:
    """Refuse a sentence encoder of another architecture than the teacher's.

    Raises:
        StudentError: Saying what to do.
    """
    if architecture != "same":
        raise StudentError(
            "student.architecture",
            f"it is {architecture}, but a student that gives vectors is cut out of its teacher",
            "Leave it out, use static, or start from an encoder of that architecture "
            "(student.checkpoint).",
        )
