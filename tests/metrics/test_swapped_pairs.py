"""How far the orders of two models are apart."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from limbeck.metrics import swapped_pairs

SCORES = np.random.default_rng(0).normal(size=(2, 9))


def test_it_is_scipys_tau_without_ties():
    """Agreement that others cannot compute convinces nobody."""
    expected = (1 - kendalltau(*SCORES).statistic) / 2
    assert swapped_pairs(*SCORES) == pytest.approx(expected)
    assert swapped_pairs(SCORES[0], -SCORES[0]) == 1
    assert swapped_pairs(SCORES[0], np.exp(SCORES[0])) == 0


def test_a_tie_of_one_model_is_half_a_swap():
    """A model that scores all alike must not pass for one that agrees."""
    assert swapped_pairs(np.zeros(4), np.arange(4.0)) == 0.5
    assert swapped_pairs(np.zeros(4), np.zeros(4)) == 0


def test_one_document_has_no_pair():
    """NaN would poison every mean over queries."""
    assert swapped_pairs(np.zeros(1), np.ones(1)) == 0


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((3, 1), (3, 1))])
def test_refuses_other_documents(shapes):
    """Scores of other documents would be compared place by place."""
    with pytest.raises(ValueError, match="swapped_pairs"):
        swapped_pairs(*(np.zeros(shape) for shape in shapes))
