"""Reranking: a score for each of a query's candidates, which puts them into an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.candidates import Candidates
from limbeck.data.per_query import RankOutputs, RankTargets
from limbeck.data.queries import rank_targets
from limbeck.data.raw_labels import LabelForm, one_label
from limbeck.data.texts import Item, Texts
from limbeck.errors import DataError, TeacherError
from limbeck.metrics.drawn import mean_of_rows
from limbeck.metrics.retrieval import Ranking, ndcg, rank_by_scores, reciprocal_rank, swapped_pairs
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout

PLACES = 10
"""Of a ranking that count."""
_UPSET = 0.25
"""A query of which so many pairs of candidates change their order is answered otherwise."""
_UPSIDE_DOWN = 0.35
"""Of the pairs of different grades, the share that a teacher of other labels at most gets right."""
_FEW = 10
_SHOWN = 80


class Reranking:
    """The order of a query's candidates, by nDCG of its first ten places.

    A row is a query with all its candidates; the model reads the pairs one by one, and its output
    for each is a number of which the order within a query alone says something.

    Args:
        sigmoid: Whether users are told the sigmoid of the output, as the checkpoint's settings for
            sentence-transformers say.
    """

    name = "reranking"
    score_name = "nDCG@10"
    reads: Reads = "queries"
    head: ClassifierHead = "classifier"
    problem_type: ProblemType | None = None
    pipeline = "text-ranking"
    distributes = False
    apart = False
    statistic = staticmethod(mean_of_rows)

    def __init__(self, *, sigmoid: bool = False) -> None:
        self.sigmoid = sigmoid

    def form(self, data: DataConfig) -> LabelForm:
        """Of no use: grades are read with the queries (`tasks.reading`)."""
        return LabelForm(("label",), one_label)

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """One output."""
        return list(teacher) if teacher is not None else ["score"]

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> RankTargets:
        """The candidates' grades."""
        return rank_targets(texts)

    def refuse_unlearnable(self, targets: RankTargets, names: Sequence[str], source: str) -> None:
        """Refuse queries of one candidate each, and labels that never differ within a query."""
        if not (np.diff(targets.offsets) > 1).any():
            raise DataError(
                source,
                "no query of it has two candidates, so there is nothing to rank",
                "Give each query several passages; where rows are pairs, those of a query have its "
                "query_id, or the same query to the letter.",
            )
        if targets.graded().any() and not targets.orderable().any():
            raise DataError(
                source,
                "all labelled candidates of a query have the same label, in every query",
                "Give queries both passages that answer them and passages that do not; check "
                "data.label_column.",
            )

    def refuse_stranger(
        self, outputs: RankOutputs, targets: RankTargets, names: Sequence[str], *, where: str
    ) -> None:
        """Refuse grades that fall where the teacher's scores rise.

        Raises:
            TeacherError: If so: they are distances or places, and the best student would look the
                worst.
        """
        judged = _judged(outputs, targets)
        if len(judged) < _FEW:
            return
        right = 1 - float(np.mean([_wrong_pairs(*one) for one in judged]))
        if right < _UPSIDE_DOWN:
            raise TeacherError(
                where,
                f"of two candidates with different labels it gives the better one the higher score "
                f"in {right:.0%} of the cases (validation): labels and teacher pull apart",
                "Write higher labels for passages that answer better; check that this is a "
                "reranker whose scores rise with relevance.",
            )

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """Cross-entropy over a query's candidates, to the shares of their grades."""
        from limbeck.objective import listwise_cross_entropy

        assert layout is not None  # of every batch of candidates
        scores, grades = layout.padded(student_logits)[..., 0], layout.padded(targets)
        return listwise_cross_entropy(scores, grades, layout.mask())

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """KL over a query's candidates."""
        from limbeck.objective import listwise_kl

        assert layout is not None
        student, teacher = (
            layout.padded(logits)[..., 0] for logits in (student_logits, teacher_logits)
        )
        return listwise_kl(student, teacher, layout.mask(), temperature=temperature)

    def unfit(self, term: LogitsTerm) -> str:
        """Candidates are no classes: there are others of each query."""
        if term.divergence not in ("kl", "cross_entropy", "margin_mse"):
            return f"divergence {term.divergence} compares distributions over classes"
        if term.standardize:
            return "standardize brings classes to one scale, and candidates are none"
        if term.examples != "equal":
            return f"examples {term.examples} weighs rows by a distribution over classes"
        return ""

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean."""
        return (outputs.float() * weights[..., None]).sum(dim=0)

    def merit(self, outputs: RankOutputs, targets: RankTargets) -> None:
        """The score says it."""

    def parts(self, outputs: RankOutputs, targets: RankTargets) -> np.ndarray:
        """nDCG@10 of each query whose candidates have several grades [such queries]."""
        return ndcg(_rankings(outputs, targets), k=PLACES)

    def measures(
        self, outputs: RankOutputs, targets: RankTargets, names: Sequence[str]
    ) -> Measures:
        """MRR@10, and how often a relevant candidate comes first."""
        rankings = _rankings(outputs, targets)
        return Measures(
            metrics={
                "mrr_at_10": float(reciprocal_rank(rankings, k=PLACES).mean()),
                "relevant_first": float(reciprocal_rank(rankings, k=1).mean()),
            }
        )

    def changed(self, outputs: RankOutputs, others: RankOutputs) -> np.ndarray:
        """Queries of which another candidate comes first, or many pairs change their order."""
        first = [
            own.argmax() != theirs.argmax()
            for own, theirs in zip(outputs.each(), others.each(), strict=True)
        ]
        return np.array(first, dtype=bool) | (self.distance(outputs, others) > _UPSET)

    def alike(self, outputs: RankOutputs) -> bool:
        """Whether no candidate of any query is scored otherwise than its first."""
        return all(bool((scores == scores[0]).all()) for scores in outputs.each())

    def distance(self, outputs: RankOutputs, others: RankOutputs) -> np.ndarray:
        """The share of a query's pairs in another order: (1 - Kendall's tau) / 2 without ties."""
        pairs = zip(outputs.each(), others.each(), strict=True)
        return np.array([swapped_pairs(own, theirs) for own, theirs in pairs], dtype=np.float64)

    def answers(self, outputs: RankOutputs) -> RankOutputs:
        """The scores, or their sigmoids."""
        from scipy.special import expit

        values = outputs.values.astype(np.float64)
        return RankOutputs(expit(values) if self.sigmoid else values, outputs.offsets)

    def said(self, answer: RankOutputs, names: Sequence[str], item: Item | None = None) -> Said:
        """Which candidate comes first."""
        place = int(answer.values.argmax())
        if not isinstance(item, Candidates):
            return Said(str(place + 1), None)
        passage = item.passages[place]
        return Said(f"{place + 1}: {passage[:_SHOWN]}" + "…" * (len(passage) > _SHOWN), None)

    def wanted(self, target: Any, names: Sequence[str]) -> str:
        """Which candidates answer best."""
        grades: np.ndarray = target.grades
        return ", ".join(str(place + 1) for place in np.flatnonzero(grades == grades.max()))


def _judged(outputs: RankOutputs, targets: RankTargets) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores and grades of each query that can be ranked well or badly."""
    pairs = zip(outputs.each(), targets.each(), targets.orderable(), strict=True)
    return [(scores, grades) for scores, grades, judged in pairs if judged]


def _rankings(outputs: RankOutputs, targets: RankTargets) -> list[Ranking]:
    return [rank_by_scores(scores, grades) for scores, grades in _judged(outputs, targets)]


def _wrong_pairs(scores: np.ndarray, grades: np.ndarray) -> float:
    """Of the pairs with different grades, the share of which the worse has the higher score."""
    better, worse = np.nonzero(grades[:, None] > grades[None, :])
    above = scores[better] - scores[worse]
    return float((above < 0).mean() + (above == 0).mean() / 2)
