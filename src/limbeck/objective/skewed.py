"""Divergences from a mixture of student and teacher, which stay bounded."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from limbeck.objective.softening import divergence, mean_of_rows, softened


def logit_skewed_kl(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float | Float[Tensor, "batch"],
    skew: float,
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 * KL(p || skew * p + (1 - skew) * q).

    p is softmax(teacher / T) and q is softmax(student / T). `logit_kl` with a bound: a row on
    which the student gives the teacher's class almost nothing pulls no harder than -ln(skew),
    and its gradient stays bounded. For noisy or surprising rows early in training; a small skew
    keeps the rest as it was.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless; one number, or one per row. Larger T gives small
            logits more say.
        skew: The teacher's share of the mixture, from 0, which is `logit_kl`, to below 1. The
            paper uses 0.1.
        weights: Factor of each row's loss; None for 1. Weights with a mean of 1 keep the term's
            scale. Treated as constants, like temperatures.

    Returns:
        Scalar from 0 to T^2 * -ln(skew), in nats times T^2; rounding in float32 may put it
        outside by some 1e-7 T^2. Zero exactly when the two distributions agree. Its gradient
        is smaller than that of `logit_kl`, near agreement by (1 - skew)^2.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), T is not positive and finite, skew is not from 0 to
            below 1 (at 1 nothing is learned), or weights has a negative, infinite or NaN one
            (the student would be driven away from the teacher). On an accelerator only shapes
            of T and weights are checked.

    Reference:
        Ko, Kim, Chen, Yun. DistiLLM: Towards Streamlined Distillation for Large Language
        Models, 2024, section 3.1. https://arxiv.org/abs/2402.03898
        T and the T^2 factor are ours, as in `logit_kl`.
    """
    where = "logit_skewed_kl"
    student, teacher = softened(student_logits, teacher_logits, temperature, where=where)
    mixture = _mixture(teacher, student, skew, where=where)
    rows = divergence(teacher, mixture)
    return mean_of_rows(rows, temperature=temperature, weights=weights, where=where)


def logit_skewed_reverse_kl(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float | Float[Tensor, "batch"],
    skew: float,
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 * KL(q || (1 - skew) * p + skew * q).

    p is softmax(teacher / T) and q is softmax(student / T). `logit_reverse_kl` with a bound: a
    class that the teacher all but rules out costs the student no more than -ln(skew), where the
    reverse KL, which has no bound, would let one such row outweigh the batch.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless; one number, or one per row. Larger T gives small
            logits more say.
        skew: The student's share of the mixture, from 0, which is `logit_reverse_kl`, to below
            1. The paper uses 0.1.
        weights: Factor of each row's loss; None for 1. Weights with a mean of 1 keep the term's
            scale. Treated as constants, like temperatures.

    Returns:
        Scalar from 0 to T^2 * -ln(skew), in nats times T^2; rounding in float32 may put it
        outside by some 1e-7 T^2. Zero exactly when the two distributions agree.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), T is not positive and finite, skew is not from 0 to
            below 1 (at 1 nothing is learned), or weights has a negative, infinite or NaN one
            (the student would be driven away from the teacher). On an accelerator only shapes
            of T and weights are checked.

    Reference:
        Ko, Kim, Chen, Yun. DistiLLM: Towards Streamlined Distillation for Large Language
        Models, 2024, section 3.1. https://arxiv.org/abs/2402.03898
        T and the T^2 factor are ours, as in `logit_kl`.
    """
    where = "logit_skewed_reverse_kl"
    student, teacher = softened(student_logits, teacher_logits, temperature, where=where)
    mixture = _mixture(student, teacher, skew, where=where)
    rows = divergence(student, mixture)
    return mean_of_rows(rows, temperature=temperature, weights=weights, where=where)


def _mixture(
    log_p: Float[Tensor, "batch classes"],
    log_q: Float[Tensor, "batch classes"],
    skew: float,
    *,
    where: str,
) -> Float[Tensor, "batch classes"]:
    """log(skew * p + (1 - skew) * q)."""
    if not 0 <= skew < 1:
        raise ValueError(
            f"{where}: skew is {skew}. It must be at least 0 and below 1. "
            f"Use 0.1, or 0 for the divergence without a mixture."
        )
    if skew == 0:
        return log_q
    return torch.logaddexp(log_p + math.log(skew), log_q + math.log1p(-skew))
