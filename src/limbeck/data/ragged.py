"""Any number of numbers a row, one row's after the other's: where those of some rows stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rows = int | Sequence[int] | np.ndarray


def words_of(offsets: np.ndarray, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The places of some rows' words, row after row, and the offsets of these rows alone.

    Args:
        offsets: int64 [rows + 1]: row i has words offsets[i] to offsets[i + 1].
        rows: Their numbers, in any order.
    """
    picked = np.atleast_1d(np.asarray(rows, dtype=np.int64))
    starts = offsets[picked]
    counts = offsets[picked + 1] - starts
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return np.arange(ends[-1]) + np.repeat(starts - ends[:-1], counts), ends


def end_to_end(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The offsets of several sets of rows as those of one; there is at least one."""
    starts = np.cumsum([0, *(int(part[-1]) for part in parts)])
    moved = [part[1:] + start for part, start in zip(parts, starts, strict=False)]
    return np.concatenate([np.zeros(1, dtype=np.int64), *moved])
