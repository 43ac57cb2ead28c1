"""Outputs and targets of tasks that find answers in texts: any number of places a question.

A question is a row here, however many windows its context was read in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.ragged import Rows, end_to_end, words_of

NO_ANSWER = "[]"
"""The label of a question that its context does not answer."""


@dataclass(frozen=True, eq=False)
class SpanTargets:
    """The right answers of questions, and the contexts that they stand in.

    Attributes:
        written: The distinct lists of answers as JSON: [[text, start], …], [] for no answer.
        codes: int32 [rows], a row's place in `written`; -1 where nobody has said.
        contexts: Of some rows; read when they are asked for.
        places: int64 [rows], a row's place in `contexts`; -1 for rows that are never judged.
    """

    written: tuple[str, ...]
    codes: np.ndarray
    contexts: Sequence[str]
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Rows) -> SpanTargets:
        """Some rows, in the order in which they are named."""
        picked = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        return SpanTargets(self.written, self.codes[picked], self.contexts, self.places[picked])

    def tobytes(self) -> bytes:
        """What a fingerprint is made of."""
        return "\x00".join(self.written).encode("utf-8", "surrogatepass") + self.codes.tobytes()

    def answers(self) -> list[tuple[str, ...]]:
        """The right answers of each row, none where there is none or nobody has said."""
        known = [tuple(text for text, _ in json.loads(answers)) for answers in self.written]
        return [known[code] if code >= 0 else () for code in self.codes.tolist()]

    def answerable(self) -> np.ndarray:
        """Which rows have an answer (bool [rows])."""
        there = np.array([answers != NO_ANSWER for answers in self.written] + [False])
        return there[self.codes]  # -1 is the last

    def texts(self, spans: np.ndarray) -> list[str]:
        """The pieces of the rows' contexts; "" where a span is below 0.

        Args:
            spans: int64 [rows, 2], first character and the one after the last.
        """
        places: list[int] = self.places.tolist()
        return [
            self.contexts[place][start:end] if start >= 0 else ""
            for place, (start, end) in zip(places, spans.tolist(), strict=True)
        ]


@dataclass(frozen=True, eq=False)
class SpanOutputs:
    """What a head says about every place where an answer may start or end, question by question.

    Each window begins with the token that stands for no answer; the tokens of its piece of the
    context follow.

    Attributes:
        values: [places, 2], that an answer starts there and that it ends there.
        offsets: int64 [rows + 1]: row i has places offsets[i] to offsets[i + 1].
        spans: int32 [places, 2], the characters of the context that a token stands for, end
            excluded; -1 twice where it stands for no answer.
    """

    values: np.ndarray
    offsets: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Rows) -> SpanOutputs:
        """Some rows, in the order in which they are named."""
        places, offsets = words_of(self.offsets, rows)
        return SpanOutputs(self.values[places], offsets, self.spans[places])


@dataclass(frozen=True, eq=False)
class SpanAnswers:
    """The answer to each question.

    Attributes:
        spans: int64 [rows, 2], its characters in the context, end excluded; -1 twice where the
            context does not answer.
        probabilities: float64 [rows], that it starts there times that it ends there.
    """

    spans: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, rows: Rows) -> SpanAnswers:
        """Some rows, in the order in which they are named."""
        picked = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        return SpanAnswers(self.spans[picked], self.probabilities[picked])


def all_questions(parts: Sequence[SpanOutputs]) -> SpanOutputs:
    """Outputs of some questions, and of some more, as one; there is at least one part."""
    return SpanOutputs(
        np.concatenate([part.values for part in parts]),
        end_to_end([part.offsets for part in parts]),
        np.concatenate([part.spans for part in parts]),
    )
