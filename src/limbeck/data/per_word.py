"""Outputs and targets of tasks that answer word by word: any number of them a row.

Both are indexed by rows, as arrays of one output a row are (and answers in texts,
`data.per_question`, and scores of candidates, `data.per_query`), so that code that samples, sorts
or joins rows need not know which it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.data.per_query import RankOutputs, all_queries
from limbeck.data.per_question import SpanOutputs, all_questions
from limbeck.data.ragged import Rows, end_to_end, words_of

Outputs = Any
"""What a head says about rows: an array [rows, outputs], `WordOutputs`, `SpanOutputs` or
`RankOutputs`."""
Targets = Any
"""What rows are to be answered with: an array (`data.targets`), `WordTargets`, `SpanTargets` or
`RankTargets`."""


@dataclass(frozen=True, eq=False)
class WordTargets:
    """The class of every word, one row's words after the other's.

    Attributes:
        values: int64 [words], -100 where a row has no tags.
        offsets: int64 [rows + 1]: row i has words offsets[i] to offsets[i + 1].
        names: The classes', in their order.
    """

    values: np.ndarray
    offsets: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Rows) -> WordTargets:
        """Some rows, in the order in which they are named."""
        places, offsets = words_of(self.offsets, rows)
        return WordTargets(self.values[places], offsets, self.names)

    def tobytes(self) -> bytes:
        """What a fingerprint is made of."""
        return self.values.tobytes() + self.offsets.tobytes()


@dataclass(frozen=True, eq=False)
class WordOutputs:
    """What a head says about every word, one row's words after the other's.

    Attributes:
        values: [words, classes]; zeros for a word that has no token of its own.
        offsets: int64 [rows + 1]: row i has words offsets[i] to offsets[i + 1].
        places: int32 [words], the token that a word was read off, or why there is none
            (`data.places`: NOWHERE, SHARED).
    """

    values: np.ndarray
    offsets: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Rows) -> WordOutputs:
        """Some rows, in the order in which they are named."""
        words, offsets = words_of(self.offsets, rows)
        return WordOutputs(self.values[words], offsets, self.places[words])


def spread(
    said: np.ndarray, words: np.ndarray, places: np.ndarray, offsets: np.ndarray
) -> WordOutputs:
    """What was said about the words that have tokens, as outputs of all words.

    Args:
        said: [answered, classes].
        words: int64 [answered], which words these are.
        places: int32 [words], of all of them.
        offsets: int64 [rows + 1].
    """
    values = np.zeros((len(places), said.shape[1]), dtype=np.float32)
    values[words] = said
    return WordOutputs(values, offsets, places)


def together(parts: Sequence[Outputs]) -> Outputs:
    """Outputs of some rows, and of some more, as one; there is at least one part."""
    if isinstance(parts[0], SpanOutputs):
        return all_questions(parts)
    if isinstance(parts[0], RankOutputs):
        return all_queries(parts)
    if not isinstance(parts[0], WordOutputs):
        return np.concatenate(parts)
    return WordOutputs(
        np.concatenate([part.values for part in parts]),
        end_to_end([part.offsets for part in parts]),
        np.concatenate([part.places for part in parts]),
    )


def finite(outputs: Outputs) -> bool:
    """Whether no output is NaN or infinite."""
    ragged = isinstance(outputs, WordOutputs | SpanOutputs | RankOutputs)
    values = outputs.values if ragged else outputs
    return bool(np.isfinite(values).all())
