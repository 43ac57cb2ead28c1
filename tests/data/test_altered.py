"""Altered copies of texts."""

from __future__ import annotations

import pyarrow as pa

from limbeck.data.altered import altered_copies
from limbeck.data.texts import Texts

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def _texts(count: int) -> Texts:
    texts = [" ".join(WORDS[(row + place) % 10] for place in range(10)) for row in range(count)]
    table = pa.table(
        {
            "id": pa.array([f"train/{row + 1}" for row in range(count)], pa.large_string()),
            "text": pa.array(texts, pa.large_string()),
            "label": pa.array(["1"] * count, pa.large_string()),
        }
    )
    return Texts("train", table)


def test_copies_have_ids_of_their_own_and_no_labels() -> None:
    """An altered text may mean something else: only the teacher may label it."""
    copies = altered_copies(_texts(3), copies=2, share=0.2, seed=0)
    assert copies.table.column("id").to_pylist()[:2] == ["train/1~1", "train/1~2"]
    assert copies.table.column("label").null_count == len(copies)


def test_the_same_seed_gives_the_same_copies_whatever_stands_around() -> None:
    """A file that grew must not change the copies of its old rows: they were answered before."""
    few, many = _texts(20), _texts(40)
    first = altered_copies(few, copies=1, share=0.2, seed=3)
    assert first.table.equals(altered_copies(few, copies=1, share=0.2, seed=3).table)
    assert not first.table.equals(altered_copies(few, copies=1, share=0.2, seed=4).table)
    assert len(altered_copies(many, copies=1, share=0.2, seed=3)) > len(first)


def test_words_are_dropped_and_replaced_in_the_share_that_is_asked_for() -> None:
    """A share that is applied twice, or once for all three, makes other texts."""
    copies = altered_copies(_texts(2000), copies=1, share=0.1, seed=0)
    words = [text.split() for text in copies.texts.to_pylist()]
    kept = sum(map(len, words)) / (10 * len(words))
    assert 0.88 < kept < 0.915  # a tenth dropped; copies that came out unchanged are left out
    assert {word for text in words for word in text} == set(WORDS)


def test_nothing_changed_is_no_copy() -> None:
    """A text that the teacher answered already would only be counted twice."""
    assert len(altered_copies(_texts(50), copies=3, share=1e-9, seed=0)) == 0
