"""Masks against their definition: shares, places, labels, and the same ones again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.batches import collate
from limbeck.data.encode import Encoded
from limbeck.data.masking import Masking, masking_for
from limbeck.errors import TeacherError

PAD, CLS, SEP, MASK, VOCABULARY = 0, 2, 3, 4, 1000
ROWS, WORDS = 400, 60


def _masking(share: float = 0.15, seed: int = 0) -> Masking:
    ordinary = np.arange(VOCABULARY) > MASK
    return Masking(share=share, mask_id=MASK, ordinary=ordinary, seed=seed)


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    """Rows of different lengths between [CLS] and [SEP]."""
    generator = np.random.default_rng(0)
    rows = [
        [CLS, *generator.integers(MASK + 1, VOCABULARY, generator.integers(2, 2 * WORDS)), SEP]
        for _ in range(ROWS)
    ]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Encoded(np.concatenate(rows).astype(np.int32), None, offsets, 0, 2 * WORDS + 2)


def _batch(encoded: Encoded, rows: np.ndarray, *, left: bool = False) -> Any:
    return collate(encoded, rows, pad_id=PAD, left=left)


def _bounds(share: float, count: int) -> tuple[float, float]:
    """Five standard deviations around the share: missed once in a million tests."""
    spread = 5 * (share * (1 - share) / count) ** 0.5
    return share - spread, share + spread


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_shares_are_those_of_the_definition(encoded: Encoded, share: float) -> None:
    """More masks leave too little context, fewer too little to learn from."""
    plain = _batch(encoded, np.arange(ROWS))
    batch = _masking(share).masked(plain, 1)
    assert batch.places is not None
    assert batch.labels is not None
    ordinary = (plain.input_ids > MASK).sum().item()
    low, high = _bounds(share, ordinary)
    assert low < len(batch.places) / ordinary < high
    seen = batch.input_ids.flatten()[batch.places]
    kept = seen == batch.labels
    for found, wanted in (
        ((seen == MASK).float(), 0.8),
        (((seen != MASK) & ~kept).float(), 0.1 * (1 - 1 / (VOCABULARY - MASK - 1))),
        (kept.float(), 0.1),
    ):
        low, high = _bounds(wanted, len(seen))
        assert low < found.mean().item() < high


def test_replacements_are_drawn_evenly_from_the_vocabulary(encoded: Encoded) -> None:
    """A drawn [SEP] would end the sentence; a few favourites would be learned as noise."""
    plain = _batch(encoded, np.arange(ROWS))
    drawn = []
    for number in range(20):
        batch = _masking(0.5).masked(plain, number)
        seen = batch.input_ids.flatten()[batch.places]
        drawn.append(seen[(seen != MASK) & (seen != batch.labels)].numpy())
    tokens = np.concatenate(drawn)
    assert tokens.min() > MASK
    counts = np.bincount(tokens // 100, minlength=10)[1:]
    expected = len(tokens) * 100 / (VOCABULARY - MASK - 1)
    assert np.abs(counts - expected).max() < 5 * expected**0.5


@pytest.mark.parametrize("left", [False, True])
def test_special_tokens_and_padding_stay(encoded: Encoded, left: bool) -> None:
    """A masked [CLS] or a guessed padding teaches nothing about language."""
    plain = _batch(encoded, np.arange(64), left=left)
    batch = _masking(0.9).masked(plain, 3)
    special = plain.input_ids <= MASK
    assert (batch.input_ids[special] == plain.input_ids[special]).all()
    assert (plain.input_ids.flatten()[batch.places] == batch.labels).all()
    assert (batch.labels > MASK).all()
    assert batch.attention_mask is plain.attention_mask


def test_what_is_not_to_be_guessed_is_as_it_was(encoded: Encoded) -> None:
    """The labels elsewhere are -100; a changed token there would be a wrong text."""
    plain = _batch(encoded, np.arange(64))
    batch = _masking().masked(plain, 3)
    labels = np.full(plain.input_ids.numel(), -100)
    labels[batch.places.numpy()] = batch.labels.numpy()
    same = (batch.input_ids == plain.input_ids).flatten().numpy()
    assert same[labels == -100].all()
    assert (labels != -100).sum() == len(batch.places)
    assert not np.shares_memory(batch.input_ids.numpy(), plain.input_ids.numpy())


def test_the_same_step_has_the_same_masks_and_another_one_has_others(encoded: Encoded) -> None:
    """A resumed training must see what it saw; every epoch must see something new."""
    plain = _batch(encoded, np.arange(64))
    first, again = _masking().masked(plain, 7), _masking().masked(plain, 7)
    assert (first.input_ids == again.input_ids).all()
    for other in (_masking().masked(plain, 8), _masking(seed=1).masked(plain, 7)):
        shared = np.isin(first.places.numpy(), other.places.numpy()).mean()
        assert shared < 0.25  # 0.15 by chance


def test_rows_of_a_step_are_masked_apart(encoded: Encoded) -> None:
    """Equal texts under equal masks would be one example, counted often."""
    twins = Encoded(np.tile(encoded.ids[:40], 50), None, np.arange(51) * 40, cut=0, max_tokens=40)
    batch = _masking(0.3).masked(_batch(twins, np.arange(50)), 1)
    rows = batch.input_ids.numpy()
    assert len(np.unique(rows, axis=0)) == 50


@pytest.mark.parametrize("left", [False, True])
def test_a_part_of_a_step_is_masked_like_the_whole(encoded: Encoded, left: bool) -> None:
    """Otherwise 2 x 8 rows would learn other words than 1 x 16."""
    rows = np.random.default_rng(1).permutation(ROWS)[:32]
    whole = _masking().masked(_batch(encoded, rows), 5)
    ids = {int(row): whole.input_ids[place] for place, row in enumerate(rows)}
    for part in (rows[::2], rows[1::2]):
        batch = _masking().masked(_batch(encoded, part, left=left), 5)
        for place, row in enumerate(part):
            real = batch.input_ids[place][batch.attention_mask[place].bool()]
            assert (real == ids[int(row)][: len(real)]).all()


def test_places_are_counted_as_they_are_masked(encoded: Encoded) -> None:
    """Parts of a step are weighted by these counts."""
    rows = np.array([3, 1, 200, 7])
    batch = _masking().masked(_batch(encoded, rows), 9)
    assert _masking().count(encoded, rows, 9) == len(batch.places)
    assert _masking().count(encoded, rows[:0], 9) == 0


def test_a_tokenizers_special_tokens_are_never_drawn(random_teacher: Path) -> None:
    """[UNK] is no word to guess, and what the tokenizer never gives is none to show."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(random_teacher)
    vocabulary = len(tokenizer) + 8  # models pad their vocabularies
    masking = masking_for(tokenizer, vocabulary=vocabulary, share=0.15, seed=0, where="here")
    assert masking.mask_id == tokenizer.mask_token_id
    assert not masking.ordinary[tokenizer.all_special_ids].any()
    assert masking.ordinary.sum() == len(tokenizer) - len(tokenizer.all_special_ids)
    assert not masking.ordinary[len(tokenizer) :].any()


def test_refuses_a_tokenizer_without_a_mask(random_teacher: Path) -> None:
    """Any other token in its place would be learned as a word."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(random_teacher)
    tokenizer.mask_token = None
    with pytest.raises(TeacherError, match="no mask token"):
        masking_for(tokenizer, vocabulary=100, share=0.15, seed=0, where="here")
