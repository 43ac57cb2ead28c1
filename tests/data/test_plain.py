"""Plain text: whole sentences in rows of a model's length, none lost, none doubled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.config.recipe import CleanConfig
from limbeck.data.encode import encode
from limbeck.data.plain import plain_texts
from limbeck.data.texts import Texts
from limbeck.errors import DataError


@pytest.fixture(scope="module")
def tokenizer(random_teacher: Path) -> Any:
    """The tiny teacher's."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(random_teacher)


def _read(tokenizer: Any, folder: Path, *sources: Path | str, max_tokens: int = 16) -> Texts:
    return plain_texts(
        [str(source) for source in sources],
        tokenizer.backend_tokenizer,
        max_tokens=max_tokens,
        clean=CleanConfig(white_space=True),
        folder=folder / "cache",
    )


def _prose(paragraphs: int, sentences: int = 3) -> str:
    """Paragraphs of sentences of 4, 5 and 6 words, hard-wrapped."""
    lines = []
    for number in range(paragraphs):
        for words in range(sentences):
            body = " ".join(["the film was", *["bright"] * (words % 3)])
            lines.append(f"{body}\n{'rain' if number % 2 else 'sea'}.")
        lines.append("")
    return "\n".join(lines)


def test_every_word_of_every_file_is_in_one_row(tokenizer: Any, tmp_path: Path) -> None:
    """Text that vanishes at the ends of rows is text that nothing is learned from."""
    books = tmp_path / "books"
    (books / "deep").mkdir(parents=True)
    (books / "a.txt").write_text(_prose(40))
    (books / "deep" / "b.txt").write_text("one dog. " * 200)
    (books / "notes.md").write_text("not this one")
    texts = _read(tokenizer, tmp_path, books)
    rows = list(texts.texts)
    ids = list(texts.ids)
    assert len(ids) == len(set(ids))
    assert ids[0] == "plain/a.txt/1"
    deep = [row for row, name in zip(rows, ids, strict=True) if name.startswith("plain/deep/b.txt")]
    assert " ".join(deep).split() == ("one dog. " * 200).split()
    first = [row for row, name in zip(rows, ids, strict=True) if name.startswith("plain/a.txt")]
    assert " ".join(first).split() == _prose(40).split()
    assert texts.labels() == []


def test_rows_are_full_of_whole_sentences(tokenizer: Any, tmp_path: Path) -> None:
    """Short rows waste steps on padding; cut ones lose their ends."""
    (tmp_path / "a.txt").write_text(_prose(300))
    texts = _read(tokenizer, tmp_path, tmp_path / "a.txt", max_tokens=64)
    encoded = encode(texts, tokenizer.backend_tokenizer, max_tokens=64, folder=tmp_path)
    assert encoded.cut == 0
    assert encoded.lengths[:-1].mean() > 24
    assert all(row.endswith(".") for row in list(texts.texts))


def test_a_row_that_is_nearly_full_ends_with_its_paragraph(tokenizer: Any, tmp_path: Path) -> None:
    """The next paragraph is about something else."""
    (tmp_path / "a.txt").write_text("the man and his dog and rain.\n\n" * 100)  # 8 tokens
    rows = _read(tokenizer, tmp_path, tmp_path / "a.txt", max_tokens=12).texts
    assert set(rows) == {"the man and his dog and rain."}
    assert len(rows) == 100


@pytest.mark.parametrize(
    "words", [["film ", "story ", "island "], ["\N{CJK UNIFIED IDEOGRAPH-6D77}"]]
)
def test_a_sentence_without_an_end_is_cut_and_kept(
    tokenizer: Any, tmp_path: Path, words: list[str]
) -> None:
    """A word list, or a language without spaces, must neither vanish nor fill memory."""
    text = "".join(words * 4000)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    texts = _read(tokenizer, tmp_path, tmp_path / "a.txt")
    encoded = encode(texts, tokenizer.backend_tokenizer, max_tokens=16, folder=tmp_path)
    between = " " if " " in text else ""
    assert between.join(list(texts.texts)) == text.strip()
    assert encoded.cut == 0


def test_rows_are_made_once(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gigabytes of text must not be packed anew in every run."""
    (tmp_path / "a.txt").write_text(_prose(300))
    first = _read(tokenizer, tmp_path, tmp_path / "a.txt")
    monkeypatch.setattr("limbeck.data.plain._write", None)  # a second packing would call it
    again = _read(tokenizer, tmp_path, tmp_path / "a.txt")
    assert again.fingerprint() == first.fingerprint()


def test_a_changed_file_is_packed_again(tokenizer: Any, tmp_path: Path) -> None:
    """Rows of a text that is no longer there would be a lie about what was learned from."""
    (tmp_path / "a.txt").write_text(_prose(300))
    first = _read(tokenizer, tmp_path, tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text(_prose(301))
    assert _read(tokenizer, tmp_path, tmp_path / "a.txt").fingerprint() != first.fingerprint()


def test_a_file_that_is_named_twice_counts_once(tokenizer: Any, tmp_path: Path) -> None:
    """A folder and a file of it are a usual slip; double text would be learned twice."""
    (tmp_path / "a.txt").write_text(_prose(300))
    one = _read(tokenizer, tmp_path, tmp_path / "a.txt")
    two = _read(tokenizer, tmp_path, tmp_path / "a.txt", tmp_path)
    assert list(two.texts) == list(one.texts)


def test_refuses_a_folder_without_text(tokenizer: Any, tmp_path: Path) -> None:
    """Nothing would be pre-trained on, and nobody would know."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.txt file"):
        _read(tokenizer, tmp_path, tmp_path / "empty")


def test_refuses_a_path_that_is_not_there(tokenizer: Any, tmp_path: Path) -> None:
    """A mistyped path must not be an empty corpus."""
    with pytest.raises(DataError, match="no such file or folder"):
        _read(tokenizer, tmp_path, tmp_path / "boks")


def test_refuses_tables(tokenizer: Any, tmp_path: Path) -> None:
    """Commas and quotes of a CSV would be learned as language."""
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="not that of plain text"):
        _read(tokenizer, tmp_path, tmp_path / "a.csv")


def test_refuses_other_encodings(tokenizer: Any, tmp_path: Path) -> None:
    """Mojibake is learned as readily as words."""
    (tmp_path / "a.txt").write_bytes("a line\nthe caf\xe9 by the sea".encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.txt, line 2.*not UTF-8"):
        _read(tokenizer, tmp_path, tmp_path / "a.txt")


def test_refuses_too_little_text(tokenizer: Any, tmp_path: Path) -> None:
    """A model pre-trained on a page has learned the page."""
    (tmp_path / "a.txt").write_text(_prose(3))
    for _ in range(2):  # and again when the rows are already packed
        with pytest.raises(DataError, match="too few to learn a language"):
            _read(tokenizer, tmp_path, tmp_path / "a.txt")
