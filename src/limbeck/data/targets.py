"""What rows are to be answered with, as arrays: classes, sets of classes, or numbers.

Classes are int64 [rows] and sets of classes int8 [rows, classes] of 0 and 1, -100 where a row has
none; numbers are float32 [rows], NaN where a row has none.
"""

from __future__ import annotations

import numpy as np

from limbeck.data.texts import UNLABELLED

_STRATA = 10
_RARE = 10


def labelled(targets: np.ndarray) -> np.ndarray:
    """Which rows have a target (bool [rows])."""
    cells = targets.reshape(len(targets), -1)
    missing = cells == UNLABELLED if targets.dtype.kind == "i" else np.isnan(cells)
    return np.logical_not(missing.any(axis=1))


def none_like(targets: np.ndarray, rows: int) -> np.ndarray:
    """Targets of `rows` rows that have none, to be joined to these."""
    empty = UNLABELLED if targets.dtype.kind == "i" else np.nan
    return np.full((rows, *targets.shape[1:]), empty, dtype=targets.dtype)


def strata(targets: np.ndarray) -> np.ndarray:
    """Class indices (int64, -100 without a target) to stratify by.

    Sets of classes are classes of their own, but for those of few rows, which are one together: of
    thousands of rare sets half would be held out. Numbers fall into tenths of the rows.
    """
    if targets.dtype == np.int64:
        return targets
    here = labelled(targets)
    found = np.full(len(targets), UNLABELLED, dtype=np.int64)
    known = targets[here]
    if targets.ndim == 2:
        _, own, rows = np.unique(known, axis=0, return_inverse=True, return_counts=True)
        own = own.reshape(-1)
        found[here] = np.where(rows[own] < _RARE, len(rows), own)
    elif len(known):
        bounds = np.quantile(known, np.linspace(0, 1, _STRATA + 1)[1:-1])
        found[here] = np.searchsorted(bounds, known, side="right")
    return found
