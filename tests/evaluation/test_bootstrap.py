"""Intervals, calibration and disagreement."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from limbeck.evaluation.bootstrap import Resamples
from limbeck.metrics import (
    drawn_pearson,
    drawn_spearman,
    macro_f1,
    mean_of_rows,
    micro_f1,
    of_rows,
    of_sums,
)
from limbeck.tasks.calibration import calibration_error
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.tasks.task import agreement


def _resamples(**parts: np.ndarray) -> Resamples:
    return Resamples(parts, count=4000, confidence=0.95, seed=0)


def test_an_interval_of_accuracy_is_the_binomial_one() -> None:
    """For a mean of zeros and ones the theory is known."""
    right = (np.arange(1000) < 900).astype(float)
    interval = _resamples(a=right).score("a")
    low, high = stats.binom.interval(0.95, 1000, 0.9)
    assert interval.value == 0.9
    assert interval.low == pytest.approx(low / 1000, abs=0.003)
    assert interval.high == pytest.approx(high / 1000, abs=0.003)


def test_paired_differences_are_narrower_than_unpaired_ones() -> None:
    """The luck of the rows cancels: that is why they are paired."""
    generator = np.random.default_rng(0)
    a = (generator.random(800) < 0.9).astype(float)
    b = a.copy()
    b[:8] = 1 - b[:8]
    difference = _resamples(a=a, b=b).difference("a", "b")
    se = (a - b).std(ddof=1) / 800**0.5
    assert difference.value == pytest.approx((a - b).mean())
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * se, rel=0.1)


def test_a_model_against_itself_differs_by_nothing() -> None:
    """Zero exactly, or the pairing is broken."""
    a = (np.arange(100) % 3 > 0).astype(float)
    resamples = _resamples(a=a, b=a)
    assert resamples.difference("a", "b").low == resamples.difference("a", "b").high == 0.0
    assert resamples.ratio("a", "b").low == resamples.ratio("a", "b").high == 1.0
    assert not resamples.difference("a", "b").excludes_zero


def test_the_same_seed_gives_the_same_interval() -> None:
    """A report that changes when it is made again is no report."""
    a = (np.arange(100) % 3 > 0).astype(float)
    assert _resamples(a=a).score("a") == _resamples(a=a).score("a")


def test_a_calibrated_model_has_no_calibration_error() -> None:
    """80 % sure and right in 80 % of the rows."""
    sure = np.array([[0.8, 0.2]] * 100)
    labels = np.array([0] * 80 + [1] * 20)
    assert calibration_error(sure, labels) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(sure, np.zeros(100, dtype=int)) == pytest.approx(0.2)


def test_probabilities_survive_large_logits() -> None:
    """exp(1000) is infinite."""
    np.testing.assert_allclose(SINGLE_LABEL.answers(np.array([[1000.0, 1000.0]])), [[0.5, 0.5]])


def test_agreement_counts_answers_not_scores() -> None:
    """Two models that are wrong alike agree."""
    ours, theirs = np.array([[2.0, 1], [0, 1]]), np.array([[9.0, 1], [1, 0]])
    assert agreement(SINGLE_LABEL, ours, theirs) == 0.5


def _counts(seed: int) -> np.ndarray:
    """Right, predicted and gold of 300 rows and 3 classes."""
    generator = np.random.default_rng(seed)
    gold = generator.random((300, 3)) < [0.5, 0.2, 0.05]
    given = gold ^ (generator.random((300, 3)) < 0.15)
    return np.stack([gold & given, given, gold], axis=-1).astype(float)


def _pairs(seed: int) -> np.ndarray:
    """Prediction and target of 300 rows, the target of all seeds alike."""
    target = np.random.default_rng(0).integers(0, 6, size=300).astype(float)
    noise = np.random.default_rng(seed).normal(size=300)
    return np.stack([target + seed * noise, target], axis=1)


CASES = [
    (mean_of_rows, lambda part: part.mean(), lambda seed: _pairs(seed)[:, 0]),
    (of_sums(micro_f1), lambda part: micro_f1(part.sum(axis=0)), _counts),
    (of_sums(macro_f1), lambda part: macro_f1(part.sum(axis=0)), _counts),
    (drawn_pearson, lambda part: stats.pearsonr(*part.T)[0], _pairs),
    (drawn_spearman, lambda part: stats.spearmanr(*part.T)[0], _pairs),
]


@pytest.mark.parametrize(("statistic", "score", "parts"), CASES)
def test_any_statistic_is_the_score_of_the_rows_that_were_drawn(statistic, score, parts) -> None:
    """Every figure and its interval, against rows that are really repeated, pair by pair."""
    a, b = parts(1), parts(2)
    resamples = Resamples({"a": a, "b": b}, count=150, confidence=0.9, seed=3, statistic=statistic)
    generator = np.random.default_rng(3)
    drawn = np.concatenate([generator.integers(0, 300, size=(n, 300)) for n in (100, 50)])
    one, other = (np.array([score(side[rows]) for rows in drawn]) for side in (a, b))
    for found, value, expected in [
        (resamples.score("a"), score(a), one),
        (resamples.difference("a", "b"), score(a) - score(b), one - other),
        (resamples.ratio("b", "a"), score(b) / score(a), other / one),
    ]:
        assert found.value == pytest.approx(value)
        assert [found.low, found.high] == pytest.approx(np.percentile(expected, [5, 95]).tolist())


def test_a_score_that_nothing_else_fits_is_computed_from_repeated_rows() -> None:
    """Slow, and the same: the median of what was drawn."""
    part = _pairs(1)[:, 0]
    resamples = Resamples(
        {"a": part}, count=50, confidence=0.9, seed=3, statistic=of_rows(lambda x: np.median(x))
    )
    drawn = np.random.default_rng(3).integers(0, 300, size=(50, 300))
    expected = np.percentile(np.median(part[drawn], axis=1), [5, 95])
    assert resamples.score("a").value == np.median(part)
    assert [resamples.score("a").low, resamples.score("a").high] == pytest.approx(expected.tolist())


def test_a_correlations_interval_is_fishers() -> None:
    """For the correlation of normal values the theory is known."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=2000)
    pairs = np.stack([x, 0.6 * x + 0.8 * generator.normal(size=2000)], axis=1)
    found = Resamples(
        {"a": pairs}, count=2000, confidence=0.95, seed=0, statistic=drawn_pearson
    ).score("a")
    low, high = stats.pearsonr(*pairs.T).confidence_interval(0.95)
    assert found.low == pytest.approx(low, abs=0.005)
    assert found.high == pytest.approx(high, abs=0.005)


def test_refuses_models_of_other_rows() -> None:
    """A row of one would be paired with another row of the other."""
    with pytest.raises(ValueError, match=r"rows by model are .*same rows"):
        _resamples(a=np.ones(3), b=np.ones(4))
