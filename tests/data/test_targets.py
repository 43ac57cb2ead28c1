"""Targets as arrays, and what they are stratified by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from limbeck.data.split import stratified_holdout
from limbeck.data.targets import labelled, strata, with_none
from limbeck.data.texts import Texts

CLASSES = np.array([1, -100, 0])
SETS = np.array([[1, 0], [-100, -100], [0, 0]], dtype=np.int8)
NUMBERS = np.array([0.5, np.nan, -100.0], dtype=np.float32)


@pytest.mark.parametrize("targets", [CLASSES, SETS, NUMBERS], ids=["classes", "sets", "numbers"])
def test_rows_without_a_target_are_known_as_such(
    targets: np.ndarray, texts_of: Callable[..., Texts]
) -> None:
    """A missing label that counts as one teaches a wrong answer; -100 may be a number's value."""
    np.testing.assert_array_equal(labelled(targets), [True, False, True])
    more = with_none(targets, texts_of(["one more", "another"]))
    assert more.dtype == targets.dtype
    np.testing.assert_array_equal(labelled(more), [True, False, True, False, False])


def test_strata_of_classes_are_the_classes() -> None:
    """The split of single-label runs is what it was before other tasks came."""
    assert strata(CLASSES) is CLASSES


def test_frequent_sets_are_strata_and_rare_ones_one_together() -> None:
    """One row of each of a thousand rare sets would hold out half of the training rows."""
    generator = np.random.default_rng(0)
    rare = generator.permutation(2**10)[:400, None] >> np.arange(10) & 1
    sets = np.concatenate([np.tile(np.eye(10, dtype=int)[:2], (50, 1)), rare]).astype(np.int8)
    found = strata(sets)
    assert len(np.unique(found[:100])) == 2
    assert len(np.unique(found[100:])) <= 3
    _, held = stratified_holdout(
        found, np.arange(500, dtype=np.uint64), share=0.1, seed=0, source="f"
    )
    assert len(held) == pytest.approx(50, abs=2)


def test_numbers_are_held_out_over_their_whole_range() -> None:
    """A validation split without high scores cannot choose a state that gets them right."""
    numbers = np.concatenate([np.zeros(20), np.linspace(0, 5, 180), [np.nan] * 30])
    found = strata(numbers.astype(np.float32))
    np.testing.assert_array_equal(found[-30:], -100)
    _, held = stratified_holdout(
        found, np.arange(230, dtype=np.uint64), share=0.1, seed=1, source="f"
    )
    assert len(held) == pytest.approx(20, abs=3)
    assert numbers[held].min() < 0.5
    assert numbers[held].max() > 4.4
    assert not np.isnan(numbers[held]).any()
