"""Batches of whole lists: what is compared with each other is never parted."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.data.batches import collate, padded_length, shuffled_batches
from limbeck.data.encoded import Encoded
from limbeck.data.layout import layout_of
from limbeck.data.per_query import RankOutputs
from limbeck.tasks.reranking import Reranking
from limbeck.training.lessons import Lessons

SIZES = np.random.default_rng(0).integers(1, 12, 400)
LISTS = np.concatenate([[0], np.cumsum(SIZES)])
LENGTHS = np.random.default_rng(1).integers(5, 60, LISTS[-1])


def _batches(*, rows: int = 32, tokens: int = 2000, epoch: int = 0) -> list[np.ndarray]:
    return shuffled_batches(LENGTHS, rows=rows, tokens=tokens, seed=3, epoch=epoch, lists=LISTS)


def _encoded(lengths: list[int], lists: list[int]) -> Encoded:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.arange(offsets[-1], dtype=np.int32)
    return Encoded(ids, None, offsets, 0, 64, lists=np.array(lists))


def test_no_batch_parts_a_list() -> None:
    """A softmax over some of a query's candidates teaches that the others do not exist."""
    for batch in _batches():
        whose = np.searchsorted(LISTS, batch, side="right") - 1
        for one in np.unique(whose):
            here = batch[whose == one]
            np.testing.assert_array_equal(here, np.arange(LISTS[one], LISTS[one + 1]))
        assert (np.diff(np.flatnonzero(np.diff(whose))) > 0).all()


def test_every_row_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    """Rows that are left out teach nothing; one order for all epochs teaches the order."""
    for epoch in (0, 1):
        assert np.sort(np.concatenate(_batches(epoch=epoch))).tolist() == [*range(LISTS[-1])]
    assert [b.tolist() for b in _batches()] == [b.tolist() for b in _batches()]
    assert [b.tolist() for b in _batches()] != [b.tolist() for b in _batches(epoch=1)]


def test_batches_keep_to_their_budget_but_for_a_list_that_exceeds_it_alone() -> None:
    """Memory is what the budget is for; a list that is dropped would never be learned."""
    for batch in _batches(rows=10, tokens=300):
        cost = len(batch) * padded_length(int(LENGTHS[batch].max()))
        single = len(np.unique(np.searchsorted(LISTS, batch, side="right"))) == 1
        assert single or (len(batch) <= 10 and cost <= 300)
    assert any(len(batch) > 10 for batch in _batches(rows=10, tokens=300))


def test_lists_of_one_length_share_batches() -> None:
    """Padding is computed like words: short lists among long ones make an epoch twice as long."""
    longest = np.repeat(np.random.default_rng(2).integers(8, 120, 400), SIZES)
    batches = shuffled_batches(longest, rows=64, tokens=8192, seed=0, epoch=0, lists=LISTS)
    padded = sum(len(batch) * padded_length(int(longest[batch].max())) for batch in batches)
    assert padded < 1.2 * longest.sum()


def test_nothing_to_learn_is_no_batch() -> None:
    """A split without a labelled query must end in its message, not in a crash."""
    empty = np.zeros(0, dtype=np.int64)
    assert shuffled_batches(empty, rows=4, tokens=9, seed=0, epoch=0, lists=np.zeros(1, int)) == []


def test_a_layout_gives_each_query_a_row() -> None:
    """Candidates of two queries in one softmax are compared across them."""
    import torch

    encoded = _encoded([3] * 6, [0, 2, 3, 6])
    layout = layout_of(collate(encoded, np.array([3, 4, 5, 0, 1]), pad_id=0))
    assert layout is not None
    scores = torch.arange(1.0, 6.0)
    assert layout.padded(scores).tolist() == [[1, 2, 3], [4, 5, 0]]
    assert layout.mask().tolist() == [[True] * 3, [True, True, False]]


def test_lists_of_some_rows_begin_where_theirs_do() -> None:
    """A part of the rows is what a control arm and a step learn from."""
    encoded = _encoded([3] * 6, [0, 2, 3, 6])
    found = encoded.lists_of(np.array([3, 4, 5, 0, 1]))
    assert found is not None
    assert found.tolist() == [0, 3, 5]
    assert encoded.text_lengths.tolist() == [6, 3, 9]
    outputs = encoded.of_texts(np.arange(6.0)[:, None])
    assert isinstance(outputs, RankOutputs)
    assert [scores.tolist() for scores in outputs.each()] == [[0, 1], [2], [3, 4, 5]]


@pytest.fixture
def lessons() -> Lessons:
    grades = np.array([1, 0, np.nan, 0, 2, 0, np.nan, np.nan], dtype=np.float32)
    encoded = _encoded([3] * 8, [0, 2, 3, 6, 8])
    return Lessons(encoded, grades, None, None, [], task=Reranking())


def test_a_step_counts_queries_where_it_takes_means_over_them(lessons: Lessons) -> None:
    """Parts of a step would be weighted by candidates, and 2 x 8 rows train unlike 1 x 16."""
    counted = lessons.count(np.arange(8), 1)
    assert (counted.rows, counted.answered, counted.labelled) == (8, 4, 2)


def test_parts_of_a_step_are_of_whole_queries(lessons: Lessons) -> None:
    """Two processes with half of a query's candidates each compare other candidates."""
    parts = lessons.parts(np.arange(8), 3)
    assert [part.tolist() for part in parts] == [[0, 1, 6, 7], [2], [3, 4, 5]]
    assert [len(part) for part in lessons.parts(np.arange(3), 3)] == [2, 1, 0]
