"""Yes or no by a score: how well scores put what is to be found before the rest."""

from __future__ import annotations

import numpy as np

from limbeck.metrics.drawn import Statistic
from limbeck.metrics.order import cumulated


def auroc(scores: np.ndarray, positives: np.ndarray) -> float:
    """Chance that a positive row's score is above a negative one's; a tie counts half.

    For a model that is to reject what it was not made for: scores are its doubt, positives the
    rows out of scope. 1/2 is what guessing gives.

    Args:
        scores: Higher for rows that should be positive [rows].
        positives: True or 1 for the positive rows [rows].

    Raises:
        ValueError: If all rows are of one kind (nothing can be told apart), or a score is NaN.
    """
    return _of_all(drawn_auroc, scores, positives, where="auroc")


def average_precision(scores: np.ndarray, positives: np.ndarray) -> float:
    """Mean over positive rows of the share of positives among rows that score as high or higher.

    As `auroc`, for positives that are rare: their share is what guessing gives.

    Args:
        scores: Higher for rows that should be positive [rows].
        positives: True or 1 for the positive rows [rows].

    Raises:
        ValueError: As `auroc`.
    """
    return _of_all(drawn_average_precision, scores, positives, where="average_precision")


def drawn_auroc(pairs: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The statistic of `auroc`.

    Args:
        pairs: Score, and 1 for positive or 0, of each row [rows, 2].
        drawn: How often each row was drawn [rows, resamples].

    Returns:
        One a resample [resamples], 0 to 1; 1/2 where a resample has rows of one kind alone.
    """
    scores, positive = pairs.T
    negatives = drawn * (1 - positive)[:, None]
    below, through = cumulated(scores, negatives)
    wins = (positive[:, None] * drawn * (below + through)).sum(axis=0) / 2
    total = positive @ drawn * negatives.sum(axis=0)
    return np.where(total > 0, wins / np.maximum(total, 1), 0.5)


def drawn_average_precision(pairs: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The statistic of `average_precision`.

    Args:
        pairs: Score, and 1 for positive or 0, of each row [rows, 2].
        drawn: How often each row was drawn [rows, resamples].

    Returns:
        One a resample [resamples], 0 to 1; NaN where a resample has no positive row.
    """
    scores, positive = pairs.T
    hits = drawn * positive[:, None]
    precision = cumulated(-scores, hits)[1] / np.maximum(cumulated(-scores, drawn)[1], 1)
    total = hits.sum(axis=0)
    found = (hits * precision).sum(axis=0)
    return np.where(total > 0, found / np.maximum(total, 1), np.nan)


def _of_all(
    statistic: Statistic, scores: np.ndarray, positives: np.ndarray, *, where: str
) -> float:
    kinds = np.unique(positives)
    if kinds.tolist() != [0, 1]:
        raise ValueError(
            f"{where}: positives holds {kinds[:5].tolist()}. It must hold both 0 and 1, and "
            f"nothing else. Pass rows of both kinds."
        )
    pairs = np.stack([scores, positives.astype(np.float64)], axis=1)
    return float(statistic(pairs, np.ones((len(pairs), 1)))[0])
