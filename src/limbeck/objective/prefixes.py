"""Vectors whose first numbers are vectors too."""

import math
from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor

VectorLoss = Callable[[Tensor, Tensor], Tensor]


def matryoshka(
    loss: VectorLoss,
    student_vectors: Float[Tensor, "batch student_hidden"],
    teacher_vectors: Float[Tensor, "batch teacher_hidden"],
    *,
    sizes: Sequence[int],
    weights: Sequence[float],
) -> Float[Tensor, ""]:
    """Mean, weighted, over the sizes k of loss(student[:, :k], teacher).

    The student's vectors can then be cut to any of the sizes where they are stored, and still
    say as much of the teacher's whole vectors as so few numbers can. As a mean its scale is that
    of the loss itself, however many sizes there are.

    Args:
        loss: Of student's and teacher's vectors, whose widths may differ: `in_batch_similarity_kl`,
            `similarity_preserving`, `relational_distance` or `relational_angle`. Every prefix is
            held against the teacher's whole vectors: the first k numbers of a teacher that was
            not trained so mean nothing by themselves.
        student_vectors: One a row; gradients flow into these only.
        teacher_vectors: Of the same texts; what the loss makes of them.
        sizes: Numbers kept of a student's vector, increasing, up to its whole width.
        weights: One a size, at least 0 and not all 0; their sum does not matter.

    Returns:
        Scalar, in the loss's unit. Zero when the loss is zero for every prefix.

    Raises:
        ValueError: If sizes are not increasing from 1 to at most the student's width (a slice
            beyond it would be the whole vector once more), weights are not as many, or one is
            negative or not finite, or all are 0 (nothing is learned).

    Reference:
        Kusupati et al. Matryoshka Representation Learning, 2022, equation 1.
        https://arxiv.org/abs/2205.13147
        The paper sums a classification loss over the sizes; we average a distillation loss.
    """
    where = "matryoshka"
    width = student_vectors.shape[-1]
    if not sizes or sizes[0] < 1 or sizes[-1] > width or list(sizes) != sorted(set(sizes)):
        raise ValueError(
            f"{where}: sizes is {list(sizes)}, student_vectors has shape "
            f"{tuple(student_vectors.shape)}. Sizes must increase, from at least 1 to at most "
            f"{width}. Pass each once, such as {sorted({max(width // 4, 1), width})}."
        )
    usable = all(math.isfinite(weight) and weight >= 0 for weight in weights)
    if len(weights) != len(sizes) or not usable or sum(weights) == 0:
        raise ValueError(
            f"{where}: weights is {list(weights)}, for {len(sizes)} sizes. There must be one a "
            f"size, finite and at least 0, and one above 0. Pass 1 for each to count all alike."
        )
    parts = [
        weight * loss(student_vectors[:, :size], teacher_vectors)
        for size, weight in zip(sizes, weights, strict=True)
    ]
    return sum(parts[1:], parts[0]) / sum(weights)
