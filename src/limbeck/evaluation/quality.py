"""Fidelity and calibration: what a score alone does not show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limbeck.data.texts import Texts
from limbeck.evaluation.report import Disagreement


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over classes [rows, classes]."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def agreement(logits: np.ndarray, other: np.ndarray) -> float:
    """Share of rows on which both answer the same class, 0 to 1."""
    return float((logits.argmax(axis=1) == other.argmax(axis=1)).mean())


def calibration_error(logits: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal bins.

    Reference:
        Guo et al. On Calibration of Modern Neural Networks, 2017, equation 3.
        https://arxiv.org/abs/1706.04599
    """
    sure = probabilities(logits).max(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gap = 0.0
    for one in np.unique(place):
        here = place == one
        gap += float(here.mean()) * abs(float(right[here].mean()) - float(sure[here].mean()))
    return gap


def worst_disagreements(
    texts: Texts,
    labels: np.ndarray,
    teacher_logits: np.ndarray,
    student_logits: np.ndarray,
    names: Sequence[str],
    *,
    count: int = 20,
) -> list[Disagreement]:
    """The rows that teacher and student answer differently, the surest of both first."""
    teacher, student = probabilities(teacher_logits), probabilities(student_logits)
    differ = teacher.argmax(axis=1) != student.argmax(axis=1)
    sureness = teacher.max(axis=1) * student.max(axis=1) * differ
    rows = [int(row) for row in np.argsort(-sureness, kind="stable")[:count] if differ[row]]
    return [
        Disagreement(
            id=texts.ids[row],
            text=texts.texts[row],
            label=names[int(labels[row])],
            teacher=names[int(teacher[row].argmax())],
            student=names[int(student[row].argmax())],
            teacher_probability=float(teacher[row].max()),
            student_probability=float(student[row].max()),
        )
        for row in rows
    ]
