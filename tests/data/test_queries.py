"""Queries on disk: their grades, and the candidates that training keeps of them."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.data.candidates import Candidates
from limbeck.data.list_rows import list_offsets
from limbeck.data.per_query import RankOutputs
from limbeck.data.per_word import finite, together
from limbeck.data.queries import fewer_candidates, gather_queries, rank_targets
from limbeck.data.ranked_rows import Query
from limbeck.data.targets import labelled, rows_left_out, strata, with_none
from limbeck.data.texts import Texts, folded_hashes, kinship
from limbeck.errors import DataError


def _query(name: str, *grades: float | None) -> Query:
    return Query(name, f"query {name}", tuple(f"{name}{n}" for n in range(len(grades))), grades)


QUERIES = [_query("a", 0, 2, 1), _query("b", 1), _query("c", 0, None), _query("d", 3, 3)]


def _texts(queries: list[Query] = QUERIES, *, labels: bool = True, name: str = "train") -> Texts:
    return gather_queries(name, queries, labels=labels)


def test_queries_come_back_as_they_were() -> None:
    """A passage at another place has another's grade."""
    texts = _texts()
    assert list(texts.items()) == [Candidates(one.query, one.passages) for one in QUERIES]
    assert texts.item(2) == Candidates("query c", ("c0", "c1"))
    assert list(texts.ids) == ["train/a", "train/b", "train/c", "train/d"]
    assert list(texts.take(np.array([1, 3])).items())[1] == Candidates("query d", ("d0", "d1"))
    assert list_offsets(texts).tolist() == [0, 3, 4, 6, 8]


def test_a_query_is_graded_as_a_whole_or_not_at_all() -> None:
    """A candidate that nobody judged would be learned as one that does not answer."""
    targets = rank_targets(_texts())
    expected = [0, 2, 1, 1, np.nan, np.nan, 3, 3]
    np.testing.assert_array_equal(targets.grades, np.array(expected, dtype=np.float32))
    assert labelled(targets).tolist() == [True, True, False, True]
    assert targets.orderable().tolist() == [True, False, False, False]
    assert strata(targets).tolist() == [0, -100, -100, -100]
    assert np.isnan(targets.lessons()).tolist() == [False] * 3 + [True] * 5
    assert np.isnan(rank_targets(_texts(labels=False)).grades).all()


def test_rows_are_picked_with_their_candidates() -> None:
    """Resampled or sorted rows must keep what belongs to them."""
    targets = rank_targets(_texts())
    picked = targets[[3, 0]]
    assert [grades.tolist() for grades in picked.each()] == [[3, 3], [0, 2, 1]]
    outputs = RankOutputs(np.arange(8.0), targets.offsets)
    assert outputs[2].values.tolist() == [4, 5]
    whole = together([outputs[[0, 1]], outputs[[2, 3]]])
    assert whole.values.tolist() == outputs.values.tolist()
    assert whole.offsets.tolist() == outputs.offsets.tolist()
    assert finite(outputs)
    assert not finite(RankOutputs(np.array([np.inf]), np.array([0, 1])))


def test_unlabelled_queries_follow_with_their_candidates() -> None:
    """Targets of another length would shift every row behind them."""
    more = _texts([_query("e", None, None)], labels=False, name="unlabelled")
    targets = with_none(rank_targets(_texts()), more)
    joined = more.unlabelled_after(_texts())
    assert len(targets) == len(joined) == 5
    np.testing.assert_array_equal(rank_targets(joined).grades, targets.grades)
    np.testing.assert_array_equal(targets.offsets, list_offsets(joined))


def test_a_query_is_known_by_itself() -> None:
    """A test query with other candidates in training is no longer new."""
    one, two = (_texts([Query("a", "Which  river", (p,), (1.0,))]) for p in ("p", "q"))
    assert folded_hashes(one).tolist() == folded_hashes(two).tolist()
    assert kinship(one).tolist() == kinship(two).tolist()
    assert one.fingerprint() != two.fingerprint()


def test_queries_that_judge_nothing_are_counted() -> None:
    """The score would be that of fewer queries than the report says."""
    targets = rank_targets(_texts())[[0, 1, 3]]
    assert rows_left_out(targets, "f") == 2
    assert rows_left_out(np.zeros(3), "f") == 0
    with pytest.raises(DataError, match="each of its 2 queries"):
        rows_left_out(targets[[1, 2]], "f")


class TestFewerCandidates:
    """What training keeps of a query with many candidates."""

    many = _query("m", *[1] * 3, *[0] * 20)

    def _kept(self, query: Query, most: int, seed: int = 0) -> tuple[list[str], list[float]]:
        texts = fewer_candidates(_texts([query]), most, seed=seed, folder=None)
        (item,) = texts.items()
        assert isinstance(item, Candidates)
        return list(item.passages), rank_targets(texts).grades.tolist()

    def test_every_relevant_one_stays_if_they_are_the_fewer(self) -> None:
        """They are what the query is asked for."""
        passages, grades = self._kept(self.many, 8)
        assert len(passages) == 8
        assert passages[:3] == ["m0", "m1", "m2"]
        assert grades == [1, 1, 1, 0, 0, 0, 0, 0]

    def test_relevant_ones_leave_room_for_others(self) -> None:
        """Candidates that are all relevant have no order."""
        passages, grades = self._kept(_query("r", *[1, 2, 3] * 4, 0, 0), 4)
        assert len(passages) == 4
        assert grades == [3, 3, 0, 0]

    def test_without_labels_any_may_stay(self) -> None:
        """The first ones alone would be those that a search found easiest."""
        bare = _query("u", *[None] * 30)
        drawn = {tuple(self._kept(bare, 5, seed)[0]) for seed in range(5)}
        assert len(drawn) == 5
        assert all(list(one) == sorted(one, key=lambda p: int(p[1:])) for one in drawn)

    def test_the_same_seed_keeps_the_same_wherever_the_query_stands(self) -> None:
        """A run that goes on, or a file that grew, would ask the teacher anew."""
        alone = self._kept(self.many, 8)
        assert self._kept(self.many, 8) == alone
        texts = fewer_candidates(_texts([*QUERIES, self.many]), 8, seed=0, folder=None)
        assert list(texts.item(4).passages) == alone[0]  # type: ignore[union-attr]
        assert list(texts.ids)[4] == "train/m"
        assert [item for item, _ in zip(texts.items(), range(4), strict=False)] == [
            *_texts().items()
        ]

    def test_few_candidates_are_left_alone(self) -> None:
        """A copy of the texts would cost its disk."""
        texts = _texts()
        assert fewer_candidates(texts, 3, seed=0, folder=None) is texts
