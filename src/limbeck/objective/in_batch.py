"""Which of a batch's other texts are near a text, for the student as for the teacher."""

import torch
from jaxtyping import Float
from torch import Tensor

from limbeck.objective.directions import unit_vectors
from limbeck.objective.precision import without_autocast
from limbeck.objective.refusals import refuse_temperature, refuse_unpaired
from limbeck.objective.softening import divergence


def in_batch_similarity_kl(
    student_vectors: Float[Tensor, "batch student_hidden"],
    teacher_vectors: Float[Tensor, "batch teacher_hidden"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over rows i of KL(p_i || q_i), p_i = softmax_j(cos(i, j) / temperature), j not i.

    p is the teacher's and q the student's. Asks that each text find the same neighbours among
    the batch's other texts, in the same measure: what a search by embeddings is used for.
    Widths may differ, and no `Projection` is needed. `similarity_preserving` weighs near and
    far texts alike, this one the near ones. The more rows, the more it says.

    Args:
        student_vectors: One a row; gradients flow into these only.
        teacher_vectors: Of the same texts; treated as constants.
        temperature: Positive and finite, dimensionless; of similarities, not of logits. The
            smaller, the more the nearest texts count. 0.05 to 0.1 is usual.

    Returns:
        Scalar >= 0 in nats; rounding in float32 may put it below by some 1e-7. Zero exactly when
        all distributions agree; always, with zero gradient, for fewer than three rows, as one
        other text has all the probability. Not times T^2: a temperature below 1 would make the
        term vanish, and it is not for softening.

    Raises:
        ValueError: If the rows differ in number (other texts would be compared), a side is not
            [batch hidden] (padded tokens would be compared) or is empty, or temperature is not
            positive and finite.

    Reference:
        Fang et al. SEED: Self-supervised Distillation for Visual Representation, 2021, section
        3.2. https://arxiv.org/abs/2101.04731
        The paper takes similarities to a queue of the teacher's vectors, with a temperature for
        either side, and minimizes the cross entropy. We take each side's similarities to its own
        vectors of the batch's other texts, so that widths may differ.
    """
    where = "in_batch_similarity_kl"
    refuse_unpaired(
        student_vectors,
        teacher_vectors,
        where=where,
        what="vectors",
        dimensions=("batch", "hidden"),
        free=("hidden",),
    )
    refuse_temperature(temperature, where=where)
    student = _neighbors(student_vectors.float(), temperature)
    teacher = _neighbors(teacher_vectors.detach().float(), temperature)
    return divergence(teacher, student).mean()


def _neighbors(
    vectors: Float[Tensor, "batch hidden"], temperature: float
) -> Float[Tensor, "batch others"]:
    """Log-probabilities of the other rows."""
    batch = vectors.shape[0]
    directions = unit_vectors(vectors)
    with without_autocast(vectors.device):
        similarities = directions @ directions.T / temperature
    # Row after row, the diagonal is every (batch + 1)th entry: cut before each, and drop it.
    others = similarities.flatten()[1:].reshape(batch - 1, batch + 1)[:, :-1]
    return torch.log_softmax(others.reshape(batch, batch - 1), dim=-1)
