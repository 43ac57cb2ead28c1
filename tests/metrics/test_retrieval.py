"""Search scores against scikit-learn, and by hand where it has none."""

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from limbeck.metrics import ndcg, rank_by_ids, rank_by_scores, recall_at, reciprocal_rank


@pytest.fixture
def queries():
    """Scores and grades of six queries and nine documents, no two scores alike."""
    generator = np.random.default_rng(0)
    grades = generator.integers(0, 4, size=(6, 9)) * (generator.random((6, 9)) < 0.5)
    grades[:, 4] = 1
    return generator.normal(size=(6, 9)), grades


def rankings(scores, grades):
    return [rank_by_scores(s, g) for s, g in zip(scores, grades, strict=True)]


@pytest.mark.parametrize("k", [1, 3, 9, 20])
def test_ndcg_is_scikit_learns(queries, k):
    """Another gain or discount gives figures that compare with nobody's."""
    found = ndcg(rankings(*queries), k=k)
    expected = [ndcg_score([g], [s], k=k) for s, g in zip(*queries, strict=True)]
    np.testing.assert_allclose(found, expected)


def test_reciprocal_rank_is_scikit_learns_of_one_relevant_document(queries):
    """Its label ranking precision is 1 / rank where one label is right."""
    scores, _ = queries
    grades = np.eye(9)[:6]
    found = reciprocal_rank(rankings(scores, grades), k=9)
    assert found.mean() == pytest.approx(label_ranking_average_precision_score(grades, scores))


def test_scores_by_hand():
    """Places count from 1, and what was not returned is missed."""
    one = rank_by_ids(["x", "b", "y", "a"], {"a": 2, "b": 1, "c": 1, "x": 0})
    assert reciprocal_rank([one], k=10).tolist() == [1 / 2]
    assert reciprocal_rank([one], k=1).tolist() == [0]
    assert recall_at([one], k=2) == pytest.approx([1 / 3])
    assert recall_at([one], k=10) == pytest.approx([2 / 3])
    gain = 1 / np.log2(3) + 2 / np.log2(5)
    most = 2 + 1 / np.log2(3) + 1 / 2
    assert ndcg([one], k=10) == pytest.approx([gain / most])
    assert ndcg([one], k=2) == pytest.approx([(1 / np.log2(3)) / (2 + 1 / np.log2(3))])


def test_scores_and_ids_give_one_ranking(queries):
    """Two ways to one figure must not be two figures."""
    for scores, grades in zip(*queries, strict=True):
        by_ids = rank_by_ids(np.argsort(-scores).tolist(), dict(enumerate(grades.tolist())))
        by_scores = rank_by_scores(scores, grades)
        np.testing.assert_array_equal(by_ids.grades, by_scores.grades)
        np.testing.assert_array_equal(by_ids.ideal, by_scores.ideal)


def test_a_score_that_is_the_same_for_all_finds_nothing():
    """With the relevant document stored first, a collapsed student would be perfect."""
    one = rank_by_scores(np.zeros(9), np.eye(9)[0])
    assert reciprocal_rank([one], k=9).tolist() == [1 / 9]
    assert recall_at([one], k=8).tolist() == [0]


def test_a_search_that_returns_nothing_scores_0():
    """An index may be empty; a mean over no document is NaN."""
    one = rank_by_ids([], {"a": 1})
    for score in (ndcg, reciprocal_rank, recall_at):
        assert score([one], k=5).tolist() == [0]


@pytest.mark.parametrize("grades", [[0.0, 0.0], [-1.0, 1.0], []])
def test_refuses_queries_that_cannot_be_judged(grades):
    """0 / 0 would be NaN, and 0 would blame the model."""
    with pytest.raises(ValueError, match=r"rank_by_scores: a query's grades are"):
        rank_by_scores(np.zeros(len(grades)), np.array(grades))
    with pytest.raises(ValueError, match=r"rank_by_ids: a query's grades are"):
        rank_by_ids([0, 1], dict(enumerate(grades)))


@pytest.mark.parametrize("scores", [np.zeros(3), np.zeros((1, 2)), np.array([0, np.nan])])
def test_refuses_scores_of_other_documents(scores):
    """NaN is sorted behind the rest, where it would look like a judgment."""
    with pytest.raises(ValueError, match=r"rank_by_scores: scores has shape"):
        rank_by_scores(scores, np.array([0.0, 1.0]))


def test_refuses_a_document_that_is_ranked_twice():
    """It would be found twice, and recall rise above 1."""
    with pytest.raises(ValueError, match="rank_by_ids: document 'a' is ranked twice"):
        rank_by_ids(["a", "b", "a"], {"a": 1})


@pytest.mark.parametrize("score", [ndcg, reciprocal_rank, recall_at])
@pytest.mark.parametrize("k", [0, -1])
def test_refuses_k_below_1(score, k):
    """A slice to -1 leaves the last document out, at a plausible score."""
    with pytest.raises(ValueError, match=f"{score.__name__}: k is {k}"):
        score([rank_by_ids(["a"], {"a": 1})], k=k)
