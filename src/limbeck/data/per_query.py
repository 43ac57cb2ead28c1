"""Outputs and targets of tasks that rank: a number for each of any number of candidates a query.

A query is a row here, though models read and learn from pairs of it with one candidate each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.ragged import Rows, end_to_end, words_of


@dataclass(frozen=True, eq=False)
class RankOutputs:
    """The scores of candidates, one query's after the other's.

    Attributes:
        values: [candidates], the higher, the better it answers the query.
        offsets: int64 [rows + 1]: row i has candidates offsets[i] to offsets[i + 1].
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Rows) -> RankOutputs:
        """Some rows, in the order in which they are named."""
        places, offsets = words_of(self.offsets, rows)
        return RankOutputs(self.values[places], offsets)

    def each(self) -> list[np.ndarray]:
        """The scores of each query by themselves."""
        return np.split(self.values, self.offsets[1:-1])


@dataclass(frozen=True, eq=False)
class RankTargets:
    """How well candidates answer their queries, one query's after the other's.

    Attributes:
        grades: float32 [candidates], 0 for one that does not answer; NaN for all of a query of
            which one has no grade.
        offsets: int64 [rows + 1]: row i has candidates offsets[i] to offsets[i + 1].
    """

    grades: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Rows) -> RankTargets:
        """Some rows, in the order in which they are named."""
        places, offsets = words_of(self.offsets, rows)
        return RankTargets(self.grades[places], offsets)

    def tobytes(self) -> bytes:
        """What a fingerprint is made of."""
        return self.grades.tobytes() + self.offsets.tobytes()

    def each(self) -> list[np.ndarray]:
        """The grades of each query by themselves."""
        return np.split(self.grades, self.offsets[1:-1])

    def graded(self) -> np.ndarray:
        """Of which queries the grades are known (bool [rows])."""
        return ~np.isnan(self.grades[self.offsets[:-1]])

    def orderable(self) -> np.ndarray:
        """Which queries have candidates of several grades: those that can be ranked well or badly.

        Returns:
            bool [rows]; False where grades are not known.
        """
        starts = self.offsets[:-1]
        low, high = (ufunc.reduceat(self.grades, starts) for ufunc in (np.minimum, np.maximum))
        return high > low  # NaN is not above NaN

    def lessons(self) -> np.ndarray:
        """The grades [candidates], NaN for all of a query that says nothing of their order."""
        told = np.repeat(self.orderable(), np.diff(self.offsets))
        return np.where(told, self.grades, np.float32(np.nan))


def all_queries(parts: Sequence[RankOutputs]) -> RankOutputs:
    """Outputs of some queries, and of some more, as one; there is at least one part."""
    return RankOutputs(
        np.concatenate([part.values for part in parts]),
        end_to_end([part.offsets for part in parts]),
    )
