"""Correlations against scipy, on rows and on what was drawn of them."""

import numpy as np
import pytest
from scipy import stats

from limbeck.metrics import drawn_pearson, drawn_spearman, pearson, spearman

CASES = [(pearson, drawn_pearson, stats.pearsonr), (spearman, drawn_spearman, stats.spearmanr)]
both = pytest.mark.parametrize(("score", "statistic", "scipys"), CASES)


@pytest.fixture
def pairs():
    """Predictions, some of them equal, and grades with many ties."""
    generator = np.random.default_rng(0)
    target = generator.integers(0, 5, size=60).astype(float)
    return np.stack([(target + generator.normal(size=60)).round(1), target], axis=1)


@both
def test_is_scipys(pairs, score, statistic, scipys):
    """A correlation of our own making could be compared with nobody's."""
    assert score(*pairs.T) == pytest.approx(scipys(*pairs.T)[0])


@both
def test_of_drawn_rows_is_scipys_of_repeated_ones(pairs, score, statistic, scipys):
    """An interval of another score than the one beside it."""
    drawn = np.random.default_rng(1).integers(0, 4, size=(60, 7)).astype(float)
    found = statistic(pairs, drawn)
    for value, times in zip(found, drawn.T, strict=True):
        repeated = np.repeat(pairs, times.astype(int), axis=0)
        assert value == pytest.approx(scipys(*repeated.T)[0])


@both
def test_values_far_from_zero_correlate_alike(pairs, score, statistic, scipys):
    """A sum of squares has no digit left for a difference of 1 at a level of 1e8."""
    assert score(*(pairs + 1e8).T) == pytest.approx(scipys(*pairs.T)[0], abs=1e-6)


@both
def test_order_turned_around_is_the_opposite(pairs, score, statistic, scipys):
    """A student that answers backwards must not look good."""
    assert score(-pairs[:, 0], pairs[:, 1]) == pytest.approx(-score(*pairs.T))
    assert score(pairs[:, 1], pairs[:, 1]) == pytest.approx(1)


@both
@pytest.mark.parametrize("level", [0.0, 0.1, 1e6])
def test_a_constant_answer_scores_0(pairs, score, statistic, scipys, level):
    """A collapsed student would be NaN in the report, and no comparison with NaN is true."""
    assert score(np.full(60, level), pairs[:, 1]) == 0
    drawn = np.zeros((60, 1))
    drawn[3] = 60
    assert statistic(pairs, drawn)[0] == 0


def test_spearman_sees_order_alone(pairs):
    """Where it moved with the scale it would be a Pearson."""
    assert spearman(np.exp(pairs[:, 0]), pairs[:, 1]) == pytest.approx(spearman(*pairs.T))
    assert pearson(np.exp(pairs[:, 0]), pairs[:, 1]) != pytest.approx(pearson(*pairs.T), abs=0.01)


def test_refuses_nan(pairs):
    """It is sorted behind all others, as if it were the best answer."""
    pairs[7, 0] = np.nan
    with pytest.raises(ValueError, match="value 7 is not a number"):
        spearman(*pairs.T)
    assert np.isnan(pearson(*pairs.T))
