"""Regression: how a model's values go with the right ones."""

from __future__ import annotations

import numpy as np

from limbeck.metrics.drawn import Statistic
from limbeck.metrics.order import cumulated


def pearson(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Linear correlation of two arrays [rows], -1 to 1; 0 where one of them is constant."""
    return _of_all(drawn_pearson, predictions, targets)


def spearman(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Correlation of the ranks of two arrays [rows], -1 to 1; 0 where one of them is constant."""
    return _of_all(drawn_spearman, predictions, targets)


def concordance(predictions: np.ndarray, targets: np.ndarray) -> float:
    """How near the points are to the diagonal, -1 to 1; 1 only where predictions are the targets.

    Pearson's correlation times what scale and shift cost; 0 where the predictions are constant.

    Args:
        predictions: [rows].
        targets: [rows].

    Reference:
        Lin. A Concordance Correlation Coefficient to Evaluate Reproducibility, 1989, equation 1.
    """
    told, right = predictions.astype(np.float64), targets.astype(np.float64)
    spread = told.var() + right.var() + (told.mean() - right.mean()) ** 2
    shared = ((told - told.mean()) * (right - right.mean())).mean()
    return float(2 * shared / spread) if spread else 0.0


def drawn_pearson(pairs: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The statistic of `pearson`.

    Args:
        pairs: Prediction and target of each row [rows, 2].
        drawn: How often each row was drawn [rows, resamples].

    Returns:
        One correlation a resample [resamples]. A model that gives every row the same value has
        none; 0 stands for it, as such answers tell nothing.
    """
    # Centered first: sums of squares far from 0 would lose the difference.
    x, y = (pairs - pairs.mean(axis=0)).astype(np.float64).T
    count, sx, sy, sxx, syy, sxy = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]) @ drawn
    return _ratio(sxy - sx * sy / count, sxx - sx * sx / count, syy - sy * sy / count, sxx, syy)


def drawn_spearman(pairs: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The statistic of `spearman`, with tied rows at the mean of their ranks.

    Args:
        pairs: Prediction and target of each row [rows, 2].
        drawn: How often each row was drawn [rows, resamples].

    Returns:
        One correlation a resample [resamples]; 0 as in `drawn_pearson`.

    Raises:
        ValueError: If a prediction or target is NaN, which has no rank.
    """
    middle = drawn.sum(axis=0) / 2
    x, y = (sum(cumulated(side, drawn)) / 2 - middle for side in pairs.T)
    weighted = drawn * x
    sxx, sxy = (weighted * x).sum(axis=0), (weighted * y).sum(axis=0)
    syy = (drawn * y * y).sum(axis=0)
    return _ratio(sxy, sxx, syy, sxx, syy)


def _ratio(
    together: np.ndarray, own: np.ndarray, other: np.ndarray, *sizes: np.ndarray
) -> np.ndarray:
    """Covariance over deviations; 0 where a deviation is nothing but rounding of its size."""
    varies = (own > 1e-12 * sizes[0]) & (other > 1e-12 * sizes[1])
    return together / np.sqrt(np.where(varies, own * other, 1.0)) * varies


def _of_all(statistic: Statistic, predictions: np.ndarray, targets: np.ndarray) -> float:
    pairs = np.stack([predictions, targets], axis=1)
    return float(statistic(pairs, np.ones((len(pairs), 1)))[0])
