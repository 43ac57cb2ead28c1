"""What a file says of rows as a task's outputs: probabilities become logits, columns classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from limbeck.config.teacher import AnswerKind
from limbeck.data.labels import folded
from limbeck.data.told import Told
from limbeck.errors import DataError, nearest
from limbeck.tasks.task import Task

SMALLEST = 1e-6
"""Probabilities nearer to 0 (and, where classes do not exclude others, to 1) are told as this."""
_SUM = 0.02
"""How far the probabilities of classes may miss 1: written with two digits they do."""
_FEWEST_FOR_SPREAD = 3


def outputs_of(task: Task, told: Told, names: Sequence[str], kind: AnswerKind) -> np.ndarray:
    """A file's answers as outputs of the task [answers, outputs], float32.

    Of classes that exclude each other a logit is log p, else log(p / (1 - p)), p at least
    `SMALLEST` from 0 (and from 1): a 0 would be a logit without end, and rounded files have many.

    Args:
        task: What is learned.
        told: The file's.
        names: The outputs in the student's order; empty for vectors.
        kind: What the file's numbers are.

    Raises:
        DataError: For another number of numbers than outputs, other classes, or numbers that are
            no probabilities.
    """
    values = _in_order(told, names) if names else told.values
    if kind == "probabilities":
        return _logits(task, told, values.astype(np.float64)).astype(np.float32)
    if kind == "vectors":
        _refuse_zero(told)
    return values


def clipped(told: Told) -> int:
    """How many of the probabilities stand nearer to 0 than `SMALLEST`."""
    return int((told.values < SMALLEST).sum())


def _in_order(told: Told, names: Sequence[str]) -> np.ndarray:
    """The columns by the names of the outputs, where the file names them."""
    width = told.values.shape[1]
    named = told.names is not None and len(names) > 1
    if named and width >= len(names):
        own = {folded(name): place for place, name in enumerate(told.names or ())}
        lacking = [name for name in names if folded(name) not in own]
        if lacking or len(own) != len(names):
            extra = [n for n in told.names or () if folded(n) not in map(folded, names)]
            what = f"no answers about {lacking[0]!r}" if lacking else f"{extra[0]!r} is no class"
            raise DataError(
                told.source,
                f"{what}; it tells of {', '.join(map(str, (told.names or ())[:8]))}."
                f"{nearest((lacking or extra)[0], (told.names or ()) if lacking else names)}",
                f"Give a column a class, named like it: {', '.join(names[:8])}; or name the column "
                "of the answers (teacher.answers.column).",
            )
        return told.values[:, [own[folded(name)] for name in names]]
    if width != len(names):
        raise DataError(
            told.source,
            f"an answer has {width} numbers, but there are {len(names)} classes "
            f"({', '.join(names[:8])})",
            "Give a number a class, in the order of data.labels.",
        )
    return told.values


def _logits(task: Task, told: Told, values: np.ndarray) -> np.ndarray:
    outside = np.flatnonzero(((values < 0) | (values > 1 + 1e-6)).any(axis=1))
    if len(outside):
        answer = int(outside[0])
        wrong = values[answer][(values[answer] < 0) | (values[answer] > 1 + 1e-6)][0]
        raise DataError(
            told.where(answer),
            f"{wrong:g} is no probability, as are numbers of {len(outside)} of {len(values)} rows",
            "Probabilities are from 0 to 1; for scores before a softmax set "
            "teacher.answers.kind: logits.",
        )
    if not task.distributes:
        near = np.clip(values, SMALLEST, 1 - SMALLEST)
        return np.log(near) - np.log1p(-near)
    sums = values.sum(axis=1)
    astray = np.flatnonzero(np.abs(sums - 1) > _SUM)
    if len(astray):
        answer = int(astray[0])
        raise DataError(
            told.where(answer),
            f"the probabilities sum to {sums[answer]:.4g}, as do those of {len(astray)} of "
            f"{len(values)} rows to something else than 1",
            "Give a probability a class; if several classes may hold at once, set "
            "task: multi_label.",
        )
    return np.log(np.maximum(values, SMALLEST))


def _refuse_zero(told: Told) -> None:
    zero = np.flatnonzero(~told.values.any(axis=1))
    if len(zero):
        raise DataError(
            told.where(int(zero[0])),
            f"the vector is all zeros, as are {len(zero)} of {len(told.values)}: it points nowhere",
            "Leave the row out.",
        )
    if len(told.values) >= _FEWEST_FOR_SPREAD and not np.ptp(told.values, axis=0).any():
        raise DataError(
            told.source,
            f"all {len(told.values)} vectors are the same: there is nothing to learn from them",
            "Check how they were made.",
        )
