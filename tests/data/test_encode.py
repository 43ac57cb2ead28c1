"""Texts as token ids, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.encode import encode
from limbeck.data.flat import FlatFile


@pytest.fixture(scope="module")
def tokenizer(random_teacher: Path) -> Any:
    """The tiny teacher's."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(random_teacher)


@pytest.fixture
def texts(texts_of: Callable[..., Any]) -> Any:
    """A short text, a long one and one of unknown letters."""
    return texts_of(["the film", "rain " * 30, "ÿ ÿ"])


def test_rows_are_what_the_tokenizer_gives(texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    """Other ids than transformers' would ask the teacher about other texts."""
    encoded = encode(texts, tokenizer.backend_tokenizer, max_tokens=16, folder=tmp_path)
    expected = tokenizer(list(texts.texts), truncation=True, max_length=16)["input_ids"]
    rows = [encoded.ids[a:b].tolist() for a, b in zip(encoded.offsets, encoded.offsets[1:])]  # noqa: B905
    assert rows == expected
    assert encoded.lengths.tolist() == [len(row) for row in expected]


def test_padding_of_the_tokenizer_itself_is_left_out(
    texts: Any, tokenizer: Any, tmp_path: Path
) -> None:
    """Many a tokenizer.json pads by itself: the pads would be read as tokens."""
    own = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
    plain = encode(texts, own, max_tokens=16, folder=tmp_path / "plain")
    own.enable_padding(length=16)
    padded = encode(texts, own, max_tokens=16, folder=tmp_path / "padded")
    assert padded.lengths.tolist() == plain.lengths.tolist()


def test_cut_texts_are_counted(texts: Any, tokenizer: Any, tmp_path: Path) -> None:
    """A text that lost its end may have lost its meaning; the report says how many."""
    assert encode(texts, tokenizer.backend_tokenizer, max_tokens=16, folder=tmp_path).cut == 1
    assert encode(texts, tokenizer.backend_tokenizer, max_tokens=64, folder=tmp_path).cut == 0


def test_texts_are_encoded_once(
    texts: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the tokenizer's own padding and truncation do not matter."""
    first = encode(texts, tokenizer.backend_tokenizer, max_tokens=16, folder=tmp_path)
    monkeypatch.setattr("limbeck.data.encode._write", lambda *a: pytest.fail("encoded again"))
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding()
    second = encode(texts, tokenizer.backend_tokenizer, max_tokens=16, folder=tmp_path)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    assert np.array_equal(first.ids, second.ids)
    assert isinstance(second.ids, FlatFile)


@pytest.mark.parametrize("file", ["ids.bin", "offsets.npy", "meta.json"])
def test_a_broken_cache_is_made_again(
    texts: Any, tokenizer: Any, tmp_path: Path, file: str
) -> None:
    """A truncated file of ids would shift or end rows without a word."""
    encoded = encode(texts, tokenizer.backend_tokenizer, max_tokens=16, folder=tmp_path)
    before = np.array(encoded.ids)
    place = next(tmp_path.iterdir()) / file
    place.write_bytes(place.read_bytes()[:-4])
    again = encode(texts, tokenizer.backend_tokenizer, max_tokens=16, folder=tmp_path)
    assert np.array_equal(again.ids, before)
