"""How well the student tells its text's teacher vector from the other texts'."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from limbeck.objective.directions import unit_vectors
from limbeck.objective.precision import without_autocast
from limbeck.objective.refusals import refuse_temperature, refuse_unmatched


def contrastive_nce(
    student_vectors: Float[Tensor, "batch hidden"],
    teacher_vectors: Float[Tensor, "batch hidden"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over rows i of -log softmax_j(cos(student_i, teacher_j) / temperature)[i].

    Asks that a student's vector be nearer to the teacher's vector of its own text than to those
    of the batch's other texts: what a retrieval model is used for. `pooled_cosine` asks for the
    place itself. The more rows a batch has, the harder the task and the more it teaches. A text
    that is twice in a batch is its own wrong answer: remove duplicates first.

    Args:
        student_vectors: One a row; gradients flow into these only. Where widths differ, put a
            `Projection` on the student first.
        teacher_vectors: Of the same texts; treated as constants.
        temperature: Positive and finite, dimensionless; of the similarities, not of logits. The
            smaller, the more the nearest wrong texts count. 0.05 to 0.1 is usual.

    Returns:
        Scalar >= 0 in nats; ln batch where the student knows nothing. Not 0 when the vectors
        agree, unless the teacher's own texts lie far apart; 0 for a batch of one row.

    Raises:
        ValueError: If the shapes differ (a row would be told from itself), are not
            [batch hidden] (padded tokens would be told apart) or are empty (the mean is NaN), or
            temperature is not positive and finite.

    Reference:
        Tian, Krishnan, Isola. Contrastive Representation Distillation, 2020.
        https://arxiv.org/abs/1910.10699
        The paper draws wrong answers from a memory of the whole data set, maps both sides by
        learned layers and asks about each pair by itself. We take the rest of the batch, the
        cosine and one softmax over them, as in van den Oord, Li, Vinyals. Representation Learning
        with Contrastive Predictive Coding, 2018, equation 4. https://arxiv.org/abs/1807.03748
    """
    where = "contrastive_nce"
    refuse_unmatched(
        student_vectors,
        teacher_vectors,
        where=where,
        what="vectors",
        dimensions=("batch", "hidden"),
    )
    refuse_temperature(temperature, where=where)
    student = unit_vectors(student_vectors.float())
    teacher = unit_vectors(teacher_vectors.detach().float())
    with without_autocast(student.device):
        similarities = student @ teacher.T / temperature
    own = torch.arange(student.shape[0], device=student.device)
    return functional.cross_entropy(similarities, own)
