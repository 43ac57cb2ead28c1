"""The supervised term: what the labels say, without the teacher."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from limbeck.objective.refusals import UNLABELED, refuse_labels, refuse_weights


def hard_cross_entropy(
    student_logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, "batch"],
    *,
    weights: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the labelled rows of -log softmax(student)[label].

    Rows without a label may share a batch with labelled ones: they teach through the terms that
    compare with the teacher (`logit_kl` and its neighbours) and do not dilute this one.

    Args:
        student_logits: Unnormalized scores.
        labels: The right class of each row, from 0 to classes - 1; -100 if it is not known.
        weights: Factor of each row's loss, treated as a constant; None for 1. The divisor stays
            the number of labelled rows, so weights with a mean of 1 keep the term's scale.

    Returns:
        Scalar >= 0 in nats. Zero, with zero gradient, when no row is labelled.

    Raises:
        ValueError: If there is not one label per row, or a label is neither a class nor -100
            (labels counted from 1 would train towards the neighbouring class), or weights is not
            [batch] or holds a negative, infinite or NaN one (the student would be driven away
            from the label). On an accelerator only shapes are checked: to look at values there
            is to wait for them.

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
    refuse_labels(labels, where="hard_cross_entropy", classes=student_logits.shape[1])
    labeled = (labels != UNLABELED).sum().clamp(min=1)
    if weights is None:
        total = functional.cross_entropy(
            student_logits.float(), labels.long(), ignore_index=UNLABELED, reduction="sum"
        )
        return total / labeled
    refuse_weights(weights, where="hard_cross_entropy", rows=labels.shape[0])
    rows = functional.cross_entropy(
        student_logits.float(), labels.long(), ignore_index=UNLABELED, reduction="none"
    )
    return (weights.detach().float() * rows).sum() / labeled
