"""Vectors of length one: what is left when the scale is set free."""

import torch
from jaxtyping import Float
from torch import Tensor


def unit_vectors(
    vectors: Float[Tensor, "*rows hidden"], *, least: float = 0.0
) -> Float[Tensor, "*rows hidden"]:
    """Vectors divided by their length.

    A vector no longer than `least` has no direction and is left as it is. Divided by a tiny
    number instead, as is usual, its gradient would be some 1e12 and undo the training.

    Args:
        vectors: Along the last dimension, in float32.
        least: Length up to which a vector is nothing but rounding, at least 0.

    Returns:
        As many vectors, of length 1 but for those.
    """
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.where(length > least, 1.0)
