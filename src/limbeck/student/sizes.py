"""The sizes of a student: a named shape, the recipe's own numbers, the rest after the teacher."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.config.recipe import StudentConfig
from limbeck.config.shapes import SHAPES
from limbeck.errors import StudentError

_EMBEDDING = 128
_HEADS = 4
_FEED_FORWARDS = 4
"""ALBERT's and MobileBERT's own."""


@dataclass(frozen=True)
class Widths:
    """Widths of an encoder.

    Attributes:
        hidden: Of the residual stream.
        heads: Attention heads a layer.
        intermediate: Neurons of a feed-forward layer.
    """

    hidden: int
    heads: int
    intermediate: int


@dataclass(frozen=True)
class ThinLayers:
    """Inside MobileBERT's layers.

    Attributes:
        bottleneck: Width of attention and feed-forward networks.
        heads: Attention heads.
        intermediate: Neurons of each feed-forward network.
        feed_forwards: How many of them.
    """

    bottleneck: int
    heads: int
    intermediate: int
    feed_forwards: int


def wanted_widths(wanted: StudentConfig, teacher: Widths) -> Widths:
    """The widths of a student whose layers are built like its teacher's.

    Raises:
        StudentError: For heads that do not divide the width.
    """
    shape = SHAPES[wanted.shape] if wanted.shape else None
    hidden = wanted.hidden or (shape.hidden if shape else teacher.hidden)
    heads = wanted.heads or (shape.heads if shape and not wanted.hidden else None)
    heads = heads or _heads_for(hidden, teacher)
    intermediate = wanted.intermediate or (
        shape.intermediate
        if shape and not wanted.hidden
        else round(teacher.intermediate * hidden / teacher.hidden)
    )
    if hidden % heads:
        raise StudentError(
            "student.heads",
            f"{heads} heads do not divide a width of {hidden}",
            "Choose student.heads so that student.hidden is a multiple of it.",
        )
    return Widths(hidden, heads, intermediate)


def wanted_thin_layers(wanted: StudentConfig, hidden: int) -> ThinLayers:
    """What is inside MobileBERT's layers, after a stream of width `hidden`.

    Raises:
        StudentError: For a bottleneck that is none, or that its heads do not divide.
    """
    shape = SHAPES[wanted.shape] if wanted.shape and not wanted.hidden else None
    own = shape if shape is not None and not wanted.bottleneck else None
    bottleneck = wanted.bottleneck or (own.bottleneck if own else None) or max(1, hidden // 4)
    if bottleneck >= hidden:
        raise StudentError(
            "student.bottleneck",
            f"{bottleneck} is no bottleneck in a stream of width {hidden}",
            f"Use less than {hidden}; a quarter of it is the paper's ratio.",
        )
    most = own.heads if own and own.bottleneck else _HEADS
    heads = wanted.heads or next(n for n in range(most, 0, -1) if bottleneck % n == 0)
    if bottleneck % heads:
        raise StudentError(
            "student.heads",
            f"{heads} heads do not divide a bottleneck of {bottleneck}, where MobileBERT has them",
            "Choose student.heads so that student.bottleneck is a multiple of it.",
        )
    intermediate = own.intermediate if own and own.bottleneck else 4 * bottleneck
    return ThinLayers(
        bottleneck,
        heads,
        wanted.intermediate or intermediate,
        wanted.feed_forwards or _FEED_FORWARDS,
    )


def wanted_embedding(wanted: StudentConfig, hidden: int) -> int:
    """The width of factorized embeddings under a stream of width `hidden`.

    Raises:
        StudentError: If that factorizes nothing.
    """
    shape = SHAPES[wanted.shape] if wanted.shape and not wanted.hidden else None
    own = wanted.embedding or (shape.embedding if shape else None)
    width = own or min(_EMBEDDING, max(2, hidden // 2))
    if not 2 <= width < hidden:
        raise StudentError(
            "student.embedding",
            f"embeddings of width {width} under a stream of width {hidden}: a factorization has "
            "its price in accuracy and would save nothing"
            if width >= hidden
            else f"embeddings of width {width} say nothing about a token",
            f"Use 2 to {hidden - 1}.",
        )
    return width


def _heads_for(hidden: int, teacher: Widths) -> int:
    size = teacher.hidden // teacher.heads
    if hidden % size == 0:
        return hidden // size
    if hidden % teacher.heads == 0:
        return teacher.heads
    raise StudentError(
        "student.hidden",
        f"a width of {hidden} is no multiple of the teacher's head size {size} "
        f"nor of its {teacher.heads} heads",
        f"Use a multiple of {size}, or give student.heads too.",
    )
