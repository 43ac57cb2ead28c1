"""Numbers instead of classes: how far the student's values are from those it should give."""

import torch
from jaxtyping import Float
from torch import Tensor

from limbeck.objective.refusals import refuse_unmatched


def value_mse(
    student_values: Float[Tensor, "batch outputs"],
    teacher_values: Float[Tensor, "batch outputs"],
) -> Float[Tensor, ""]:
    """Mean over the batch and outputs of (student - teacher)^2.

    What the teacher knows of a regression: its value. There is nothing to soften, and so no
    temperature. For labels use `target_mse`.

    Args:
        student_values: A regression head's outputs, mostly one a row; gradients flow into these
            only.
        teacher_values: For the same rows, in the same unit; treated as constants.

    Returns:
        Scalar >= 0, in squared units of the values. Zero exactly when they agree.

    Raises:
        ValueError: If the shapes differ ([batch] against [batch 1] would compare every row with
            every other), are not [batch outputs] or are empty (the mean is NaN).

    Reference:
        Ba, Caruana. Do Deep Nets Really Need to be Deep?, 2014, section 2.2, there of logits and
        with a factor of 1/2. https://arxiv.org/abs/1312.6184
    """
    refuse_unmatched(
        student_values,
        teacher_values,
        where="value_mse",
        what="values",
        dimensions=("batch", "outputs"),
    )
    return (student_values.float() - teacher_values.detach().float()).square().mean()


def target_mse(
    student_values: Float[Tensor, "batch outputs"],
    targets: Float[Tensor, "batch outputs"],
) -> Float[Tensor, ""]:
    """Mean over the labelled cells of (student - target)^2.

    The supervised term of a regression. A cell without a label is NaN, as -100 may be a value
    that was measured; it teaches through `value_mse` and does not dilute this term.

    Args:
        student_values: A regression head's outputs, mostly one a row.
        targets: What is right, in the student's unit; NaN where it is not known.

    Returns:
        Scalar >= 0, in squared units of the values. Zero, with zero gradient, when no cell is
        labelled.

    Raises:
        ValueError: If the shapes differ ([batch] against [batch 1] would compare every row with
            every other), are not [batch outputs] or are empty, or a target is infinite (the loss
            would be). On an accelerator only shapes are checked.
    """
    where = "target_mse"
    if student_values.shape != targets.shape or targets.ndim != 2 or not targets.numel():
        raise ValueError(
            f"{where}: student_values has shape {tuple(student_values.shape)}, targets has shape "
            f"{tuple(targets.shape)}. Both must be [batch outputs], equal and not empty. "
            f"Pass one column an output: [batch 1] where there is one."
        )
    if targets.device.type == "cpu" and bool(targets.isinf().any()):
        raise ValueError(
            f"{where}: targets contains {targets[targets.isinf()][0].item()}. Each must be finite, "
            f"or NaN where it is not known. Remove the row, or bound its label."
        )
    labeled = ~torch.isnan(targets)
    known = targets.detach().float().where(labeled, 0.0)
    squares = (student_values.float() - known).square().where(labeled, 0.0)
    return squares.sum() / labeled.sum().clamp(min=1)
