"""Outputs and targets of words are indexed by rows, like arrays of one output a row."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.data.per_word import WordOutputs, WordTargets, finite, spread, together, words_of
from limbeck.data.targets import labelled, strata
from limbeck.data.worded import worded

OFFSETS = np.array([0, 2, 3, 6])


def _outputs(values: list[float]) -> WordOutputs:
    return WordOutputs(np.array(values)[:, None], OFFSETS, np.arange(6, dtype=np.int32))


def test_rows_are_picked_in_any_order_and_more_than_once() -> None:
    """Batches sort rows and predictions repeat them; words must follow their rows."""
    picked = _outputs([10, 11, 20, 30, 31, 32])[[2, 0, 2]]
    assert picked.values[:, 0].tolist() == [30, 31, 32, 10, 11, 30, 31, 32]
    assert picked.offsets.tolist() == [0, 3, 5, 8]
    assert picked.places.tolist() == [3, 4, 5, 0, 1, 3, 4, 5]
    assert _outputs([10, 11, 20, 30, 31, 32])[1].values[:, 0].tolist() == [20]


def test_parts_of_batches_come_together_in_the_rows_order() -> None:
    """A window is answered longest first and must be told in the order of the texts."""
    whole = _outputs([10, 11, 20, 30, 31, 32])
    order = [np.array([2]), np.array([1, 0])]
    joined = together([whole[rows] for rows in order])[np.argsort(np.concatenate(order))]
    np.testing.assert_array_equal(joined.values, whole.values)
    np.testing.assert_array_equal(joined.offsets, whole.offsets)
    np.testing.assert_array_equal(joined.places, whole.places)


def test_words_without_a_token_are_zeros() -> None:
    """What was said about a word must not move to its neighbor."""
    places = np.array([1, -1, 2, -2], dtype=np.int32)
    said = spread(np.array([[5.0], [6.0]]), np.array([0, 2]), places, np.array([0, 2, 4]))
    assert said.values[:, 0].tolist() == [5, 0, 6, 0]


def test_nan_of_any_word_is_seen() -> None:
    """The gate refuses an export that answers NaN."""
    assert finite(_outputs([0, 1, 2, 3, 4, 5]))
    assert not finite(_outputs([0, 1, 2, float("nan"), 4, 5]))


def test_no_rows_have_no_words() -> None:
    """A part of a step may be empty."""
    words, offsets = words_of(OFFSETS, np.zeros(0, dtype=np.int64))
    assert len(words) == 0
    assert offsets.tolist() == [0]


def test_a_row_is_labelled_when_all_its_words_are() -> None:
    """Rows without tags are for the teacher alone."""
    targets = WordTargets(np.array([0, 1, -100, 0, 0, 1]), OFFSETS, ("O", "B-X"))
    assert labelled(targets).tolist() == [True, False, True]
    found = strata(targets)
    assert found[1] == -100
    assert found[0] == found[2] != -100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Anna  saw (Rome).", ["Anna", "saw", "(", "Rome", ")", "."]),
        ("U.S. well-known don't", ["U.S", ".", "well-known", "don't"]),
        ("... ?", [".", ".", ".", "?"]),
        ("在北京 ok", ["在", "北", "京", "ok"]),
        (" \n", []),
    ],
)
def test_plain_texts_are_split_as_tagged_ones(text: str, words: list[str]) -> None:
    """A model that learned from parted punctuation must be shown it parted."""
    assert [text[start:end] for start, end in worded(text).spans] == words
