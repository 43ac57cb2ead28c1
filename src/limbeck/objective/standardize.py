"""Logits of one spread for student and teacher, so that neither must copy the other's scale."""

from jaxtyping import Float
from torch import Tensor

# Differences among equal logits are rounding; divided by themselves they would be a direction.
_ROUNDING = 1e-6


def standardize_logits(
    logits: Float[Tensor, "batch classes"],
) -> Float[Tensor, "batch classes"]:
    """(logits - mean) / standard deviation of each row.

    Done to both sides before `logit_kl` or a neighbour, it softens every row by a temperature of
    its own, one for the student and one for the teacher: T times the row's standard deviation.
    A student with few weights need not reach the teacher's large logits; only their relations
    count. For three classes and more: with two, all rows would become 1 and -1.

    Args:
        logits: Unnormalized scores. Gradients flow through, the deviation included.

    Returns:
        In float32, with a mean of 0 and a deviation of 1 in every row. A row of equal logits
        has no spread and becomes 0, and its gradient is that of its own differences.

    Raises:
        ValueError: If the logits are not [batch classes] with a row, or there are fewer than
            three classes (the student would have nothing to learn but the order).

    Reference:
        Sun, Ren, Li, Wang, Cao. Logit Standardization in Knowledge Distillation, 2024,
        algorithm 1. https://arxiv.org/abs/2403.01427
        The deviation is that of all classes, divided by their number; the authors' published
        code divides by one less, which only makes T another one.
    """
    if logits.ndim != 2 or logits.shape[0] == 0 or logits.shape[1] < 3:
        raise ValueError(
            f"standardize_logits: logits has shape {tuple(logits.shape)}. It must be "
            f"[batch classes], with at least one row and 3 classes, as two standardized logits "
            f"are always 1 and -1. Compare logits of two classes as they are."
        )
    centered = logits.float() - logits.float().mean(dim=-1, keepdim=True)
    square = centered.square().mean(dim=-1, keepdim=True)
    spread = square.where(square > _ROUNDING**2, 1.0).sqrt()
    return centered / spread
