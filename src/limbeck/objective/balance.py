"""How much each term should count, so that none of them drowns the others."""

import torch
from jaxtyping import Float
from torch import Tensor


def balanced_term_weights(
    gradient_norms: Float[Tensor, "terms"],
    *,
    loss_ratios: Float[Tensor, "terms"] | None = None,
    strength: float,
) -> Float[Tensor, "terms"]:
    """r^strength / g of each term, over their mean.

    g is the norm of the gradient that a term, unweighted, sends into a tensor which all terms
    share: the student's last common layer, say. Weighted so, every term moves that tensor
    equally far; with a strength above 0 those that have fallen behind move it further. For
    objectives whose terms are measured in unlike units, such as nats and squared states.

    Args:
        gradient_norms: g of each term, at least 0; treated as constants.
        loss_ratios: L, each term's loss over its loss at the start, at least 0; None where every
            term is to move the student equally. r is L over the mean of all L.
        strength: How much further a term that lags behind is to move the student, at least 0.
            With 0, or without loss_ratios, all move it equally. The paper uses 0.12 to 1.5.

    Returns:
        One weight a term, at least 0, in float32, without a gradient. Their mean is 1, so that
        balancing does not change the learning rate. A term whose norm is 0 moves nothing under
        any weight: it keeps 1, and the others share the rest.

    Raises:
        ValueError: If gradient_norms is not [terms] or empty, loss_ratios is not one per term, a
            norm or ratio is negative, infinite or NaN (its term would drive the student away, or
            drown the rest), or strength is negative or not finite. On an accelerator only shapes
            are checked.

    Reference:
        Chen, Badrinarayanan, Lee, Rabinovich. GradNorm: Gradient Normalization for Adaptive
        Loss Balancing in Deep Multitask Networks, 2018, section 3.
        https://arxiv.org/abs/1711.02257
        The paper moves weights towards this balance by gradient descent and brings their sum
        to the number of terms; we go there at once. Average the norms over some steps first.
    """
    where = "balanced_term_weights"
    if gradient_norms.ndim != 1 or gradient_norms.shape[0] == 0:
        raise ValueError(
            f"{where}: gradient_norms has shape {tuple(gradient_norms.shape)}. It must be "
            f"[terms], with at least one. Pass one norm per term."
        )
    if not 0 <= strength < float("inf"):
        raise ValueError(
            f"{where}: strength is {strength}. It must be finite and at least 0. "
            f"Use 0 to let every term move the student equally."
        )
    terms = gradient_norms.shape[0]
    _refuse_values(gradient_norms, terms, where=where, what="gradient_norms")
    norms = gradient_norms.detach().float()
    moving = norms > 0
    wanted = norms.new_ones(terms)
    if loss_ratios is not None:
        _refuse_values(loss_ratios, terms, where=where, what="loss_ratios")
        ratios = loss_ratios.detach().float()
        mean = ratios.mean()
        wanted = (ratios / mean.where(mean > 0, 1.0)) ** strength
    inverse = (wanted / norms).where(moving, 0.0)
    total = inverse.sum()
    scaled = inverse * moving.sum() / total.where(total > 0, 1.0)
    return scaled.where(moving & (total > 0), 1.0)


def _refuse_values(values: Float[Tensor, "terms"], terms: int, *, where: str, what: str) -> None:
    if values.shape != (terms,):
        raise ValueError(
            f"{where}: {what} has shape {tuple(values.shape)}. It must be [terms], which is "
            f"({terms},). Pass one value per term."
        )
    if values.device.type != "cpu":
        return
    wrong = values[~(torch.isfinite(values) & (values >= 0))]
    if wrong.numel() > 0:
        raise ValueError(
            f"{where}: {what} contains {wrong[0].item()}. Every one must be finite and at least "
            f"0. Leave out the term whose loss is no number, and find out why."
        )
