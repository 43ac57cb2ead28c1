"""Search by vectors."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.errors import DataError
from limbeck.evaluation.retrieval import nearest_documents, search_by
from limbeck.runtime.tokens import Tokens, flat


class Table:
    """A model that knows the vectors of some texts."""

    workers, batch_tokens = 1, 8

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self._names, self._vectors = list(vectors), np.stack(list(vectors.values()))

    def logits(self, texts: list[str]) -> np.ndarray:
        return self.logits_of(self.tokens(texts), np.arange(len(texts)))

    def tokens(self, texts: list[str]) -> Tokens:
        return flat([[self._names.index(text)] for text in texts], None)

    def logits_of(self, tokens: Tokens, rows: np.ndarray) -> np.ndarray:
        return self._vectors[tokens.ids[rows]].astype(np.float32)


def test_the_nearest_are_those_of_the_largest_cosine() -> None:
    """Long vectors must not win by their length."""
    generator = np.random.default_rng(0)
    queries, documents = generator.normal(size=(300, 6)), generator.normal(size=(50, 6))
    documents *= generator.uniform(0.1, 10, size=(50, 1))
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, documents)]
    expected = np.argsort(-(units[0] @ units[1].T), axis=1)[:, :7]
    np.testing.assert_array_equal(nearest_documents(queries, documents, k=7), expected)


def test_search_finds_what_is_near() -> None:
    """A relevant document in the first place is worth 1, in the second 1 / log2(3)."""
    table = Table(
        {
            "q": np.array([1.0, 0.0]),
            "r": np.array([0.0, 1.0]),
            "near q": np.array([0.9, 0.1]),
            "between": np.array([0.7, 0.6]),
            "near r": np.array([0.1, 5.0]),
        }
    )
    documents = {"1": "near q", "2": "between", "3": "near r"}
    found = search_by(
        table, {"a": "q", "b": "r"}, documents, {"a": {"1": 1.0}, "b": {"2": 1.0}}, k=2
    )
    np.testing.assert_allclose(found.ndcg, [1.0, 1 / np.log2(3)])
    np.testing.assert_allclose(found.recall, [1.0, 1.0])


def test_refuses_queries_that_nothing_answers() -> None:
    """They would count as missed by every model."""
    table = Table({"q": np.array([1.0, 0.0]), "d": np.array([1.0, 0.0])})
    with pytest.raises(DataError, match="it has none"):
        search_by(table, {"a": "q"}, {"1": "d"}, {})
    with pytest.raises(DataError, match="not among them"):
        search_by(table, {"a": "q"}, {"1": "d"}, {"a": {"7": 1.0}})
