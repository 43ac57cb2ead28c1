"""Precision, recall and F1 of counts: what was right, what was said, what there was.

Counts end in a dimension of three (right, predicted, gold) and are summed over rows before they
come here, so that a resample costs a sum.
"""

from __future__ import annotations

import numpy as np


def precision(counts: np.ndarray) -> np.ndarray:
    """Share of what was predicted that is right, of counts [..., 3]; 0 where nothing was."""
    return counts[..., 0] / np.maximum(counts[..., 1], 1)


def recall(counts: np.ndarray) -> np.ndarray:
    """Share of what there was that was found, of counts [..., 3]; 0 where there was nothing."""
    return counts[..., 0] / np.maximum(counts[..., 2], 1)


def f1(counts: np.ndarray) -> np.ndarray:
    """2 right / (predicted + gold), of counts [..., 3]; 0 where both are 0."""
    return 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)


def micro_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of all classes' counts [..., classes, 3] as one: frequent classes count most."""
    return f1(counts.sum(axis=-2))


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that occur in gold, of counts [..., classes, 3]; 0 where none does.

    A class that is only predicted has no row to be right on; it costs precision in `micro_f1`.
    """
    occurs = counts[..., 2] > 0
    return (f1(counts) * occurs).sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1)
