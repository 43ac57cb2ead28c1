"""Distributions over some places of a row: tokens that may answer, candidates that are there."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_NEVER = torch.finfo(torch.float32).min


def chosen_places(
    mask: Bool[Tensor, "batch places"] | Int[Tensor, "batch places"],
    *,
    shape: tuple[int, int],
    where: str,
    what: str,
) -> Bool[Tensor, "batch places"]:
    """True where a place counts. The mask's values are checked on a CPU alone.

    Args:
        mask: 1 where a place counts, 0 where not.
        shape: Batch and places of what is masked.
        where: The function that was called, for the message.
        what: The mask's name, for the message.

    Returns:
        As many truth values, on the mask's device.

    Raises:
        ValueError: If the mask is not [batch places] (a broadcast one would mask other places),
            holds anything but 0 and 1 (an additive mask would keep just what is to go), or a
            row has no place (there is no distribution over nothing).
    """
    if mask.shape != shape:
        raise ValueError(
            f"{where}: {what} has shape {tuple(mask.shape)}. It must be {shape}, one entry for "
            f"each place of a row. Pass 1 where a place counts and 0 where not."
        )
    kept = mask == 1
    if mask.device.type == "cpu":
        other = mask[~kept & (mask != 0)]
        if other.numel() > 0:
            raise ValueError(
                f"{where}: {what} contains {other[0].item()}. It must be 1 where a place counts "
                f"and 0 where not. Pass no additive mask."
            )
        empty = (~kept.any(dim=1)).nonzero()
        if empty.numel() > 0:
            raise ValueError(
                f"{where}: {what} keeps no place of row {int(empty[0])}. Every row needs at least "
                f"one. Leave such rows out, and check that the mask is not inverted."
            )
    return kept


def log_probabilities(
    scores: Float[Tensor, "batch *places"], kept: Bool[Tensor, "batch *places"], *, dim: int
) -> Float[Tensor, "batch *places"]:
    """Log-softmax in float32 over the kept places along `dim`; finite everywhere.

    What stands in the other places does not matter, NaN included: their probability is 0.
    """
    return torch.log_softmax(scores.float().where(kept, _NEVER), dim=dim)
