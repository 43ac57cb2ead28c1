"""What a training is given: rows to learn from, and rows to be examined on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.encode import Encoded
from limbeck.data.texts import UNLABELLED
from limbeck.knowledge.answers import Answers
from limbeck.training.losses import Counted


@dataclass(frozen=True)
class TeacherSide:
    """What terms must know of the teacher beside its answers.

    Attributes:
        layers: Its depth, the embeddings not counted.
        hidden: Width of its hidden states.
        heads: Its attention heads.
    """

    layers: int
    hidden: int
    heads: int


@dataclass(frozen=True)
class Lessons:
    """What a student learns from.

    Attributes:
        encoded: Token ids under the student's tokenizer.
        labels: Class indices, -100 where unlabelled.
        answers: What the teacher says to the same rows, or None without a teacher.
        teacher: Who says it, or None without a teacher.
        ids: The rows' ids, for messages.
    """

    encoded: Encoded
    labels: np.ndarray
    answers: Answers | None
    teacher: TeacherSide | None
    ids: Sequence[str]

    def count(self, rows: np.ndarray) -> Counted:
        """How much the rows hold of what terms take means over."""
        offsets = self.encoded.offsets
        lengths = offsets[rows + 1] - offsets[rows]
        return Counted(
            rows=len(rows),
            labelled=int((self.labels[rows] != UNLABELLED).sum()),
            tokens=int(lengths.sum()),
            pairs=int((lengths**2).sum()),
        )


@dataclass(frozen=True)
class Exam:
    """Held-out labelled rows that choose the best state."""

    encoded: Encoded
    labels: np.ndarray
