"""Single-label classification: one text, one of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SCORE_NAME = "accuracy"
"""The score that chooses states and that retention is a ratio of."""


@dataclass(frozen=True)
class Scores:
    """How well logits answer labels.

    Attributes:
        score: Accuracy, 0 to 1.
        precision: Macro average over the classes that occur, 0 to 1.
        recall: Likewise.
        f1: Likewise.
        per_class: Class name to precision, recall, f1 and support (rows).
        confusion: Rows are labels, columns answers, in class order.
    """

    score: float
    precision: float
    recall: float
    f1: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose largest logit is the label's, 0 to 1."""
    return float((logits.argmax(axis=1) == labels).mean())


def correct(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1.0 a row that is right, else 0.0: the parts that the score is the mean of."""
    return (logits.argmax(axis=1) == labels).astype(np.float64)


def scores(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Scores:
    """Every score of the task.

    Args:
        logits: [rows, classes].
        labels: Class indices [rows]; every row is labelled.
        names: Class names in index order.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    answers = logits.argmax(axis=1)
    classes = np.arange(len(names))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels,
        answers,
        labels=classes,
        zero_division=0.0,  # pyright: ignore[reportArgumentType]
    )
    present = np.asarray(support) > 0
    return Scores(
        score=accuracy(logits, labels),
        precision=float(np.asarray(precision)[present].mean()),
        recall=float(np.asarray(recall)[present].mean()),
        f1=float(np.asarray(f1)[present].mean()),
        per_class={
            name: {
                "precision": float(precision[i]),  # pyright: ignore[reportIndexIssue]
                "recall": float(recall[i]),  # pyright: ignore[reportIndexIssue]
                "f1": float(f1[i]),  # pyright: ignore[reportIndexIssue]
                "support": int(support[i]),  # pyright: ignore[reportOptionalSubscript, reportIndexIssue]
            }
            for i, name in enumerate(names)
        },
        confusion=confusion_matrix(labels, answers, labels=classes).tolist(),
    )
