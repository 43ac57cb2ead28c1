"""The teacher's answer in two parts: how sure it is, and what it thinks of the other classes."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from limbeck.objective.refusals import UNLABELED, refuse_labels
from limbeck.objective.softening import divergence, mean_of_rows, softened

# Not -inf: the difference of two of them is NaN, and 0 * NaN is NaN. Its exponential is 0.
_NEVER = torch.finfo(torch.float32).min


def decoupled_kd(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, "batch"],
    *,
    temperature: float | Float[Tensor, "batch"],
    alpha: float,
    beta: float,
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the batch of T^2 * (alpha * TCKD + beta * NCKD).

    TCKD is the KL between teacher's and student's probabilities of the target class against all
    others together; NCKD is the KL between their distributions over the other classes alone.
    `logit_kl` is TCKD + (1 - p) * NCKD, with p the teacher's probability of the target: the surer
    the teacher, the less it teaches about the other classes. Here that part has a weight of its
    own. For three classes and more; with two, NCKD is always 0 and this is alpha * `logit_kl`.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        labels: The target class of each row, from 0 to classes - 1; -100 if it is not known,
            which takes the teacher's first choice for it.
        temperature: T > 0, dimensionless; one number, or one per row. Larger T gives small
            logits more say.
        alpha: Weight of TCKD, at least 0. The paper uses 1.
        beta: Weight of NCKD, at least 0. The paper uses 1 to 8, more for surer teachers.
        weights: Factor of each row's loss; None for 1. Weights with a mean of 1 keep the term's
            scale. Treated as constants, like temperatures.

    Returns:
        Scalar >= 0 in nats, times T^2; rounding in float32 may put it below by some 1e-7 T^2.
        Zero exactly when the two distributions agree, if alpha and beta are both positive.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), there is one class alone, labels is not [batch] or holds
            what is neither a class nor -100 (the wrong class would be split off), T is not
            positive and finite, alpha or beta is negative or not finite, or weights has a
            negative, infinite or NaN one (the student would be driven away from the teacher).
            On an accelerator only shapes of labels, T and weights are checked.

    Reference:
        Zhao, Cui, Song, Qiu, Liang. Decoupled Knowledge Distillation, 2022, section 3.
        https://arxiv.org/abs/2203.08679
        The paper has a label for every row; that the teacher's first choice stands in is ours.
    """
    where = "decoupled_kd"
    student, teacher = softened(student_logits, teacher_logits, temperature, where=where)
    _refuse_settings(student_logits, labels, alpha, beta, where=where)
    refuse_labels(labels, where=where, classes=student.shape[1])
    classes = labels.long().where(labels != UNLABELED, teacher.argmax(dim=-1))
    places = torch.arange(student.shape[1], device=student.device)
    target = places == classes[:, None]
    student_split, student_others = _split(student, target)
    teacher_split, teacher_others = _split(teacher, target)
    tckd = divergence(teacher_split, student_split)
    nckd = divergence(teacher_others, student_others)
    rows = alpha * tckd + beta * nckd
    return mean_of_rows(rows, temperature=temperature, weights=weights, where=where)


def _split(
    log_p: Float[Tensor, "batch classes"], target: Bool[Tensor, "batch classes"]
) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch classes"]]:
    """Log-probabilities of target and rest, and of each class given that it is not the target."""
    others = log_p.where(~target, _NEVER)
    rest = torch.logsumexp(others, dim=-1)
    chosen = log_p.where(target, 0.0).sum(dim=-1)
    return torch.stack([chosen, rest], dim=-1), torch.log_softmax(others, dim=-1)


def _refuse_settings(
    student_logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, "batch"],
    alpha: float,
    beta: float,
    *,
    where: str,
) -> None:
    found = (
        f"{where}: student_logits has shape {tuple(student_logits.shape)}, labels has shape "
        f"{tuple(labels.shape)}."
    )
    if labels.shape != student_logits.shape[:1]:
        raise ValueError(
            f"{found} They must be [batch classes] and [batch]. Pass one class index per row."
        )
    if student_logits.shape[1] < 2:
        raise ValueError(
            f"{found} There must be at least 2 classes, as one has no others. "
            f"Use a classification head, and not a regression one."
        )
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 <= value < float("inf"):
            raise ValueError(
                f"{where}: {name} is {value}. It must be finite and at least 0, as a negative one "
                f"drives the student away from the teacher. Use 0 to leave that part out."
            )
