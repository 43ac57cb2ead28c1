"""Scores as functions of how often each row was drawn, so that resampling them is cheap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A score of (parts [rows, ...], drawn [rows, resamples]) -> [resamples].

Parts are what a model did on each row. Drawn is how often a resample holds a row; all ones is the
test set itself.
"""


def mean_of_rows(parts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The mean of one number a row: accuracy, exact match, nDCG.

    Args:
        parts: A score a row [rows].
        drawn: How often each row was drawn [rows, resamples].

    Returns:
        One mean a resample [resamples].
    """
    return parts @ drawn / drawn.sum(axis=0)


def of_sums(score: Callable[[np.ndarray], np.ndarray]) -> Statistic:
    """The statistic of a score that needs only sums over rows: F1 of counts, perplexity.

    Args:
        score: Of sums [resamples, ...] to [resamples]: `micro_f1`, `macro_f1`, `perplexity`,
            `share`.

    Returns:
        A statistic of parts [rows, ...], each row's counts.
    """

    def statistic(parts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        sums = drawn.T @ parts.reshape(len(parts), -1)
        return score(sums.reshape(-1, *parts.shape[1:]))

    return statistic


def of_rows(score: Callable[[np.ndarray], float]) -> Statistic:
    """The statistic of any score of rows, computed anew for every resample.

    For a score that nothing else fits. It takes as long as the score, times the resamples;
    `drawn_spearman` and its neighbours take a fraction of that.

    Args:
        score: Of the rows of one resample [rows, ...] to a number.

    Returns:
        A statistic of parts [rows, ...].
    """

    def statistic(parts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        times = drawn.astype(np.int64).T
        return np.array([score(np.repeat(parts, one, axis=0)) for one in times])

    return statistic
