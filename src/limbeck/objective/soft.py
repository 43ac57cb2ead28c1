"""How far the student's softened class distribution is from the teacher's."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from limbeck.objective.softening import divergence, mean_of_rows, softened


def logit_kl(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float | Float[Tensor, "batch"],
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 * KL(softmax(teacher / T) || softmax(student / T)).

    The T^2 factor keeps gradients comparable across temperatures, so the term's weight
    need not be retuned when T changes. The first choice among its neighbours: it makes the
    student cover every class to which the teacher gives probability.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless; one number, or one per row. Larger T gives small
            logits more say.
        weights: Factor of each row's loss; None for 1. Weights with a mean of 1 keep the term's
            scale. Treated as constants, like temperatures.

    Returns:
        Scalar >= 0 in nats, times T^2; rounding in float32 may put it below by some 1e-7 T^2.
        Zero exactly when the two distributions agree.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), T is not positive and finite, or weights has a negative,
            infinite or NaN one (the student would be driven away from the teacher). On an
            accelerator only shapes of T and weights are checked.

    Reference:
        Hinton, Vinyals, Dean. Distilling the Knowledge in a Neural Network, 2015, section 2.
        https://arxiv.org/abs/1503.02531
        The paper minimizes the cross entropy, `soft_cross_entropy` here; the gradient is the same.
    """
    where = "logit_kl"
    student, teacher = softened(student_logits, teacher_logits, temperature, where=where)
    rows = divergence(teacher, student)
    return mean_of_rows(rows, temperature=temperature, weights=weights, where=where)


def soft_cross_entropy(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float | Float[Tensor, "batch"],
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the batch of -T^2 * sum_c softmax(teacher / T)_c * log softmax(student / T)_c.

    Its gradient is that of `logit_kl`. Use it to compare loss curves with papers that report
    the cross entropy; elsewhere `logit_kl` reads better, as its 0 means that nothing is left
    to learn.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless; one number, or one per row. Larger T gives small
            logits more say.
        weights: Factor of each row's loss; None for 1. Weights with a mean of 1 keep the term's
            scale. Treated as constants, like temperatures.

    Returns:
        Scalar >= 0 in nats, times T^2. Its minimum, reached when the two distributions agree,
        is T^2 times the entropy of the teacher's distribution and not 0.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), T is not positive and finite, or weights has a negative,
            infinite or NaN one (the student would be driven away from the teacher). On an
            accelerator only shapes of T and weights are checked.

    Reference:
        Hinton, Vinyals, Dean. Distilling the Knowledge in a Neural Network, 2015, section 2.
        https://arxiv.org/abs/1503.02531
    """
    where = "soft_cross_entropy"
    student, teacher = softened(student_logits, teacher_logits, temperature, where=where)
    rows = -(teacher.exp() * student).sum(dim=-1)
    return mean_of_rows(rows, temperature=temperature, weights=weights, where=where)


def logit_reverse_kl(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float | Float[Tensor, "batch"],
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 * KL(softmax(student / T) || softmax(teacher / T)).

    For a student too small to be right about every class: it pays for probability where the
    teacher has almost none, and may leave a class of the teacher's out. Where it should cover
    them all, use `logit_kl`.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless; one number, or one per row. Larger T gives small
            logits more say.
        weights: Factor of each row's loss; None for 1. Weights with a mean of 1 keep the term's
            scale. Treated as constants, like temperatures.

    Returns:
        Scalar >= 0 in nats, times T^2; rounding in float32 may put it below by some 1e-7 T^2.
        Zero exactly when the two distributions agree.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), T is not positive and finite, or weights has a negative,
            infinite or NaN one (the student would be driven away from the teacher). On an
            accelerator only shapes of T and weights are checked.

    Reference:
        Gu, Dong, Wei, Huang. MiniLLM: Knowledge Distillation of Large Language Models, 2024,
        section 2.1. https://arxiv.org/abs/2306.08543
        The paper takes it over generated texts, by policy gradient; classes can be summed
        outright. T and the T^2 factor are ours, as in `logit_kl`.
    """
    where = "logit_reverse_kl"
    student, teacher = softened(student_logits, teacher_logits, temperature, where=where)
    rows = divergence(student, teacher)
    return mean_of_rows(rows, temperature=temperature, weights=weights, where=where)


def logit_jensen_shannon(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float | Float[Tensor, "batch"],
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 * (KL(p || m) + KL(q || m)) / 2, where m = (p + q) / 2.

    p is softmax(teacher / T) and q is softmax(student / T). Symmetric and bounded: a row on
    which the teacher is sure and the student disagrees cannot outweigh the rest of the batch,
    as it can in `logit_kl`. The price is a weak gradient on just those rows.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless; one number, or one per row. Larger T gives small
            logits more say.
        weights: Factor of each row's loss; None for 1. Weights with a mean of 1 keep the term's
            scale. Treated as constants, like temperatures.

    Returns:
        Scalar from 0 to T^2 * ln 2, in nats times T^2; rounding in float32 may put it outside
        by some 1e-7 T^2. Zero exactly when the two distributions agree; a quarter of `logit_kl`
        when they nearly do.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), T is not positive and finite, or weights has a negative,
            infinite or NaN one (the student would be driven away from the teacher). On an
            accelerator only shapes of T and weights are checked.

    Reference:
        Lin. Divergence Measures Based on the Shannon Entropy, IEEE Transactions on Information
        Theory 37(1), 1991, with both weights 1/2. https://doi.org/10.1109/18.61115
        In nats where the paper has bits. T and the T^2 factor are ours, as in `logit_kl`.
    """
    where = "logit_jensen_shannon"
    student, teacher = softened(student_logits, teacher_logits, temperature, where=where)
    mixture = torch.logaddexp(student, teacher) - math.log(2)
    rows = (divergence(teacher, mixture) + divergence(student, mixture)) / 2
    return mean_of_rows(rows, temperature=temperature, weights=weights, where=where)
