"""Vectors of one tokenizer's tokens for another's: which tokens stand for the same characters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from limbeck.data.spans import SPECIAL, Spans
from limbeck.errors import DataError


@dataclass(frozen=True)
class Alignment:
    """For each student token, teacher tokens and their weights.

    Attributes:
        offsets: int64 [student tokens + 1]: student token i has pairs offsets[i] to offsets[i + 1].
        teacher: int64 [pairs], teacher tokens, counted over all rows as in their `Spans`.
        weights: float32 [pairs]; those of a student token sum to 1.
        teacher_tokens: How many there are.
        wanted: How many student tokens were to be aligned.
        lost: int64, those of them that have no teacher token.
    """

    offsets: np.ndarray
    teacher: np.ndarray
    weights: np.ndarray
    teacher_tokens: int
    wanted: int
    lost: np.ndarray

    @property
    def unaligned(self) -> float:
        """Share of the student tokens that were to be aligned and have no teacher token."""
        return len(self.lost) / max(self.wanted, 1)

    @property
    def aligned(self) -> np.ndarray:
        """Whether each student token has a teacher token (bool)."""
        return np.diff(self.offsets) > 0

    def carried(self, vectors: np.ndarray) -> np.ndarray:
        """The teacher's vectors for the student's tokens; 0 where there is none (see `aligned`).

        Args:
            vectors: float [teacher tokens, hidden].
        """
        shape = (len(self.offsets) - 1, self.teacher_tokens)
        return csr_array((self.weights, self.teacher, self.offsets), shape=shape) @ vectors


def align_words(student: Spans, teacher: Spans, *, unaligned_limit: float) -> Alignment:
    """First token of a word ↔ first token of a word that begins at the same character.

    For relations between tokens, and where a mean of several vectors would be none that the teacher
    ever has. A student token inside a word has no teacher token. Special tokens: see
    `align_characters`, which gives every token one.

    Args:
        student: Of the same rows as `teacher`.
        teacher: Of the same texts.
        unaligned_limit: Share of the student's first tokens, from 0 to 1, that may have none.

    Raises:
        DataError: If more have none, or the rows are not as many: the student would be held to
            vectors of other words.
    """
    _refuse_other_rows(student, teacher)
    wanted = student.begins & student.visible
    given = np.flatnonzero(teacher.begins & teacher.visible)
    width = _width(student, teacher)
    keys = (_groups(teacher)[given] * width) + teacher.starts[given]
    keys, first = np.unique(keys, return_index=True)
    mine = np.flatnonzero(wanted)
    own = _groups(student)[mine] * width + student.starts[mine]
    twin = np.append(False, own[1:] == own[:-1])  # two words that begin at one character
    places = np.minimum(np.searchsorted(keys, own), max(len(keys) - 1, 0))
    hits = (keys[places] == own) & ~twin if len(keys) else np.zeros(len(own), dtype=bool)
    pairs = np.stack([mine[hits], given[first[places[hits]]]])
    return _alignment(pairs, np.ones(pairs.shape[1]), wanted, student, teacher, unaligned_limit)


def align_characters(
    student: Spans,
    teacher: Spans,
    *,
    unaligned_limit: float,
    cut: np.ndarray | None = None,
) -> Alignment:
    """Each student token ← the mean of the teacher tokens that share characters with it.

    A teacher token's weight is the number of shared characters. The rows' first tokens belong
    together where both are special, and so do their last ones, as [CLS] and <s>, [SEP] and </s>.

    Args:
        student: Of the same rows as `teacher`.
        teacher: Of the same texts.
        unaligned_limit: Share of the student's ordinary tokens, from 0 to 1, that may have none.
        cut: bool [rows], whether a row's text was cut for the teacher: tokens behind what it was
            shown do not count as ordinary then.

    Raises:
        DataError: If more have none, or the rows are not as many: the student would be held to
            vectors of other words.
    """
    _refuse_other_rows(student, teacher)
    width = _width(student, teacher)
    mine, given = np.flatnonzero(student.visible), np.flatnonzero(teacher.visible)
    starts, ends = (
        _groups(student)[mine] * width + a[mine] for a in (student.starts, student.ends)
    )
    groups = _groups(teacher)[given] * width
    teacher_starts, teacher_ends = groups + teacher.starts[given], groups + teacher.ends[given]
    # accumulated, so that no token is missed where a normalizer has changed their order
    low = np.searchsorted(np.maximum.accumulate(teacher_ends), starts, side="right")
    rising = np.minimum.accumulate(teacher_starts[::-1])[::-1]
    counts = np.maximum(np.searchsorted(rising, ends, side="left") - low, 0)
    token = np.repeat(np.arange(len(mine)), counts)
    other = np.arange(len(token)) - np.repeat(np.cumsum(counts) - counts - low, counts)
    shared = np.minimum(ends[token], teacher_ends[other])
    shared = shared - np.maximum(starts[token], teacher_starts[other])
    real = shared > 0
    ordinary = np.stack([mine[token[real]], given[other[real]]])
    special = _special_pairs(student, teacher)
    weights = np.concatenate([shared[real], np.ones(special.shape[1], dtype=shared.dtype)])
    pairs = np.concatenate([ordinary, special], axis=1)
    wanted = student.sequences != SPECIAL
    if cut is not None:
        wanted &= ~_behind(student, teacher, cut)
    return _alignment(pairs, weights, wanted, student, teacher, unaligned_limit)


def _behind(student: Spans, teacher: Spans, cut: np.ndarray) -> np.ndarray:
    """Whether a student token begins behind what the teacher was shown of a cut text (bool)."""
    ends = np.zeros(2 * len(student), dtype=np.int64)
    np.maximum.at(ends, _groups(teacher), teacher.ends)
    return cut[student.rows] & (student.starts >= ends[_groups(student)])


def _special_pairs(student: Spans, teacher: Spans) -> np.ndarray:
    """Special tokens at both ends of the rows, [2, pairs]."""
    found = [np.zeros((2, 0), dtype=np.int64)]
    filled = (np.diff(student.offsets) > 0) & (np.diff(teacher.offsets) > 0)
    for side in (0, 1):
        ends = [
            (spans.offsets[:-1] if side == 0 else spans.offsets[1:] - 1)[filled]
            for spans in (student, teacher)
        ]
        both = student.sequences[ends[0]] == SPECIAL
        both &= teacher.sequences[ends[1]] == SPECIAL
        if side and len(found[-1][0]):  # a row of one token has no last one beside its first
            both &= ~np.isin(ends[0], found[-1][0])
        found.append(np.stack([ends[0][both], ends[1][both]]))
    return np.concatenate(found, axis=1)


def _alignment(
    pairs: np.ndarray,
    weights: np.ndarray,
    wanted: np.ndarray,
    student: Spans,
    teacher: Spans,
    limit: float,
) -> Alignment:
    """The pairs in the student tokens' order, with weights that sum to 1; too few are refused."""
    order = np.lexsort((pairs[1], pairs[0]))
    mine, given, weights = pairs[0][order], pairs[1][order], weights[order].astype(np.float64)
    tokens = len(student.starts)
    weights /= np.bincount(mine, weights, minlength=tokens)[mine]
    offsets = np.append(0, np.cumsum(np.bincount(mine, minlength=tokens))).astype(np.int64)
    lost = np.flatnonzero(wanted & (np.diff(offsets) == 0))
    found = Alignment(
        offsets, given, weights.astype(np.float32), len(teacher.starts), int(wanted.sum()), lost
    )
    if found.unaligned > limit:
        place = int(lost[0])
        row = int(np.searchsorted(student.offsets, place, side="right")) - 1
        where = f"text {row + 1} at characters {student.starts[place]} to {student.ends[place]}"
        raise too_many_unaligned(len(lost), found.wanted, limit, where)
    return found


