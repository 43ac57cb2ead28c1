"""A teacher's answers about its own tokens, carried to a student that cuts texts into others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.crossing import Crossing
from limbeck.data.encoded import Encoded
from limbeck.data.ragged import words_of
from limbeck.knowledge.answers import Answers
from limbeck.knowledge.recorded import padding_mask
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

_NEVER = -1e4
"""The logit of a token at which no teacher token begins, or ends: its probability is exactly 0."""


@dataclass(frozen=True)
class Windows:
    """The rows of questions as student and teacher read them: the same characters in each row."""

    student: Encoded
    teacher: Encoded


class Carried:
    """Answers by row index, of the student's tokens.

    Logits of texts and of words are the teacher's as they are: they are of no tokens. Of windows
    they are carried by characters: that an answer starts at a teacher token is said of the student
    token that holds its first character, that it ends there of the one that holds its last. Where
    several come together, their probabilities are summed (the logarithm of the summed exponentials
    of the logits), and a student token at whose characters none begins is never a start.

    Args:
        answers: The teacher's, of its own tokens.
        crossing: The pairs of tokens, for states; None where no term looks at any.
        left: Whether the teacher's padding goes before the text.
        windows: The rows of questions, or None where rows are texts.
    """

    def __init__(
        self,
        answers: Answers,
        crossing: Crossing | None,
        *,
        left: bool,
        windows: Windows | None = None,
    ) -> None:
        self._answers, self._crossing, self._left = answers, crossing, left
        self._windows = windows

    @property
    def told(self) -> np.ndarray | None:
        """Which rows have an answer (bool [rows]); None where all have."""
        return self._answers.told

    @property
    def of_states(self) -> bool:
        """Whether it gives states, not logits alone."""
        return self._crossing is not None

    @property
    def first_token(self) -> int:
        """Place of the teacher's token that stands for the text: 0, or -1 where padding is left."""
        return -1 if self._left else 0

    def count(self, rows: np.ndarray) -> int:
        """How many student tokens of some rows have a teacher token."""
        assert self._crossing is not None
        return int(self._crossing.aligned[rows].sum())

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits of rows, [words of the rows, classes] or [student's places, 2]; float32."""
        said = self._answers.logits(rows)
        return said if self._windows is None else carried_places(said, self._windows, rows)

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """A part of the student's tokens, zero where one has no teacher token, float32.

        Returns:
            [rows, width, size].
        """
        import torch

        assert self._crossing is not None  # planned with the terms
        theirs = self._theirs(part, rows)
        pairs = self._crossing.of(rows)
        longest = theirs.shape[1]
        lengths = self._crossing.offsets[rows + 1] - self._crossing.offsets[rows]
        own = pairs.student + (width - lengths[pairs.rows] if left else 0)
        other = pairs.teacher
        if self._left:
            other = other + longest - self._crossing.teacher_lengths[rows][pairs.rows]
        where = torch.from_numpy(pairs.rows * width + own).to(theirs.device)
        given = torch.from_numpy(pairs.rows * longest + other).to(theirs.device)
        weights = torch.from_numpy(pairs.weights.copy()).to(theirs.device)
        vectors = theirs.flatten(0, 1)[given] * weights[:, None]
        carried = theirs.new_zeros(len(rows) * width, theirs.shape[2])
        return carried.index_add_(0, where, vectors).unflatten(0, (len(rows), width))

    def aligned(self, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """1 at the student's tokens that have a teacher token, else 0: int64 [rows, width]."""
        import torch

        assert self._crossing is not None
        pairs = self._crossing.of(rows)
        lengths = self._crossing.offsets[rows + 1] - self._crossing.offsets[rows]
        own = pairs.student + (width - lengths[pairs.rows] if left else 0)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        mask[pairs.rows, own] = 1
        return torch.from_numpy(mask)

    def own_states(self, part: Part, rows: np.ndarray) -> Tensor:
        """A part of the teacher's own tokens, zero-padded to the longest of the rows, float32."""
        return self._theirs(part, rows)

    def own_mask(self, rows: np.ndarray) -> Tensor:
        """1 at the teacher's tokens, 0 at padding: as wide as `own_states`."""
        assert self._crossing is not None
        lengths = self._crossing.teacher_lengths[rows]
        return padding_mask(lengths, width=int(lengths.max()), left=self._left)

    def _theirs(self, part: Part, rows: np.ndarray) -> Tensor:
        assert self._crossing is not None
        width = int(self._crossing.teacher_lengths[rows].max())
        return self._answers.states(part, rows, width=width, left=self._left)


def carried_places(said: Tensor, windows: Windows, rows: np.ndarray) -> Tensor:
    """The teacher's logits of its places as those of the student's, by characters.

    Args:
        said: [teacher's places of the rows, 2], that an answer starts there and ends there.
        windows: Both sides' rows.
        rows: Of both.

    Returns:
        [student's places of the rows, 2], float32.
    """
    import torch

    starts, total = _targets(windows, rows)
    carried = []
    for side, target in enumerate(starts):
        found = np.flatnonzero(target >= 0)
        given = said[:, side].index_select(0, torch.from_numpy(found).to(said.device))
        where = torch.from_numpy(target[found]).to(said.device)
        highest = given.new_full((total,), _NEVER).scatter_reduce_(0, where, given, "amax")
        mass = given.new_zeros(total).index_add_(0, where, (given - highest[where]).exp())
        carried.append(torch.where(mass > 0, highest + mass.clamp_min(1e-30).log(), _NEVER))
    return torch.stack(carried, dim=1)


def unheard(windows: Windows, rows: np.ndarray) -> tuple[int, int]:
    """How many of the teacher's places of some rows have none of the student's, and of how many."""
    starts, _ = _targets(windows, rows)
    return int((starts < 0).any(axis=0).sum()), starts.shape[1]


def _targets(windows: Windows, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """For each teacher place the student's place of its first and of its last character.

    Returns:
        int64 [2, teacher's places], -1 where there is none, and how many the student has.
    """
    own, own_lines = _characters(windows.student, rows)
    other, other_lines = _characters(windows.teacher, rows)
    width = int(max(own.max(initial=0), other.max(initial=0))) + 2
    opening, visible = np.append(True, own_lines[1:] != own_lines[:-1]), own[:, 1] > own[:, 0]
    numbers = np.flatnonzero(visible & ~opening)
    ends = np.maximum.accumulate(own_lines[numbers] * width + own[numbers, 1])
    begins = own_lines[numbers] * width + own[numbers, 0]
    none = np.flatnonzero(opening)
    first = np.append(True, other_lines[1:] != other_lines[:-1])
    seen = other[:, 1] > other[:, 0]
    targets = np.full((2, len(other)), -1, dtype=np.int64)
    for side, character in enumerate((other[:, 0], other[:, 1] - 1)):
        wanted = other_lines * width + character
        place = np.searchsorted(ends, wanted, side="right")
        inside = np.minimum(place, max(len(numbers) - 1, 0))
        held = (place < len(numbers)) & seen & ~first
        if len(numbers):
            held &= begins[inside] <= wanted
            targets[side, held] = numbers[inside[held]]
        targets[side, first] = none[other_lines[first]]  # no answer here, no answer there
    return targets, len(own)


def _characters(encoded: Encoded, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The characters of the rows' places [places, 2], and the row of each, counted from 0."""
    assert encoded.places is not None
    assert encoded.groups is not None
    assert encoded.groups.spans is not None
    places, offsets = words_of(encoded.places.offsets, rows)
    lines = np.repeat(np.arange(len(rows)), np.diff(offsets))
    tokens = encoded.places.places[places].astype(np.int64)
    parts = []
    for line, row in enumerate(rows.tolist()):
        span = slice(2 * int(encoded.offsets[row]), 2 * int(encoded.offsets[row + 1]))
        spans = np.asarray(encoded.groups.spans[span]).reshape(-1, 2)
        parts.append(spans[tokens[offsets[line] : offsets[line + 1]]])
    return np.concatenate([*parts, np.zeros((0, 2), dtype=np.int32)]).astype(np.int64), lines
