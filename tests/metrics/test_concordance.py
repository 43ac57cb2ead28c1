"""Agreement with the diagonal."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.metrics.correlation import concordance, pearson


def test_only_the_targets_themselves_have_all_of_it() -> None:
    """Pearson's is 1 for any line: a state whose answers hardly differ would be kept."""
    targets = np.array([1.0, 2.0, 4.0, 3.5])
    assert concordance(targets, targets) == pytest.approx(1.0)
    flat = 3 + targets / 1000
    assert pearson(flat, targets) == pytest.approx(1.0)
    assert concordance(flat, targets) < 0.01
    assert concordance(targets + 2, targets) < 0.5
    assert concordance(-targets, targets) < 0


def test_it_is_pearson_where_scale_and_mean_agree() -> None:
    """The identity in Lin's paper."""
    generator = np.random.default_rng(0)
    one, other = generator.normal(size=(2, 50))
    one, other = ((side - side.mean()) / side.std() for side in (one, other))
    assert concordance(one, other) == pytest.approx(pearson(one, other))


def test_what_is_constant_agrees_with_nothing() -> None:
    """0 / 0 would be NaN, and no state would ever be kept."""
    assert concordance(np.ones(3), np.arange(3.0)) == 0.0
    assert concordance(np.ones(3), np.ones(3)) == 0.0