def too_many_unaligned(lost: int, wanted: int, limit: float, first: str) -> DataError:
    """The error for tokens too many of which have none of the other side's.

    Args:
        lost: How many have none.
        wanted: Of how many.
        limit: The share that is allowed.
        first: Where the first of them stands.
    """
    return DataError(
        "the student's and the teacher's tokens",
        f"{lost} of {wanted} student tokens ({lost / max(wanted, 1):.1%}, allowed are {limit:.1%}) "
        f"have no token of the teacher's, the first of them in {first}",
        "Check that both read the same texts and cut them at the same length, take a tokenizer "
        "that parts words as the teacher's does, or allow more (student.unaligned_limit).",
    )


def _groups(spans: Spans) -> np.ndarray:
    """A number for each text: of a row, and of each side of a pair. Rises with the tokens."""
    return spans.rows * 2 + (spans.sequences == 1)


def _width(student: Spans, teacher: Spans) -> int:
    """More characters than any text has."""
    return max(int(student.ends.max(initial=0)), int(teacher.ends.max(initial=0))) + 1


def _refuse_other_rows(student: Spans, teacher: Spans) -> None:
    if len(student) != len(teacher):
        raise DataError(
            "the student's and the teacher's tokens",
            f"the student has {len(student)} texts, the teacher {len(teacher)}",
            "Give the spans of the same texts in the same order.",
        )
