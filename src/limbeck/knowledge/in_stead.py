"""Answers about other texts in the stead of a row's own: of a translation those of its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from limbeck.errors import KnowledgeError
from limbeck.knowledge.answers import Answers
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from torch import Tensor


class InStead:
    """What a teacher says of the texts that stand for the rows; it never reads the rows.

    Args:
        answers: About those texts.
        places: Of each row, its text's place among them.
    """

    def __init__(self, answers: Answers, places: np.ndarray) -> None:
        self._answers, self._places = answers, places
        self.told = None if answers.told is None else answers.told[places]

    def logits(self, rows: np.ndarray) -> Tensor:
        """The outputs [rows, outputs] on the rows' texts; float32."""
        return self._answers.logits(self._places[rows])

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """Nothing: other texts have other tokens.

        Raises:
            KnowledgeError: Always.
        """
        raise KnowledgeError(
            part.name,
            "the teacher read other texts than the student, so that no token answers to another",
            "Use terms of kind logits and vectors.",
        )
