"""Intervals, calibration and disagreement."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from limbeck.evaluation.bootstrap import Resamples
from limbeck.evaluation.quality import agreement, calibration_error, probabilities


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
    sure = np.log(np.array([[0.8, 0.2]] * 100))
    labels = np.array([0] * 80 + [1] * 20)
    assert calibration_error(sure, labels) == pytest.approx(0.0, abs=1e-9)
    assert calibration_error(sure, np.zeros(100, dtype=int)) == pytest.approx(0.2)


def test_probabilities_survive_large_logits() -> None:
    """exp(1000) is infinite."""
    np.testing.assert_allclose(probabilities(np.array([[1000.0, 1000.0]])), [[0.5, 0.5]])


def test_agreement_counts_answers_not_scores() -> None:
    """Two models that are wrong alike agree."""
    assert agreement(np.array([[2.0, 1], [0, 1]]), np.array([[9.0, 1], [1, 0]])) == 0.5
