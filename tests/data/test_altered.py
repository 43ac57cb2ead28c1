"""Altered copies of texts."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.altered import altered_copies, replaced_copies, word_spans
from limbeck.data.raw_labels import ONE_LABEL
from limbeck.data.texts import Texts, gather

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def _texts(count: int) -> Texts:
    texts = [" ".join(WORDS[(row + place) % 10] for place in range(10)) for row in range(count)]
    rows = [{"text": text, "label": "1"} for text in texts]
    return gather("train", rows, "here", DataConfig(), labels=ONE_LABEL)


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


def _one(text: str, words: list[list[str]], **settings: Any) -> list[str]:
    texts = gather("train", [{"text": text}], "here", DataConfig(), labels=ONE_LABEL)
    settings = {"copies": 1, "share": 1.0, "seed": 0, **settings}
    return list(replaced_copies(texts, [words], **settings).texts)


def test_words_are_replaced_and_all_else_stays_as_it_was() -> None:
    """A teacher that knows case, commas and line breaks would see another text."""
    text = "It's, (well)\n GOOD\u2026 5 snake_case!"
    assert [text[start:end] for start, end in word_spans(text)] == [
        "It's", "well", "GOOD", "5", "snake", "case",
    ]  # fmt: skip
    words = [["This"], ["not"], [], ["six"], ["a"], ["b"]]
    assert _one(text, words) == ["This, (not)\n GOOD\u2026 six a_b!"]


def test_each_word_is_replaced_in_the_share_and_by_all_of_its_candidates() -> None:
    """The share is of the words; a draw that favors the first candidate is no augmentation."""
    texts = _texts(2000)
    some = [[["one", "two", "three", "four"]] * 10 for _ in range(2000)]
    copies = replaced_copies(texts, some, copies=1, share=0.4, seed=0)
    words = [word for text in copies.texts for word in text.split()]
    counts = [words.count(word) / len(words) for word in ("one", "two", "three", "four")]
    assert all(0.09 < count < 0.11 for count in counts)
    assert copies.ids[0] == "train/1~1"
    assert (copies.codes == -1).all()


def test_no_copy_is_made_twice_and_none_is_the_text() -> None:
    """Texts of few candidates would be learned many times over."""
    words = [["one", "two"], []]
    assert sorted(_one("a b", words, copies=50, share=0.5)) == ["one b", "two b"]
    assert _one("a b", [[], []], copies=5) == []


def test_replaced_copies_depend_on_the_seed_and_the_row_alone() -> None:
    """A file that grew must not change the copies of its old rows: they were answered before."""
    few, many = _texts(20), _texts(40)
    words = [[["one", "two", "three"]] * 10 for _ in range(40)]
    first, again, other = (
        replaced_copies(few, words[:20], copies=2, share=0.4, seed=seed) for seed in (3, 3, 4)
    )
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    grown = replaced_copies(many, words, copies=2, share=0.4, seed=3)
    assert list(grown.texts)[: len(first)] == list(first.texts)


def test_refuses_candidates_of_other_texts() -> None:
    """A list that is shifted by a word replaces each by what was meant for its neighbor."""
    with pytest.raises(ValueError, match=r"shorter|longer"):
        _one("a b", [["one"]])
    texts = _texts(2)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        replaced_copies(texts, [[["one"]] * 10], copies=1, share=1.0, seed=0)
