"""Confidence intervals by resampling the test rows, paired between models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from limbeck.metrics.drawn import Statistic, mean_of_rows

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
    """Scores of several models over the same resampled rows.

    Because every model is resampled with the same rows, differences and ratios between models
    are paired: the luck of the rows cancels out.

    Args:
        parts: Model name to what it did on each row: a score (1.0 right, 0.0 wrong, or any
            number) [rows], or what the statistic takes [rows, ...].
        count: Resamples.
        confidence: Level of the intervals, 0 to 1.
        seed: Of the resampling.
        statistic: What makes a score of parts; the mean, or `of_sums(micro_f1)` of counts,
            `drawn_spearman` of pairs, and so on.

    Raises:
        ValueError: If the models' rows differ in number (they would be paired with others).

    Reference:
        Efron, Tibshirani. An Introduction to the Bootstrap, 1993, chapter 13 (percentile).
    """

    def __init__(
        self,
        parts: Mapping[str, np.ndarray],
        *,
        count: int,
        confidence: float,
        seed: int,
        statistic: Statistic = mean_of_rows,
    ) -> None:
        lengths = {name: len(part) for name, part in parts.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"Resamples: rows by model are {lengths}. All must have the same rows, as they "
                f"are resampled together. Pass every model's parts of the same test set."
            )
        rows = next(iter(lengths.values()))
        self._tails = [50 * (1 - confidence), 100 - 50 * (1 - confidence)]
        once = np.ones((rows, 1))
        self._point = {name: float(statistic(part, once)[0]) for name, part in parts.items()}
        scores: dict[str, list[np.ndarray]] = {name: [] for name in parts}
        for drawn in _draws(rows, count, seed):
            for name, part in parts.items():
                scores[name].append(statistic(part, drawn))
        self._scores = {name: np.concatenate(chunks) for name, chunks in scores.items()}

    @property
    def names(self) -> list[str]:
        """Of the models."""
        return list(self._point)

    def score(self, name: str) -> Interval:
        """A model's score."""
        return self._interval(self._point[name], self._scores[name])

    def difference(self, name: str, other: str) -> Interval:
        """Score of `name` minus score of `other`."""
        return self._interval(
            self._point[name] - self._point[other], self._scores[name] - self._scores[other]
        )

    def ratio(self, name: str, other: str) -> Interval:
        """Score of `name` over score of `other`; `other` must not score 0."""
        return self._interval(
            self._point[name] / self._point[other],
            self._scores[name] / np.maximum(self._scores[other], 1e-12),
        )

    def _interval(self, value: float, resampled: np.ndarray) -> Interval:
        low, high = np.percentile(resampled, self._tails)
        return Interval(value, float(low), float(high))


def _draws(rows: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row was drawn [rows, resamples], some resamples at a time."""
    generator = np.random.default_rng(seed)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        drawn = generator.integers(0, rows, size=(size, rows))
        drawn += rows * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        yield np.ascontiguousarray(times.T, dtype=np.float64)
