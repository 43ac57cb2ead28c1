"""Logits made into softened distributions, and their rows into one number."""

import torch
from jaxtyping import Float
from torch import Tensor

from limbeck.objective.refusals import refuse_temperature, refuse_unmatched, refuse_weights


def softened(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    temperature: float | Float[Tensor, "batch"],
    *,
    where: str,
) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch classes"]]:
    """The log-probabilities of student and teacher at this temperature, in float32.

    Args:
        student_logits: Unnormalized scores.
        teacher_logits: Same class order as the student's; cut off from the gradient here.
        temperature: T > 0, one for all rows or one per row, treated as a constant.
        where: The function that was called, for messages.

    Returns:
        Student's and teacher's.

    Raises:
        ValueError: If the shapes differ, are not [batch classes] or are empty, or T is not
            positive and finite or not one per row.
    """
    refuse_unmatched(
        student_logits,
        teacher_logits,
        where=where,
        what="logits",
        dimensions=("batch", "classes"),
    )
    refuse_temperature(temperature, where=where, rows=student_logits.shape[0])
    if isinstance(temperature, Tensor):
        temperature = temperature.detach().float()[:, None]
    student = torch.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = torch.log_softmax(teacher_logits.detach().float() / temperature, dim=-1)
    return student, teacher


def divergence(
    log_p: Float[Tensor, "batch classes"], log_q: Float[Tensor, "batch classes"]
) -> Float[Tensor, "batch"]:
    """KL(p || q) of each row, in nats."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def mean_of_rows(
    rows: Float[Tensor, "batch"],
    *,
    temperature: float | Float[Tensor, "batch"],
    weights: Float[Tensor, "batch"] | None,
    where: str,
) -> Float[Tensor, ""]:
    """Mean over the batch of weight * T^2 * row.

    Args:
        rows: One loss per row.
        temperature: T as `softened` was given it.
        weights: Factor of each row, treated as a constant; None for 1.
        where: The function that was called, for messages.

    Returns:
        Scalar. The divisor is the number of rows, whatever the weights sum to.

    Raises:
        ValueError: If weights is not one per row, or one is negative, infinite or NaN.
    """
    if weights is not None:
        refuse_weights(weights, where=where, rows=rows.shape[0])
        rows = weights.detach().float() * rows
    if isinstance(temperature, Tensor):
        return (temperature.detach().float().square() * rows).mean()
    return temperature**2 * rows.mean()
