"""The supervised term: what the labels say, without the teacher."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_UNLABELED = -100


def hard_cross_entropy(
    student_logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, "batch"],
) -> Float[Tensor, ""]:
    """Mean over the labelled rows of -log softmax(student)[label].

    Rows without a label may share a batch with labelled ones: they teach through the terms that
    compare with the teacher (`logit_kl` and its neighbours) and do not dilute this one.

    Args:
        student_logits: Unnormalized scores.
        labels: The right class of each row, from 0 to classes - 1; -100 if it is not known.

    Returns:
        Scalar >= 0 in nats. Zero, with zero gradient, when no row is labelled.

    Raises:
        ValueError: If there is not one label per row, or a label is neither a class nor -100
            (labels counted from 1 would train towards the neighbouring class). On an accelerator
            only shapes are checked: to look at values there is to wait for them.

    Reference:
        The -100 is torch's ``ignore_index``. We differ in one place: torch's mean over no
        labelled row is NaN, ours is 0.
        https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """
    if student_logits.ndim != 2 or labels.shape != student_logits.shape[:1]:
        raise ValueError(
            f"hard_cross_entropy: student_logits has shape {tuple(student_logits.shape)}, labels "
            f"has shape {tuple(labels.shape)}. They must be [batch classes] and [batch]. "
            f"Pass one class index per row; for tokens, flatten both to one row per token."
        )
    classes = student_logits.shape[1]
    labeled = labels != _UNLABELED
    outside = labeled & ((labels < 0) | (labels >= classes))
    wrong = labels[outside] if labels.device.type == "cpu" else labels[:0]
    if wrong.numel() > 0:
        raise ValueError(
            f"hard_cross_entropy: labels contains {torch.unique(wrong)[:5].tolist()}. Labels must "
            f"be from 0 to {classes - 1}, or {_UNLABELED} where there is none. "
            f"Count classes from 0 and compare the data's label names with the model's."
        )
    total = functional.cross_entropy(
        student_logits.float(), labels.long(), ignore_index=_UNLABELED, reduction="sum"
    )
    return total / labeled.sum().clamp(min=1)
