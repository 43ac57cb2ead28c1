"""Parts of a model that do not learn for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def only(model: nn.Module, learning: Iterable[nn.Module]) -> Iterator[None]:
    """Let these modules of a model learn and no others; afterwards whatever did before.

    Args:
        model: The whole.
        learning: Modules of it.

    Raises:
        ValueError: If none of them has a parameter (nothing would be learned).
    """
    learns = {id(parameter) for module in learning for parameter in module.parameters()}
    if not learns:
        raise ValueError("only: the modules have no parameters, so nothing would be learned.")
    with without_learning(model):
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) in learns)
        yield


@contextmanager
def without_learning(model: nn.Module) -> Iterator[None]:
    """Let nothing of a model learn; afterwards whatever did before."""
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.requires_grad_(False)
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
