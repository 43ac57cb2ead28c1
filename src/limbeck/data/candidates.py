"""A query and the passages that may answer it: what a model that ranks is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Candidates:
    """A query and its candidates, at least one."""

    query: str
    passages: tuple[str, ...]

    def pairs(self) -> list[tuple[str, str]]:
        """What the model reads: the query with each of them."""
        return [(self.query, passage) for passage in self.passages]


def pairs_of(items: Sequence[Candidates]) -> list[tuple[str, str]]:
    """The pairs of several queries, one query's after the other's."""
    return list(chain.from_iterable(item.pairs() for item in items))


def list_bounds(items: Sequence[Candidates]) -> np.ndarray:
    """Where the pairs of each query begin among those of all, and their end (int64)."""
    return np.array([0, *accumulate(len(item.passages) for item in items)], dtype=np.int64)


def pairs_a_query(items: Sequence[Any]) -> float:
    """How many pairs a model reads for one of these on average; 1 for what is no query."""
    counts = [len(item.passages) if isinstance(item, Candidates) else 1 for item in items]
    return sum(counts) / max(1, len(counts))
