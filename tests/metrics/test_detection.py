"""Areas under curves against scikit-learn, on rows and on what was drawn of them."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from limbeck.metrics import auroc, average_precision, drawn_auroc, drawn_average_precision

CASES = [
    (auroc, drawn_auroc, roc_auc_score),
    (average_precision, drawn_average_precision, average_precision_score),
]
both = pytest.mark.parametrize(("score", "statistic", "scikit_learns"), CASES)


@pytest.fixture
def pairs():
    """Scores with ties, and whether a row is positive."""
    generator = np.random.default_rng(0)
    positive = (generator.random(80) < 0.3).astype(float)
    return np.stack([(positive + generator.normal(size=80)).round(1), positive], axis=1)


@both
def test_is_scikit_learns(pairs, score, statistic, scikit_learns):
    """An area of our own making could be compared with nobody's."""
    assert score(*pairs.T) == pytest.approx(scikit_learns(pairs[:, 1], pairs[:, 0]))
    assert score(pairs[:, 0], pairs[:, 1] == 1) == score(*pairs.T)


@both
def test_of_drawn_rows_is_scikit_learns_of_repeated_ones(pairs, score, statistic, scikit_learns):
    """An interval of another score than the one beside it."""
    drawn = np.random.default_rng(1).integers(0, 4, size=(80, 7)).astype(float)
    for value, times in zip(statistic(pairs, drawn), drawn.T, strict=True):
        repeated = np.repeat(pairs, times.astype(int), axis=0)
        assert value == pytest.approx(scikit_learns(repeated[:, 1], repeated[:, 0]))


@pytest.mark.parametrize("first", [True, False])
def test_a_score_that_is_the_same_for_all_is_guessing(first):
    """Ties broken by the rows' order would make a collapsed student perfect."""
    positives = np.array([first] * 5 + [not first] * 5)
    assert auroc(np.zeros(10), positives) == 0.5
    assert average_precision(np.zeros(10), positives) == 0.5


def test_resamples_of_one_kind_are_told(pairs):
    """They happen by chance where positives are rare; a warning is an error here."""
    drawn = pairs[:, [1]] == [0]
    assert drawn_auroc(pairs, drawn.astype(float)).tolist() == [0.5]
    assert np.isnan(drawn_average_precision(pairs, drawn.astype(float))).all()


@pytest.mark.parametrize("positives", [np.zeros(4), np.ones(4), np.array([0, 1, 2, 1])])
@pytest.mark.parametrize("score", [auroc, average_precision])
def test_refuses_rows_of_one_kind(score, positives):
    """Nothing can be told apart, and 1/2 would be read as a result."""
    with pytest.raises(ValueError, match=rf"{score.__name__}: positives holds .*both 0 and 1"):
        score(np.arange(4.0), positives)


@pytest.mark.parametrize("score", [auroc, average_precision])
def test_refuses_nan(score):
    """It is sorted to one end, as if it were very sure."""
    with pytest.raises(ValueError, match="value 1 is not a number"):
        score(np.array([0.0, np.nan]), np.array([0, 1]))
