"""Altered copies of texts."""

from __future__ import annotations

from limbeck.config.recipe import DataConfig
from limbeck.data.altered import altered_copies
from limbeck.data.texts import Texts, gather

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def _texts(count: int) -> Texts:
    texts = [" ".join(WORDS[(row + place) % 10] for place in range(10)) for row in range(count)]
    rows = [{"text": text, "label": "1"} for text in texts]
    return gather("train", rows, "here", DataConfig(), labels=True)


def test_copies_have_ids_of_their_own_and_no_labels() -> None:
    """An altered text may mean something else: only the teacher may label it."""
    copies = altered_copies(_texts(3), copies=2, share=0.2, seed=0)
    assert list(copies.ids)[:2] == ["train/1~1", "train/1~2"]
    assert (copies.codes == -1).all()


def test_the_same_seed_gives_the_same_copies_whatever_stands_around() -> None:
    """A file that grew must not change the copies of its old rows: they were answered before."""
    few, many = _texts(20), _texts(40)
    first = altered_copies(few, copies=1, share=0.2, seed=3)
    assert first.fingerprint() == altered_copies(few, copies=1, share=0.2, seed=3).fingerprint()
    assert first.fingerprint() != altered_copies(few, copies=1, share=0.2, seed=4).fingerprint()
    assert len(altered_copies(many, copies=1, share=0.2, seed=3)) > len(first)


def test_words_are_dropped_and_replaced_in_the_share_that_is_asked_for() -> None:
    """A share that is applied twice, or once for all three, makes other texts."""
    copies = altered_copies(_texts(2000), copies=1, share=0.1, seed=0)
    words = [text.split() for text in copies.texts]
    kept = sum(map(len, words)) / (10 * len(words))
    assert 0.88 < kept < 0.915  # a tenth dropped; copies that came out unchanged are left out
    assert {word for text in words for word in text} == set(WORDS)


def test_nothing_changed_is_no_copy() -> None:
    """A text that the teacher answered already would only be counted twice."""
    assert len(altered_copies(_texts(50), copies=3, share=1e-9, seed=0)) == 0
