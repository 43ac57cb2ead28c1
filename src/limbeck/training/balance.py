"""Weights of terms that adapt while training, beside those that the recipe gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.objective import balanced_term_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

EVERY = 25
"""Steps between two adaptations."""


class Balance:
    """Factors on the terms' weights: 1 each, or adapted every few steps; their mean is 1.

    Args:
        mode: ``none``; ``gradients``, so that every term, before its weight, has a gradient of the
            same norm on the first layer's first matrix; or ``progress``, so that a term counts
            more the less of its first value it has lost.
        names: Of the terms.
    """

    def __init__(self, mode: str, names: Sequence[str]) -> None:
        self._mode = mode
        names = list(dict.fromkeys(names))
        self._factors = dict.fromkeys(names, 1.0)
        self._sums = dict.fromkeys(names, 0.0)
        self._first: dict[str, float] = {}
        self._steps = 0

    def factors(
        self, number: int, values: Mapping[str, Tensor], module: nn.Module
    ) -> Mapping[str, float]:
        """The factor of every term in this step.

        Args:
            number: Of the step, from 1.
            values: The terms' unweighted values in this part of the step, with their graph.
            module: The joint module, whose first layer's gradients are compared.
        """
        import torch

        if self._mode == "gradients" and number % EVERY == 1 and len(self._factors) > 1:
            norms = torch.tensor(_gradient_norms(values, module))
            self._adopt(values, balanced_term_weights(norms, strength=0.0))
        return self._factors

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Take note of one step's unweighted values."""
        import torch

        if self._mode != "progress":
            return
        for name in self._sums:
            self._sums[name] += float(values[name])
        self._steps += 1
        if self._steps < EVERY:
            return
        means = {name: total / self._steps for name, total in self._sums.items()}
        self._sums, self._steps = dict.fromkeys(self._sums, 0.0), 0
        self._first = self._first or means
        left = [max(means[n], 0.0) / max(self._first[n], 1e-12) for n in means]
        weights = balanced_term_weights(
            torch.ones(len(left)), loss_ratios=torch.tensor(left), strength=1.0
        )
        self._adopt(means, weights)

    def _adopt(self, names: Mapping[str, Any], weights: Tensor) -> None:
        self._factors = dict(zip(names, weights.tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {
            "factors": self._factors,
            "sums": self._sums,
            "first": self._first,
            "steps": self._steps,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; an empty one changes nothing."""
        if state:
            self._factors, self._sums = dict(state["factors"]), dict(state["sums"])
            self._first, self._steps = dict(state["first"]), state["steps"]


def _gradient_norms(values: Mapping[str, Tensor], module: nn.Module) -> list[float]:
    """Each term's gradient norm on the first trained matrix below every layer's output."""
    import torch

    matrix = next(
        parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.ndim == 2 and "embed" not in name
    )
    norms = []
    for value in values.values():
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value, matrix, retain_graph=True, allow_unused=True)
        norms.append(0.0 if gradient is None else float(gradient.float().norm()))
    return norms
