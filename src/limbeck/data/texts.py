"""Texts with stable ids and raw labels, read from disk again and again."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.data.asked import Asked, Windowing
from limbeck.data.candidates import Candidates
from limbeck.data.clean import cleaner
from limbeck.data.columns import TextColumns, find, known, text_columns
from limbeck.data.prose import Prose, Reading
from limbeck.data.raw_labels import LabelForm
from limbeck.data.read import Row
from limbeck.data.spool import Spool, SpoolWriter
from limbeck.data.worded import WordedText
from limbeck.errors import DataError

if TYPE_CHECKING:
    from limbeck.data.words import Words

UNLABELLED = -100
Item = str | tuple[str, str] | WordedText | Asked | Candidates | Prose
"""What a model is asked about: a text, a pair of texts, a text and its words, a question, a query
with its candidates, or a text whose tokens are foretold."""
_CHUNK = 16_384


def characters(item: Item) -> int:
    """The length of a text, or of both of a pair."""
    return sum(map(len, sides(item)))


def sides(item: Item) -> tuple[str, ...]:
    """The texts of an item: one, or both of a pair; a question (query) and what it is about."""
    match item:
        case str():
            return (item,)
        case WordedText() | Prose():
            return (item.text,)
        case Asked():
            return (item.question, item.context)
        case Candidates():
            return (item.query, *item.passages)
        case _:
            return item


def brief(item: Item, characters: int) -> Item:
    """The item; of running text, which may be a book, no more than its beginning."""
    if isinstance(item, Prose) and len(item.text) > characters:
        return Prose(item.text[:characters], item.reading)
    return item


@dataclass(frozen=True, eq=False)
class Texts:
    """Rows of one split: ids and texts on disk, labels in memory.

    Attributes:
        name: The split: train, validation, test, ….
        rows: Ids (``train/17``: split and record number from 1) and texts.
        written: The distinct labels as they were written.
        codes: int32, a row's place in `written`, -1 where it has no label.
        paired: Whether each row has a second text.
        words: Where the words of the texts stand, if answers are about words; else None.
        windowing: How contexts (the second texts) are read, if rows are questions; else None.
        listed: Whether rows are queries, whose second texts are the JSON lists of their candidates.
        reading: Which tokens are foretold, if they are; else None.
    """

    name: str
    rows: Spool
    written: tuple[str, ...]
    codes: np.ndarray
    paired: bool = False
    words: Words | None = None
    windowing: Windowing | None = None
    listed: bool = False
    reading: Reading | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Sequence[str]:
        """The rows' ids, read when they are asked for."""
        return _Column(self.rows, "id")

    @property
    def texts(self) -> Sequence[str]:
        """The rows' (first) texts, read when asked for: one, a slice, or by iteration."""
        return _Column(self.rows, "text")

    @property
    def pairs(self) -> Sequence[str]:
        """The rows' second texts, likewise; only where they are paired."""
        return _Column(self.rows, "pair")

    def items(self) -> Iterator[Item]:
        """What a model is asked, row by row."""
        for batch in self.item_batches():
            yield from batch

    def item_batches(self, size: int = _CHUNK) -> Iterator[list[Item]]:
        """The same, at most `size` at a time, so that no split is ever a list as a whole."""
        at = 0
        for batch in self.rows.batches():
            for start in range(0, batch.num_rows, size):
                texts = batch.column("text").slice(start, size).to_pylist()
                at += len(texts)
                if self.words is not None:
                    spans = map(self.words.spans, range(at - len(texts), at))
                    yield list(map(WordedText, texts, spans))
                elif self.paired:
                    seconds = batch.column("pair").slice(start, size).to_pylist()
                    yield self._pairs(texts, seconds)
                elif self.reading is not None:
                    yield [Prose(text, self.reading) for text in texts]
                else:
                    yield texts

    def item(self, row: int) -> Item:
        """What a model is asked about one row."""
        text = self.texts[row]
        if self.words is not None:
            return WordedText(text, self.words.spans(row))
        if self.reading is not None:
            return Prose(text, self.reading)
        return self._pairs([text], [self.pairs[row]])[0] if self.paired else text

    def _pairs(self, texts: Sequence[str], seconds: Sequence[str]) -> list[Item]:
        pairs = zip(texts, seconds, strict=True)
        if self.listed:
            return [Candidates(query, tuple(json.loads(passages))) for query, passages in pairs]
        if self.windowing is None:
            return list(pairs)
        return [Asked(question, context, self.windowing) for question, context in pairs]

    def text_batches(self, size: int = _CHUNK) -> Iterator[list[str]]:
        """The (first) texts alone, likewise."""
        for batch in self.rows.batches():
            for start in range(0, batch.num_rows, size):
                yield batch.column("text").slice(start, size).to_pylist()

    def labels(self) -> list[str]:
        """The distinct labels of these rows, as they were written."""
        used = np.zeros(len(self.written) + 1, dtype=bool)
        used[self.codes] = True  # -1 is the last
        return [label for label, here in zip(self.written, used, strict=False) if here]

    def take(self, indices: np.ndarray) -> Texts:
        """The rows at `indices`, which rise."""
        rows, codes = self.rows.take(indices), self.codes[indices]
        words = None if self.words is None else self.words.take(indices)
        return replace(self, rows=rows, codes=codes, words=words)

    def unlabelled_after(self, other: Texts) -> Texts:
        """The rows of `other`, and then these without their labels."""
        bare = np.full(len(self), -1, dtype=np.int32)
        codes = np.concatenate([other.codes, bare])
        rows, words = other.rows + self.rows, None
        if self.words is not None and other.words is not None:
            words = self.words.untagged_after(other.words)
        return replace(other, rows=rows, codes=codes, words=words)

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for column in ("id", "text", "pair")[: 3 if self.paired else 2]:
            for batch in self.rows.batches():
                for value in batch.column(column).to_pylist():
                    digest.update(value.encode("utf-8", "surrogatepass"))
                    digest.update(b"\x00")
        if self.words is not None:
            digest.update(self.words.tobytes())
        if self.windowing is not None:
            digest.update(repr(self.windowing).encode())
        if self.listed:
            digest.update(b"candidates")
        if self.reading is not None:
            digest.update(repr(self.reading).encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """A hash of all that is asked, in its order, and of ids; labels do not count."""
        return self._fingerprint


class _Column(Sequence[str]):
    """A column of rows on disk."""

    def __init__(self, rows: Spool, name: str) -> None:
        self._rows, self._name = rows, name

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        for batch in self._rows.batches():
            yield from batch.column(self._name).to_pylist()

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        rows = range(len(self))[place]
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        if rows.step != 1:
            return [self[row] for row in rows]
        batches = self._rows.batches(rows)
        return [value for batch in batches for value in batch.column(self._name).to_pylist()]


def gather(
    name: str,
    rows: Iterable[Row],
    source: str,
    data: DataConfig,
    *,
    labels: LabelForm | None,
    folder: Path | None = None,
    before: int = 0,
) -> Texts:
    """The rows as `Texts`: columns found, texts cleaned, empty texts refused.

    Args:
        name: The split's name, the first part of every id.
        rows: What `read_rows` gives.
        source: The file, for messages.
        data: Column names and cleaning.
        labels: How the task's labels stand in the rows; None reads none (unlabelled files).
        folder: On whose disk the rows are kept while the process needs them, or None for the
            system's folder for temporary files.
        before: Rows that have this split's ids already.

    Raises:
        DataError: For a missing column or a text that is missing or empty.
    """
    clean = cleaner(data.clean)
    writer, column = SpoolWriter(folder), _LabelColumn()
    columns: TextColumns | None = None
    label_column = None
    first: Row = {}
    for number, row in enumerate(rows, start=1):
        where = f"{source}, row {number}"
        if columns is None:
            first, columns = row, text_columns(row, data, source)
        if labels is not None and label_column is None:  # the first objects may have no label
            label_column = _label_column(row, data, labels)
        text = text_in(row, columns.text, clean, where)
        pair = None if columns.pair is None else text_in(row, columns.pair, clean, where)
        writer.add(f"{name}/{before + number}", text, pair)
        cell = row.get(label_column) if label_column is not None else None
        column.add(None if labels is None else labels.read(cell, where))
    if labels is not None and data.label_column is not None and label_column is None:
        find(first, data.label_column, labels.columns, source, "label")
    paired = columns is not None and columns.pair is not None
    return Texts(name, writer.finish(), *column.finish(), paired)


class _LabelColumn:
    """Collects labels: each distinct one once, four bytes a row."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._codes = array("i")

    def add(self, label: str | None) -> None:
        places = self._places
        self._codes.append(-1 if label is None else places.setdefault(label, len(places)))

    def finish(self) -> tuple[tuple[str, ...], np.ndarray]:
        return tuple(self._places), np.frombuffer(self._codes, dtype=np.int32)


def text_in(row: Row, column: str, clean: Callable[[str], str], where: str) -> str:
    """The cleaned text of a row's column.

    Raises:
        DataError: If there is none, or it holds half a character.
    """
    text = row.get(column)
    cleaned = clean(text) if isinstance(text, str) else ""
    if not cleaned.strip():
        raise DataError(
            where,
            f"the text in column {column!r} is {text!r}"
            + (" after cleaning" if isinstance(text, str) and text.strip() else ""),
            "Delete the row or fill in its text; a text has at least one visible character.",
        )
    _refuse_half_characters(cleaned, where)
    return cleaned


def _label_column(row: Row, data: DataConfig, form: LabelForm) -> str | None:
    if data.label_column is not None:
        return data.label_column if data.label_column in row else None
    return known(row, form.columns)


def _refuse_half_characters(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            where,
            f"the text holds half a character ({text[error.start]!a} at character "
            f"{error.start + 1})",
            "Delete it from the text, or clean texts with --set data.clean.unicode=true.",
        ) from None


def folded_hashes(texts: Texts) -> np.ndarray:
    """One 64-bit hash a row, of the text with Unicode, case and white space folded.

    Of queries without their candidates: who has learned to rank some knows what is asked.
    """
    if texts.listed:
        return _hashes(map(_folded, texts.texts))
    return _hashes("\x00".join(map(_folded, sides(item))) for item in texts.items())


def kinship(texts: Texts) -> np.ndarray:
    """One 64-bit hash a row, equal for rows that tell of each other: those of the same text.

    Questions about one context are kin: who has learned to answer one knows the context of all. So
    are passages of one file, which their ids name (``train/emma.txt#3``).
    """
    if texts.reading is not None:
        owners = (identity.rpartition("#")[0] for identity in texts.ids)
        hashes, named = folded_hashes(texts), _hashes(owner or "" for owner in owners)
        return np.where(named == _hashes([""])[0], hashes, named)
    if texts.windowing is None:
        return folded_hashes(texts)
    return _hashes(_folded(sides(item)[1]) for item in texts.items())


def _hashes(texts: Iterable[str]) -> np.ndarray:
    hashes = array("Q")
    for folded in texts:
        digest = hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8)
        hashes.append(int.from_bytes(digest.digest(), "little"))
    return np.array(hashes, dtype=np.uint64)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def among(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each hash is one of `others` (bool [rows])."""
    others = np.unique(others)
    if not len(others):
        return np.zeros(len(hashes), dtype=bool)
    places = np.searchsorted(others, hashes)
    np.minimum(places, len(others) - 1, out=places)
    return others[places] == hashes
