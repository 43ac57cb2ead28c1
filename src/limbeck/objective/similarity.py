"""How far the student's texts lie to each other otherwise than the teacher's."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limbeck.objective.directions import unit_vectors
from limbeck.objective.precision import without_autocast
from limbeck.objective.refusals import refuse_unpaired


def similarity_preserving(
    student_vectors: Float[Tensor, "batch student_hidden"],
    teacher_vectors: Float[Tensor, "batch teacher_hidden"],
) -> Float[Tensor, ""]:
    """Mean over all pairs of rows of (G_student - G_teacher)^2.

    G is the matrix of products of every two rows' vectors, each row of it divided by its length.
    Asks that texts which are alike for the teacher be alike for the student; widths may differ,
    and no `Projection` is needed. It compares whole batches: the more rows, the more it says.

    Args:
        student_vectors: One a row, pooled or flattened; gradients flow into these only.
        teacher_vectors: Of the same texts; treated as constants.

    Returns:
        Scalar from 0 to 4 / batch, dimensionless. Zero when all similarities agree, and always
        for a batch of one row, which is similar to itself alone.

    Raises:
        ValueError: If the rows differ in number (other texts would be compared), a side is not
            [batch hidden] (padded tokens would be compared) or is empty (the mean is NaN).

    Reference:
        Tung, Mori. Similarity-Preserving Knowledge Distillation, 2019, section 3.
        https://arxiv.org/abs/1907.09682
    """
    sides = _vectors(student_vectors, teacher_vectors, where="similarity_preserving")
    with without_autocast(student_vectors.device):
        student, teacher = (unit_vectors(side @ side.T) for side in sides)
    return (student - teacher).square().mean()


def relational_distance(
    student_vectors: Float[Tensor, "batch student_hidden"],
    teacher_vectors: Float[Tensor, "batch teacher_hidden"],
) -> Float[Tensor, ""]:
    """Mean over pairs of rows of huber(d_student - d_teacher).

    d is the distance of two rows' vectors over the mean distance in the batch, on either side;
    huber(x) is x^2 / 2 up to 1 and |x| - 1/2 beyond. Asks for the shape of the teacher's cloud of
    texts and leaves its place, size and orientation free, and its width.

    Args:
        student_vectors: One a row; gradients flow into these only.
        teacher_vectors: Of the same texts; treated as constants.

    Returns:
        Scalar >= 0, dimensionless. Zero when all ratios of distances agree. A batch of one row
        has no pair: zero, with zero gradient. Equal vectors have distance 0, and a side with
        equal vectors alone has no scale: its distances are 0.

    Raises:
        ValueError: If the rows differ in number (other texts would be compared), a side is not
            [batch hidden] (padded tokens would be compared) or is empty.

    Reference:
        Park, Kim, Lu, Cho. Relational Knowledge Distillation, 2019, section 3.2.1.
        https://arxiv.org/abs/1904.05068
        The paper sums over pairs; we average over pairs of different rows.
    """
    student, teacher = _vectors(student_vectors, teacher_vectors, where="relational_distance")
    distances = (_relative_distances(student), _relative_distances(teacher))
    pairs = max(distances[0].shape[0], 1)
    return functional.huber_loss(*distances, reduction="sum") / pairs


def relational_angle(
    student_vectors: Float[Tensor, "batch student_hidden"],
    teacher_vectors: Float[Tensor, "batch teacher_hidden"],
) -> Float[Tensor, ""]:
    """Mean over triples of rows of huber(cos_student - cos_teacher).

    cos is that of the angle which two rows' vectors make seen from a third's; huber as in
    `relational_distance`, which it goes with: the paper weights angles twice as much. Memory
    and time grow with the batch's third power, and with its square times the width.

    Args:
        student_vectors: One a row; gradients flow into these only.
        teacher_vectors: Of the same texts; treated as constants.

    Returns:
        Scalar from 0 to 3/2, dimensionless. Zero when all angles agree. A batch of fewer than
        three rows has no triple: zero, with zero gradient. Equal vectors make no angle: 0 stands
        for its cosine.

    Raises:
        ValueError: If the rows differ in number (other texts would be compared), a side is not
            [batch hidden] (padded tokens would be compared) or is empty.

    Reference:
        Park, Kim, Lu, Cho. Relational Knowledge Distillation, 2019, section 3.2.2.
        https://arxiv.org/abs/1904.05068
        The paper sums over triples; we average over triples of three different rows.
    """
    sides = _vectors(student_vectors, teacher_vectors, where="relational_angle")
    batch = student_vectors.shape[0]
    with without_autocast(student_vectors.device):
        student, teacher = (_cosines(side) for side in sides)
    # Rows i and k seen from i or k itself are zero vectors and add 0 on both sides.
    different = ~torch.eye(batch, dtype=torch.bool, device=student.device)
    parts = functional.huber_loss(student, teacher, reduction="none").where(different, 0.0)
    return parts.sum() / max(batch * (batch - 1) * (batch - 2), 1)


def _relative_distances(vectors: Float[Tensor, "batch hidden"]) -> Float[Tensor, "pairs"]:
    """Of every two rows, over their mean."""
    distances = functional.pdist(vectors)
    mean = distances.sum() / max(distances.shape[0], 1)
    return distances / mean.where(mean > 0, 1.0)


def _cosines(vectors: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch batch batch"]:
    """At [j, i, k] that of the angle between rows i and k seen from row j."""
    directions = unit_vectors(vectors[None, :] - vectors[:, None])
    return directions @ directions.transpose(1, 2)


def _vectors(
    student_vectors: Float[Tensor, "batch student_hidden"],
    teacher_vectors: Float[Tensor, "batch teacher_hidden"],
    *,
    where: str,
) -> tuple[Float[Tensor, "batch student_hidden"], Float[Tensor, "batch teacher_hidden"]]:
    """Both in float32, the teacher's cut off from the gradient."""
    refuse_unpaired(
        student_vectors,
        teacher_vectors,
        where=where,
        what="vectors",
        dimensions=("batch", "hidden"),
        free=("hidden",),
    )
    return student_vectors.float(), teacher_vectors.detach().float()
