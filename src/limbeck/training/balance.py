"""Weights of terms that adapt while training, beside those that the recipe gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.objective import balanced_weights, dynamic_average_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

EVERY = 25
"""Steps between two adaptations."""


class Balance:
    """Factors on the terms' weights: 1 each, or adapted every few steps; they sum to their number.

    Args:
        mode: ``none``; ``gradients``, so that each weighted term has a gradient of the same norm on
            the first layer's first matrix; or ``progress``, so that what falls slowly counts more.
        names: Of the terms.
    """

    def __init__(self, mode: str, names: Sequence[str]) -> None:
        self._mode = mode
        self._factors = dict.fromkeys(names, 1.0)
        self._sums = dict.fromkeys(names, 0.0)
        self._steps = 0
        self._windows: list[dict[str, float]] = []

    def factors(
        self, number: int, weighted: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, float]:
        """The factor of every term in this step.

        Args:
            number: Of the step, from 1.
            weighted: The terms' weighted values in this part of the step, with their graph.
            module: The joint module, whose first layer's gradients are compared.
        """
        if self._mode == "gradients" and number % EVERY == 1 and len(self._factors) > 1:
            norms = _gradient_norms(weighted, module)
            self._factors = dict(zip(weighted, balanced_weights(norms), strict=True))
        return self._factors

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Take note of one step's unweighted values."""
        if self._mode != "progress":
            return
        for name in self._sums:
            self._sums[name] += float(values[name])
        self._steps += 1
        if self._steps < EVERY:
            return
        self._windows = [
            *self._windows[-1:],
            {name: total / self._steps for name, total in self._sums.items()},
        ]
        self._sums, self._steps = dict.fromkeys(self._sums, 0.0), 0
        if len(self._windows) == 2:
            before, now = ([window[n] for n in self._sums] for window in self._windows)
            weights = dynamic_average_weights(now, before)
            self._factors = dict(zip(self._sums, weights, strict=True))

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {
            "factors": self._factors,
            "sums": self._sums,
            "steps": self._steps,
            "windows": self._windows,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; an empty one changes nothing."""
        if state:
            self._factors, self._sums = dict(state["factors"]), dict(state["sums"])
            self._steps, self._windows = state["steps"], list(state["windows"])


def _gradient_norms(weighted: Mapping[str, Tensor], module: nn.Module) -> list[float]:
    """Each term's gradient norm on the first trained matrix below every layer's output."""
    import torch

    matrix = next(
        parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.ndim == 2 and "embed" not in name
    )
    norms = []
    for value in weighted.values():
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, matrix, retain_graph=True, allow_unused=True)
        norms.append(0.0 if gradient is None else float(gradient.float().norm()))
    return norms
