"""Products of matrices in float32, also where mixed precision is on."""

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A region in which torch multiplies float32 matrices as float32.

    Autocast turns every matrix product to half precision, whatever its arguments are; a loss of
    three digits no longer falls.

    Args:
        device: Where the tensors are.

    Returns:
        A context manager; one that does nothing where the device knows no autocast.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
