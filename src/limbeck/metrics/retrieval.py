"""Search: whether what is relevant to a query comes first."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """One query's documents in a model's order.

    Attributes:
        grades: Relevance in that order, 0 for what is not relevant [documents].
        ideal: Grades above 0 of all the query's relevant documents, highest first; more than
            in `grades` where the model left some out.
    """

    grades: np.ndarray
    ideal: np.ndarray


def rank_by_scores(scores: np.ndarray, grades: np.ndarray) -> Ranking:
    """The ranking of a query's documents by a model's scores.

    Of documents that score alike the less relevant comes first: a model that gives all the same
    score knows nothing, and must not profit from the order in which they are stored.

    Args:
        scores: The higher, the earlier [documents].
        grades: Relevance, 0 for not relevant [documents].

    Raises:
        ValueError: If the shapes differ, a score is NaN, a grade is negative, or none is above 0.
    """
    if scores.shape != grades.shape or scores.ndim != 1 or np.isnan(scores).any():
        raise ValueError(
            f"rank_by_scores: scores has shape {scores.shape} and {int(np.isnan(scores).sum())} "
            f"NaN, grades has shape {grades.shape}. Both must be [documents], and scores numbers. "
            f"Pass one query's documents, without padding."
        )
    order = np.lexsort((grades, -scores))
    return Ranking(np.asarray(grades[order], dtype=np.float64), _ideal(grades, "rank_by_scores"))


def rank_by_ids(ranked: Sequence[Hashable], relevant: Mapping[Hashable, float]) -> Ranking:
    """The ranking that a list of document ids is, best first.

    Args:
        ranked: Ids that a search returned; relevant ones that it left out count as missed.
        relevant: Id to grade of the query's judged documents; all others have grade 0.

    Raises:
        ValueError: If an id is there twice (it would be found twice), a grade is negative, or
            none is above 0.
    """
    if len(set(ranked)) != len(ranked):
        twice = next(one for place, one in enumerate(ranked) if one in ranked[:place])
        raise ValueError(
            f"rank_by_ids: document {twice!r} is ranked twice. Each must be there once. "
            f"Keep the best place of each."
        )
    grades = np.array([relevant.get(one, 0.0) for one in ranked], dtype=np.float64)
    return Ranking(grades, _ideal(np.array(list(relevant.values())), "rank_by_ids"))


def ndcg(rankings: Sequence[Ranking], *, k: int) -> np.ndarray:
    """Gain of the first k documents over the most that k could have, 0 to 1 [queries].

    A document's gain is its grade over log2(1 + place), as in trec_eval and BEIR; 2^grade - 1 in
    its place, which is used too, is the same for grades of 0 and 1.

    Args:
        rankings: One a query.
        k: Places that count, at least 1.

    Raises:
        ValueError: If k is less than 1.

    Reference:
        Järvelin, Kekäläinen. Cumulated Gain-Based Evaluation of IR Techniques, 2002.
        https://doi.org/10.1145/582415.582418
    """
    _refuse_k(k, where="ndcg")
    return np.array([_gain(one.grades[:k]) / _gain(one.ideal[:k]) for one in rankings])


def reciprocal_rank(rankings: Sequence[Ranking], *, k: int) -> np.ndarray:
    """1 / the first relevant document's place; 0 if it is beyond k [queries]. Its mean is MRR@k.

    Args:
        rankings: One a query.
        k: Places that count, at least 1.

    Raises:
        ValueError: If k is less than 1.
    """
    _refuse_k(k, where="reciprocal_rank")
    values = []
    for one in rankings:
        hits = np.flatnonzero(one.grades[:k] > 0)
        values.append(1 / (1 + hits[0]) if len(hits) else 0.0)
    return np.array(values)


def recall_at(rankings: Sequence[Ranking], *, k: int) -> np.ndarray:
    """Share of a query's relevant documents that are among the first k, 0 to 1 [queries].

    Args:
        rankings: One a query.
        k: Places that count, at least 1. With fewer of them than relevant documents 1 cannot be
            reached.

    Raises:
        ValueError: If k is less than 1.
    """
    _refuse_k(k, where="recall_at")
    return np.array([(one.grades[:k] > 0).sum() / len(one.ideal) for one in rankings])


def swapped_pairs(scores: np.ndarray, others: np.ndarray) -> float:
    """Share of a query's pairs of documents that two models put into other orders, 0 to 1.

    (1 - Kendall's tau-a) / 2: a pair that ties for one of the models alone counts half.

    Args:
        scores: Of the documents [documents].
        others: Another model's, of the same.

    Returns:
        0 where the orders agree, or there is no pair.

    Raises:
        ValueError: If the shapes differ: other documents would be compared.
    """
    if scores.shape != others.shape or scores.ndim != 1:
        raise ValueError(
            f"swapped_pairs: scores has shape {scores.shape}, others has shape {others.shape}. "
            f"Both must be [documents]. Pass two models' scores of one query's documents."
        )
    one, two = np.triu_indices(len(scores), k=1)
    if not len(one):
        return 0.0
    own, theirs = np.sign(scores[one] - scores[two]), np.sign(others[one] - others[two])
    return float(np.abs(own - theirs).mean() / 2)


def _gain(grades: np.ndarray) -> float:
    return float((grades / np.log2(np.arange(len(grades)) + 2)).sum())


def _ideal(grades: np.ndarray, where: str) -> np.ndarray:
    if not (grades > 0).any() or (grades < 0).any():
        raise ValueError(
            f"{where}: a query's grades are {np.unique(grades)[:5].tolist()}. None may be "
            f"negative, and one must be above 0, as a query without a relevant document cannot "
            f"be answered well or badly. Leave such queries out."
        )
    return np.sort(grades[grades > 0].astype(np.float64))[::-1]


def _refuse_k(k: int, *, where: str) -> None:
    if k < 1:
        raise ValueError(f"{where}: k is {k}. It must be at least 1. Use 10, as most papers do.")
