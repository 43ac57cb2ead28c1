"""bfloat16 for a model that only answers: its linear layers are cast once, not in each call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def computing_in(model: nn.Module, precision: str) -> Iterator[None]:
    """Inside, `model` computes in `precision`; its weights are float32 again afterwards.

    Autocast alone would cast every weight again in every call.

    Args:
        model: Any module; only `torch.nn.Linear` weights are cast, as autocast would.
        precision: float32 or bfloat16.
    """
    import torch

    if precision != "bfloat16":
        yield
        return
    whole = [(parameter, parameter.data) for parameter in _linear_parameters(model)]
    device = next(model.parameters()).device.type
    try:
        cast_linears(model)
        with torch.autocast(device, torch.bfloat16):
            yield
    finally:
        for parameter, data in whole:
            parameter.data = data


def cast_linears(model: nn.Module) -> None:
    """Turn the weights of linear layers into bfloat16, in place."""
    import torch

    for parameter in _linear_parameters(model):
        parameter.data = parameter.data.to(torch.bfloat16)


def _linear_parameters(model: nn.Module) -> list[nn.Parameter]:
    from torch import nn

    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return [parameter for module in linears for parameter in module.parameters(recurse=False)]
