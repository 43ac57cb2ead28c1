"""Search by vectors: whether the texts that answer a query are the nearest to it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.errors import DataError
from limbeck.metrics.retrieval import Ranking, ndcg, rank_by_ids, recall_at
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import answer_all

_QUERIES = 256
"""Queries whose similarities to all documents are in memory at a time."""


@dataclass(frozen=True)
class Retrieved:
    """How well a search by cosine does.

    Attributes:
        ndcg: Of each query, of its first k documents, 0 to 1 [queries]; the mean is nDCG@k.
        recall: Share of each query's relevant documents among them [queries].
        k: Documents that count.
    """

    ndcg: np.ndarray
    recall: np.ndarray
    k: int


def search_by(
    answerer: Answerer,
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    relevant: Mapping[str, Mapping[str, float]],
    *,
    k: int = 10,
) -> Retrieved:
    """Search with a model that gives vectors: queries and documents embedded, by cosine.

    Args:
        answerer: The model, loaded for many texts (`runtime.load_export`, `from_folder`).
        queries: Id to text.
        documents: Id to text.
        relevant: Query id to its relevant documents' ids and grades.
        k: Documents that count.

    Raises:
        DataError: If a query has no relevant document, or one is not among the documents.
    """
    _refuse_unjudged(queries, documents, relevant)
    found = nearest_documents(
        answer_all(answerer, list(queries.values())),
        answer_all(answerer, list(documents.values())),
        k=k,
    )
    names = list(documents)
    rankings: list[Ranking] = []
    for query, places in zip(queries, found.tolist(), strict=True):
        grades: dict[Hashable, float] = {**relevant[query]}
        rankings.append(rank_by_ids([names[place] for place in places], grades))
    return Retrieved(ndcg(rankings, k=k), recall_at(rankings, k=k), k)


def nearest_documents(queries: np.ndarray, documents: np.ndarray, *, k: int) -> np.ndarray:
    """Places of the k documents of the largest cosine, the nearest first [queries, k].

    Args:
        queries: Vectors [queries, width].
        documents: Vectors [documents, width].
        k: At most as many as there are documents.
    """
    k = min(k, len(documents))
    wanted, others = _directions(queries), _directions(documents)
    found = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), _QUERIES):
        near = wanted[start : start + _QUERIES] @ others.T
        first = np.argpartition(-near, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(near, first, axis=1), axis=1, kind="stable")
        found[start : start + _QUERIES] = np.take_along_axis(first, order, axis=1)
    return found


def _directions(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def _refuse_unjudged(
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    relevant: Mapping[str, Mapping[str, float]],
) -> None:
    for query in queries:
        wanted: Sequence[str] = list(relevant.get(query, {}))
        missing = [document for document in wanted if document not in documents]
        if not wanted or missing:
            what = f"document {missing[0]!r} is not among them" if missing else "it has none"
            raise DataError(
                f"query {query!r}",
                f"its relevant documents are to be found, and {what}",
                "Leave such queries out, and search all documents.",
            )
