"""Where rows stand when they are sorted, some of them drawn many times or never."""

from __future__ import annotations

import numpy as np


def cumulated(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, the weight of rows with smaller values, and with values up to its own.

    Sorts once for all resamples: a resample changes weights and no order.

    Args:
        values: What rows are sorted by [rows].
        weights: Of each row [rows, resamples].

    Returns:
        Two arrays [rows, resamples]; their difference is the weight of a row's ties, itself
        included.

    Raises:
        ValueError: If a value is NaN, which has no place in an order.
    """
    if np.isnan(values).any():
        raise ValueError(
            f"cumulated: value {int(np.isnan(values).argmax())} is not a number. Rows are sorted "
            f"by it. Look for the model's answers that are NaN."
        )
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sums = np.zeros((len(values) + 1, weights.shape[1]))
    np.cumsum(weights[order], axis=0, out=sums[1:])
    ends = np.r_[starts[1:], len(values)]
    before, through = (np.empty(len(values), dtype=np.int64) for _ in range(2))
    before[order], through[order] = (np.repeat(side, ends - starts) for side in (starts, ends))
    return sums[before], sums[through]
