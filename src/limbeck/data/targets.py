"""What rows are to be answered with, as arrays: classes, sets of classes, or numbers.

Classes are int64 [rows] and sets of classes int8 [rows, classes] of 0 and 1, -100 where a row has
none; numbers are float32 [rows], NaN where a row has none. Classes of words are `WordTargets`,
answers to questions `SpanTargets`, grades of candidates `RankTargets`.
"""

from __future__ import annotations

import numpy as np

from limbeck.data.encoded import Encoded
from limbeck.data.list_rows import list_offsets
from limbeck.data.per_query import RankTargets
from limbeck.data.per_question import SpanTargets
from limbeck.data.per_word import Targets, WordTargets
from limbeck.data.ragged import end_to_end
from limbeck.data.texts import UNLABELLED, Texts
from limbeck.errors import DataError

_STRATA = 10
_RARE = 10


def labelled(targets: Targets) -> np.ndarray:
    """Which rows have a target (bool [rows])."""
    if isinstance(targets, SpanTargets):
        return targets.codes >= 0
    if isinstance(targets, RankTargets):
        return targets.graded()
    if isinstance(targets, WordTargets):
        counts = np.diff(targets.offsets)
        known = np.concatenate([[0], np.cumsum(targets.values != UNLABELLED)])
        return (np.diff(known[targets.offsets]) == counts) & (counts > 0)
    cells = targets.reshape(len(targets), -1)
    missing = cells == UNLABELLED if targets.dtype.kind == "i" else np.isnan(cells)
    return np.logical_not(missing.any(axis=1))


def with_none(targets: Targets, more: Texts) -> Targets:
    """The targets, and then those of more rows that have none."""
    if isinstance(targets, SpanTargets):
        codes, places = (
            np.concatenate([own, np.full(len(more), -1, dtype=own.dtype)])
            for own in (targets.codes, targets.places)
        )
        return SpanTargets(targets.written, codes, targets.contexts, places)
    if isinstance(targets, RankTargets):
        offsets = list_offsets(more)
        bare = np.full(offsets[-1], np.nan, dtype=np.float32)
        return RankTargets(
            np.concatenate([targets.grades, bare]), end_to_end([targets.offsets, offsets])
        )
    if isinstance(targets, WordTargets):
        assert more.words is not None  # read for the same task
        bare = np.full(len(more.words.starts), UNLABELLED, dtype=np.int64)
        offsets = [targets.offsets, targets.offsets[-1] + more.words.offsets[1:]]
        values = np.concatenate([targets.values, bare])
        return WordTargets(values, np.concatenate(offsets), targets.names)
    empty = UNLABELLED if targets.dtype.kind == "i" else np.nan
    bare = np.full((len(more), *targets.shape[1:]), empty, dtype=targets.dtype)
    return np.concatenate([targets, bare])


def row_targets(targets: Targets, encoded: Encoded) -> Targets:
    """What encoded rows are to be answered with: the texts' targets, or those of their parts.

    A candidate has none where its query's say nothing of their order.

    Of running text these are the tokens that are foretold, -100 in texts for the teacher alone.

    Args:
        targets: Of the texts.
        encoded: Their rows.
    """
    if isinstance(targets, RankTargets):
        return targets.lessons()
    if encoded.groups is None:
        return targets
    if encoded.tokens is None:
        return encoded.groups.answers
    assert encoded.places is not None
    offsets = encoded.places.offsets
    places = np.diff(offsets[encoded.groups.offsets])
    learned = np.repeat(targets != UNLABELLED, places)
    values = np.where(learned, encoded.tokens, UNLABELLED).astype(np.int64)
    return WordTargets(values, offsets, ())


def rows_left_out(targets: Targets, source: str) -> int:
    """How many judged rows say nothing of a model: queries whose candidates all have one label.

    Args:
        targets: Of rows that all have a target.
        source: The file, for the message.

    Raises:
        DataError: If none is left.
    """
    if not isinstance(targets, RankTargets):
        return 0
    left = int((~targets.orderable()).sum())
    if left == len(targets):
        raise DataError(
            source,
            f"the candidates of each of its {left} queries all have one label, so that no order is "
            "better than another",
            "Give queries both passages that answer them and passages that do not.",
        )
    return left


def strata(targets: Targets) -> np.ndarray:
    """Class indices (int64, -100 without a target) to stratify by.

    Sets of classes are classes of their own, but for those of few rows, which are one together: of
    thousands of rare sets half would be held out. So are those of the words of a row. Numbers fall
    into tenths of the rows, questions into those with an answer and those without; queries whose
    candidates all have one grade count as rows without a target: they judge nothing.
    """
    if isinstance(targets, RankTargets):
        return np.where(targets.orderable(), 0, UNLABELLED)
    if isinstance(targets, SpanTargets):
        return np.where(targets.codes >= 0, targets.answerable().astype(np.int64), UNLABELLED)
    if isinstance(targets, WordTargets):
        return strata(_sets(targets))
    if targets.dtype == np.int64:
        return targets
    here = labelled(targets)
    found = np.full(len(targets), UNLABELLED, dtype=np.int64)
    known = targets[here]
    if targets.ndim == 2:
        _, own, rows = np.unique(known, axis=0, return_inverse=True, return_counts=True)
        own = own.reshape(-1)
        found[here] = np.where(rows[own] < _RARE, len(rows), own)
    elif len(known):
        bounds = np.quantile(known, np.linspace(0, 1, _STRATA + 1)[1:-1])
        found[here] = np.searchsorted(bounds, known, side="right")
    return found


def _sets(targets: WordTargets) -> np.ndarray:
    """Which classes the words of a row have: int8 [rows, classes], -100 without any."""
    sets = np.zeros((len(targets), len(targets.names)), dtype=np.int8)
    rows = np.repeat(np.arange(len(targets)), np.diff(targets.offsets))
    known = targets.values != UNLABELLED
    sets[rows[known], targets.values[known]] = 1
    sets[~labelled(targets)] = UNLABELLED
    return sets
