"""Multi-label classification: which of the labels were given, row by row."""

from __future__ import annotations

import numpy as np

from limbeck.metrics.detection import drawn_average_precision

UNLABELED = -100


def label_counts(logits: np.ndarray, targets: np.ndarray, *, threshold: float) -> np.ndarray:
    """What was right, predicted and gold of every row and class, for `micro_f1` and `macro_f1`.

    Args:
        logits: One a class [rows, classes].
        targets: 1, 0, or -100 where it is not known, which counts nowhere [rows, classes].
        threshold: Logit above which a label is given; 0 is a probability of 1/2.

    Returns:
        Zeros and ones [rows, classes, 3].

    Raises:
        ValueError: If the shapes differ, or a logit is NaN (no label would be given).
    """
    _refuse(logits, targets, where="label_counts")
    known = targets != UNLABELED
    given = (logits > threshold) & known
    gold = targets == 1
    return np.stack([given & gold, given, gold], axis=-1).astype(np.float64)


def mean_average_precision(logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes that occur of `average_precision`, 0 to 1; needs no threshold.

    Args:
        logits: One a class [rows, classes].
        targets: 1, 0, or -100 where it is not known, which counts nowhere [rows, classes].

    Raises:
        ValueError: If the shapes differ, a logit is NaN, or no class occurs.
    """
    _refuse(logits, targets, where="mean_average_precision")
    if not (targets == 1).any():
        raise ValueError(
            "mean_average_precision: targets holds no 1. At least one class must occur. "
            "Pass labelled rows."
        )
    parts = np.stack([logits, targets], axis=-1).astype(np.float64)
    return float(drawn_mean_average_precision(parts, np.ones((len(parts), 1)))[0])


def drawn_mean_average_precision(parts: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The statistic of `mean_average_precision`.

    Args:
        parts: Logit and target of each row and class [rows, classes, 2].
        drawn: How often each row was drawn [rows, resamples].

    Returns:
        One a resample [resamples], over the classes that occur in it; 0 where none does.
    """
    classes = []
    for one in parts.transpose(1, 0, 2):
        known = one[:, 1] != UNLABELED
        classes.append(drawn_average_precision(one[known], drawn[known]))
    values = np.array(classes)
    occurs = ~np.isnan(values)
    return np.where(occurs, values, 0).sum(axis=0) / np.maximum(occurs.sum(axis=0), 1)


def _refuse(logits: np.ndarray, targets: np.ndarray, *, where: str) -> None:
    if logits.shape != targets.shape or logits.ndim != 2:
        raise ValueError(
            f"{where}: logits has shape {logits.shape}, targets has shape {targets.shape}. Both "
            f"must be [rows classes]. Pass one column a class."
        )
    if np.isnan(logits).any():
        raise ValueError(
            f"{where}: logits has NaN in row {int(np.isnan(logits).any(axis=1).argmax())}. They "
            f"must be numbers. Look for the model's answers that are NaN."
        )
