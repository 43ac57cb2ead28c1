"""Ways to go on are tried on a part of the texts; the best third goes on with more of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_THIRD = 3


@dataclass(frozen=True)
class Way:
    """A way to make a point out of the one above it.

    Attributes:
        layers: Of the point.
        learning_rate: Peak, of its training.
        compensated: Whether least squares refit what the cut leaves, before the training.
    """

    layers: int
    learning_rate: float
    compensated: bool

    def in_words(self) -> str:
        """As in the log."""
        layers = f"{self.layers} layer{'s' * (self.layers != 1)}"
        return f"{layers}, {self.learning_rate:g}{', least squares' * self.compensated}"


@dataclass(frozen=True)
class Trial:
    """What came of a way.

    Attributes:
        point: The point's number.
        way: What was tried.
        passes: Over the training texts.
        loss: Distance to the teacher's answers about the validation texts; None where the training
            broke down.
        validation_score: Of its best state.
    """

    point: int
    way: Way
    passes: float
    loss: float | None
    validation_score: float


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """By the loss on validation, which tells candidates apart that a score of few rows does not."""
    return sorted(trials, key=lambda trial: math.inf if trial.loss is None else trial.loss)


def halved(
    ways: Sequence[Way], tried: Callable[[Way, float], Trial], *, share: float, finalists: int
) -> tuple[list[Trial], list[Way]]:
    """Successive halving, by thirds.

    Each way starts anew with three times as many texts, since a rate that falls to its end is part
    of a way; a trial that went on where the last one ended would have no such end.

    Args:
        ways: The candidates.
        tried: Makes the trial of a way on a share of the texts, 0 to 1.
        share: Of the first trials.
        finalists: How many are left in the end.

    Returns:
        All trials in the order in which they were made, and the ways that are left, best first.

    Reference:
        Jamieson, Talwalkar. Non-stochastic Best Arm Identification and Hyperparameter Optimization,
        2016, figure 1, with thirds as in Li et al., Hyperband, 2018. https://arxiv.org/abs/1502.07943
    """
    trials: list[Trial] = []
    left = list(ways)
    while len(left) > finalists:
        told = [tried(way, min(1.0, share)) for way in left]
        trials += told
        stay = max(finalists, math.ceil(len(left) / _THIRD))
        left = [trial.way for trial in best_first(told)[:stay]]
        share *= _THIRD
    return trials, left
