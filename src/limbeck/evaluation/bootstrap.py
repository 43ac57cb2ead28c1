"""Confidence intervals by resampling the test rows, paired between models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_CHUNK = 100


@dataclass(frozen=True)
class Interval:
    """A figure with its percentile bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all of the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


class Resamples:
    """Mean scores of several models over the same resampled rows.

    Because every model is resampled with the same rows, differences and ratios between models
    are paired: the luck of the rows cancels out.

    Args:
        parts: Model name to its score a row (1.0 right, 0.0 wrong, or any number) [rows].
        count: Resamples.
        confidence: Level of the intervals, 0 to 1.
        seed: Of the resampling.

    Reference:
        Efron, Tibshirani. An Introduction to the Bootstrap, 1993, chapter 13 (percentile).
    """

    def __init__(
        self, parts: Mapping[str, np.ndarray], *, count: int, confidence: float, seed: int
    ) -> None:
        generator = np.random.default_rng(seed)
        names = list(parts)
        matrix = np.stack([parts[name] for name in names])
        rows = matrix.shape[1]
        self._tails = [50 * (1 - confidence), 100 - 50 * (1 - confidence)]
        self._point = dict(zip(names, matrix.mean(axis=1), strict=True))
        means = []
        for start in range(0, count, _CHUNK):
            size = min(_CHUNK, count - start)
            drawn = generator.integers(0, rows, size=(size, rows))
            means.append(matrix[:, drawn].mean(axis=2))
        self._means = dict(zip(names, np.concatenate(means, axis=1), strict=True))

    def score(self, name: str) -> Interval:
        """A model's mean score."""
        return self._interval(float(self._point[name]), self._means[name])

    def difference(self, name: str, other: str) -> Interval:
        """Score of `name` minus score of `other`."""
        return self._interval(
            float(self._point[name] - self._point[other]), self._means[name] - self._means[other]
        )

    def ratio(self, name: str, other: str) -> Interval:
        """Score of `name` over score of `other`; `other` must not score 0."""
        return self._interval(
            float(self._point[name] / self._point[other]),
            self._means[name] / np.maximum(self._means[other], 1e-12),
        )

    def _interval(self, value: float, resampled: np.ndarray) -> Interval:
        low, high = np.percentile(resampled, self._tails)
        return Interval(value, float(low), float(high))
