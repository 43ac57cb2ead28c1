"""Labels that do not exclude each other: one yes or no for every class."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limbeck.objective.refusals import UNLABELED, refuse_temperature, refuse_unmatched


def binary_cross_entropy(
    student_logits: Float[Tensor, "batch classes"],
    targets: Float[Tensor, "batch classes"] | Int[Tensor, "batch classes"],
) -> Float[Tensor, ""]:
    """Mean over the labelled cells of -log sigmoid(±student), + where the target is 1.

    The supervised term of multi-label classification. Cells without a label, and whole rows of
    them, may stand beside labelled ones: they teach through `binary_kl` and do not dilute this
    term. Where one class excludes the others, use `hard_cross_entropy`.

    Args:
        student_logits: Unnormalized scores, one a class.
        targets: 1 where the class applies, 0 where not, -100 where it is not known.

    Returns:
        Scalar >= 0 in nats a cell; ln 2 for logits of 0. Zero, with zero gradient, when no cell
        is labelled.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch classes] or are empty, or a target is none of 0, 1
            and -100 (class indices would be taken for very sure labels). On an accelerator only
            shapes are checked.

    Reference:
        The loss is torch's ``binary_cross_entropy_with_logits``; the -100 that of its cross
        entropy.
        https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
    """
    where = "binary_cross_entropy"
    if student_logits.shape != targets.shape or student_logits.ndim != 2 or not targets.numel():
        raise ValueError(
            f"{where}: student_logits has shape {tuple(student_logits.shape)}, targets has shape "
            f"{tuple(targets.shape)}. Both must be [batch classes], equal and not empty. "
            f"Pass 0 or 1 for every class of every row, or {UNLABELED} where it is not known."
        )
    labeled = targets != UNLABELED
    if targets.device.type == "cpu":
        _refuse_targets(targets[labeled], where=where)
    cells = functional.binary_cross_entropy_with_logits(
        student_logits.float(), targets.detach().float().where(labeled, 0.0), reduction="none"
    )
    return cells.where(labeled, 0.0).sum() / labeled.sum().clamp(min=1)


def binary_kl(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over batch and classes of T^2 * KL(teacher's yes or no || student's), by the sigmoid.

    `logit_kl` for multi-label classification, where a softmax would make the student choose
    between labels that apply together. The mean over classes, and not their sum, keeps the term
    at the scale of `binary_cross_entropy` whatever the number of labels is.

    Args:
        student_logits: Unnormalized scores, one a class; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless: sigmoid(logit / T). Larger T draws probabilities
            towards 1/2 and gives very sure answers less say.

    Returns:
        Scalar >= 0 in nats a class, times T^2; rounding in float32 may put it below by some
        1e-7 T^2. Zero exactly when all probabilities agree.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at a
            plausible loss), are not [batch classes] or are empty (the mean is NaN), or T is not
            positive and finite.

    Reference:
        Yang et al. Multi-Label Knowledge Distillation, 2023, where each label is a binary problem
        of its own. https://arxiv.org/abs/2308.06453
        The paper sums over classes; T and the T^2 factor are ours, as in `logit_kl`.
    """
    where = "binary_kl"
    refuse_unmatched(
        student_logits,
        teacher_logits,
        where=where,
        what="logits",
        dimensions=("batch", "classes"),
    )
    refuse_temperature(temperature, where=where)
    student = student_logits.float() / temperature
    teacher = teacher_logits.detach().float() / temperature
    yes = functional.logsigmoid(teacher) - functional.logsigmoid(student)
    no = functional.logsigmoid(-teacher) - functional.logsigmoid(-student)
    cells = torch.sigmoid(teacher) * yes + torch.sigmoid(-teacher) * no
    return temperature**2 * cells.mean()


def _refuse_targets(targets: Tensor, *, where: str) -> None:
    wrong = targets[(targets != 0) & (targets != 1)]
    if wrong.numel() > 0:
        raise ValueError(
            f"{where}: targets contains {wrong[0].item()}. Each must be 0, 1 or {UNLABELED}. "
            f"Pass one column a class, and a teacher's opinion as logits to binary_kl."
        )
