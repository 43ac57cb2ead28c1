"""Finds a teacher whose classes are numbered otherwise than the data's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limbeck.errors import TeacherError

_GAIN = 0.2
"""How much better another numbering must fit before it is believed over the given one."""


def check_label_order(
    logits: np.ndarray, labels: np.ndarray, names: Sequence[str], *, where: str
) -> None:
    """Refuse labels that fit the teacher far better under another numbering.

    Args:
        logits: The teacher's, on labelled rows [rows, classes].
        labels: Class indices [rows].
        names: Class names in the teacher's order.
        where: The teacher's path, for the message.

    Raises:
        TeacherError: If one swap of classes explains the teacher's answers: every label would
            train towards another class.
    """
    from scipy.optimize import linear_sum_assignment

    answers = logits.argmax(axis=1)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (labels, answers), 1)
    given = np.trace(counts) / len(labels)
    rows, columns = linear_sum_assignment(-counts)
    best = counts[rows, columns].sum() / len(labels)
    if best - given <= _GAIN:
        return
    swaps = [
        f"{names[row]} is answered as {names[column]}"
        for row, column in zip(rows, columns, strict=True)
        if row != column and counts[row].sum()
    ]
    raise TeacherError(
        where,
        f"the label order differs: the teacher is right on {given:.1%} of the validation rows, "
        f"and would be on {best:.1%} if classes were numbered otherwise ({'; '.join(swaps[:4])})",
        "Number the data's labels in the teacher's order, or write them as the teacher's names.",
    )
