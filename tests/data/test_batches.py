"""Batches of similar length under a token budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data.batches import batches_by_length, collate, padded_length, shuffled_batches
from limbeck.data.encode import Encoded

_LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=300).map(np.array)


@settings(deadline=None)
@given(lengths=_LENGTHS, rows=st.integers(1, 40), tokens=st.integers(16, 2000))
def test_every_row_comes_once_an_epoch_within_both_budgets(
    lengths: np.ndarray, rows: int, tokens: int
) -> None:
    """A row left out is never learned; a batch too large runs out of memory after an hour."""
    for batches in (
        shuffled_batches(lengths, rows=rows, tokens=tokens, seed=1, epoch=2),
        batches_by_length(lengths, rows=rows, tokens=tokens),
    ):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        for batch in batches:
            assert 1 <= len(batch) <= rows
            padded = len(batch) * padded_length(int(lengths[batch].max()))
            assert len(batch) == 1 or padded <= tokens


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    """A resumed run must see the batches of the straight one."""
    lengths = np.random.default_rng(0).integers(3, 60, 500)

    def order(seed: int, epoch: int) -> list[list[int]]:
        made = shuffled_batches(lengths, rows=16, tokens=600, seed=seed, epoch=epoch)
        return [batch.tolist() for batch in made]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(1, 0)
    assert order(0, 0) != order(0, 1)


def test_batches_are_not_in_order_of_length() -> None:
    """Short texts first and long ones last would be a curriculum that nobody asked for."""
    lengths = np.random.default_rng(0).integers(3, 60, 2000)
    batches = shuffled_batches(lengths, rows=32, tokens=10_000, seed=0, epoch=0)
    means = np.array([lengths[batch].mean() for batch in batches])
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.4


def test_padding_is_a_small_share_of_a_usual_mix_of_lengths() -> None:
    """Padding is time for nothing: random batches of this mix would be half padding."""
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(3.2, 0.7, 20_000), 3, 128).astype(int)
    batches = shuffled_batches(lengths, rows=32, tokens=4096, seed=0, epoch=0)
    padded = sum(len(batch) * padded_length(int(lengths[batch].max())) for batch in batches)
    assert 1 - lengths.sum() / padded < 0.05


def test_padded_lengths_hold_the_longest_and_are_few() -> None:
    """Each distinct shape costs memory and warm-up."""
    padded = [padded_length(length) for length in range(1, 513)]
    assert all(0 <= wide - length < 16 for length, wide in enumerate(padded, start=1))
    assert len(set(padded)) <= 64
    assert padded == sorted(padded)
    assert all(wide - length < max(1, length / 8) for length, wide in enumerate(padded, start=1))


def _encoded(types: bool) -> Encoded:
    return Encoded(
        ids=np.array([5, 6, 7, 8, 9], dtype=np.int32),
        type_ids=np.array([0, 1, 0, 1, 1], dtype=np.uint8) if types else None,
        offsets=np.array([0, 2, 5]),
        cut=0,
        max_tokens=16,
    )


def test_padding_goes_right_or_left_and_the_mask_with_it() -> None:
    """XLNet and GPT-2 read the end of a row: padding there would be what they read."""
    rows = np.array([1, 0])
    right = collate(_encoded(True), rows, pad_id=99, types=True)
    assert right.input_ids.tolist() == [[7, 8, 9], [5, 6, 99]]
    assert right.attention_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert right.token_type_ids is not None
    assert right.token_type_ids.tolist() == [[0, 1, 1], [0, 1, 0]]
    left = collate(_encoded(True), rows, pad_id=99, left=True, types=True)
    assert left.input_ids.tolist() == [[7, 8, 9], [99, 5, 6]]
    assert left.attention_mask.tolist() == [[1, 1, 1], [0, 1, 1]]
    assert left.token_type_ids is not None
    assert left.token_type_ids.tolist() == [[0, 1, 1], [0, 0, 1]]


def test_segments_are_zeros_where_the_model_takes_them_and_none_were_kept() -> None:
    """A model that takes them and gets none invents its own."""
    batch = collate(_encoded(False), np.array([0]), pad_id=0, types=True)
    assert batch.token_type_ids is not None
    assert batch.token_type_ids.tolist() == [[0, 0]]
    assert collate(_encoded(False), np.array([0]), pad_id=0).token_type_ids is None


def test_padding_never_goes_beyond_what_the_model_takes() -> None:
    """Positions beyond the table are an index error in the teacher."""
    encoded = Encoded(np.arange(6, dtype=np.int32), None, np.array([0, 6]), 0, max_tokens=6)
    assert collate(encoded, np.array([0]), pad_id=0).input_ids.shape == (1, 6)
