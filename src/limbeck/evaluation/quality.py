"""Where teacher and student differ most: what a score alone does not show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limbeck.data.per_word import Outputs, Targets
from limbeck.data.texts import Texts, brief, sides
from limbeck.evaluation.report import Disagreement
from limbeck.tasks.task import Task

_SHOWN = 600
"""Characters of running text."""


def worst_disagreements(
    texts: Texts,
    labels: Targets,
    teacher_logits: Outputs,
    student_logits: Outputs,
    names: Sequence[str],
    task: Task,
    *,
    count: int = 20,
) -> list[Disagreement]:
    """The rows that teacher and student answer differently, the furthest apart first."""
    apart = task.distance(student_logits, teacher_logits)
    differ = task.changed(student_logits, teacher_logits)
    order = np.argsort(-apart, kind="stable")
    rows = [int(row) for row in order if differ[row]][:count]
    teacher, student = task.answers(teacher_logits[rows]), task.answers(student_logits[rows])
    found = []
    for place, row in enumerate(rows):
        item = texts.item(row)
        theirs, own = task.said(teacher[place], names, item), task.said(student[place], names, item)
        found.append(
            Disagreement(
                id=texts.ids[row],
                text="\n".join(sides(brief(item, _SHOWN))),
                label=task.wanted(labels[row], names),
                teacher=theirs.words,
                student=own.words,
                teacher_probability=theirs.probability,
                student_probability=own.probability,
            )
        )
    return found
