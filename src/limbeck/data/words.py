"""Texts made of words that have tags: one text a row, and where in it each word stands."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limbeck.config.recipe import CleanConfig
from limbeck.data.clean import cleaner
from limbeck.data.columns import TEXT_COLUMNS, known
from limbeck.data.conll import LINE
from limbeck.data.read import Row
from limbeck.data.spool import SpoolWriter
from limbeck.data.tagged_rows import TOKEN_COLUMNS, find_column, tags_column_of, tags_of, words_of
from limbeck.data.tags import TagCheck, TagScheme, to_iob2
from limbeck.data.texts import UNLABELLED, Texts
from limbeck.data.unspaced import unspaced
from limbeck.data.worded import worded
from limbeck.errors import DataError, nearest


@dataclass(frozen=True, eq=False)
class Words:
    """The words of a split's texts, one text's after the other's; 12 bytes a word.

    Attributes:
        starts: int32 [words], the character of its text at which a word begins.
        ends: int32 [words], the one after its last.
        offsets: int64 [rows + 1]: row i has words offsets[i] to offsets[i + 1].
        written: The distinct tags, in IOB2 unless the scheme is none.
        codes: int32 [words], a word's place in `written`, -1 where its row has no tags.
    """

    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray
    written: tuple[str, ...]
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: np.ndarray) -> Words:
        """The words of some rows."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - self.offsets[rows], lengths)
        return Words(
            self.starts[places], self.ends[places], offsets, self.written, self.codes[places]
        )

    def untagged_after(self, other: Words) -> Words:
        """The words of `other`, and then these without their tags."""
        return Words(
            np.concatenate([other.starts, self.starts]),
            np.concatenate([other.ends, self.ends]),
            np.concatenate([other.offsets, other.offsets[-1] + self.offsets[1:]]),
            other.written,
            np.concatenate([other.codes, np.full(len(self.codes), -1, dtype=np.int32)]),
        )

    def spans(self, row: int) -> tuple[tuple[int, int], ...]:
        """Where the words of a row stand."""
        own = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        return tuple(zip(self.starts[own].tolist(), self.ends[own].tolist(), strict=True))

    def tobytes(self) -> bytes:
        """Where all words stand, for fingerprints; tags do not count."""
        arrays = (self.starts, self.ends, self.offsets)
        return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def gather_words(
    name: str,
    rows: Iterable[Row],
    source: str,
    *,
    tokens_column: str | None,
    tags_column: str | None,
    scheme: TagScheme,
    names: Sequence[str] | None,
    clean: CleanConfig,
    labels: bool,
    folder: Path | None = None,
    before: int = 0,
) -> tuple[Texts, Words]:
    """The rows as `Texts` without labels of their own, and their tagged words.

    Args:
        name: The split's name, the first part of every id.
        rows: What `token_rows` gives.
        source: The file, for messages.
        tokens_column: Found (tokens, words, …) when None.
        tags_column: Found (ner_tags, tags, labels, …) when None.
        scheme: In which the tags are written; they come out in IOB2 (with none, as they are).
        names: What integer tags stand for, or None where tags are written out.
        clean: What to do to every word first.
        labels: Whether to read tags at all.
        folder: On whose disk the texts are kept while the process needs them.
        before: Rows that have this split's ids already.

    Raises:
        DataError: For a missing column, tokens that are no list, an empty token, another number of
            tags than of tokens, and tags that the scheme does not allow.
    """
    change, check = cleaner(clean), TagCheck(scheme)
    writer, gathered = SpoolWriter(folder), _Gathered()
    tokens_key = tags_key = None
    for number, row in enumerate(rows, start=1):
        where = f"{source}, row {number}" + (f" (line {row[LINE]})" if LINE in row else "")
        if tokens_key is None:
            tokens_key = find_column(row, tokens_column, TOKEN_COLUMNS, source, "tokens")
        if labels and tags_key is None:
            tags_key = tags_column_of(row, tags_column, tokens_key)
        words = words_of(row.get(tokens_key), change, where)
        tags = tags_of(row.get(tags_key), words, names, where) if tags_key else None
        if tags is not None:
            check.refuse_broken(tags, words, where)
            tags = to_iob2(tags, scheme)
        text, spans = joined(words)
        writer.add(f"{name}/{before + number}", text)
        gathered.add(spans, tags)
    if labels and tags_column is not None and tags_key is None:
        raise DataError(
            source,
            f"no row has a column {tags_column!r}",
            "Set data.tags_column to the column of the tags.",
        )
    spool = writer.finish()
    words = gathered.finish()
    return Texts(name, spool, (), np.full(len(spool), -1, dtype=np.int32), words=words), words


class _Gathered:
    """Collects words: numbers only, each distinct tag once."""

    def __init__(self) -> None:
        self._starts, self._ends, self._codes = array("i"), array("i"), array("i")
        self._offsets = array("q", [0])
        self._places: dict[str, int] = {}

    def add(self, spans: Sequence[tuple[int, int]], tags: Sequence[str] | None) -> None:
        self._starts.extend(start for start, _ in spans)
        self._ends.extend(end for _, end in spans)
        places = self._places
        self._codes.extend(
            [-1] * len(spans)
            if tags is None
            else [places.setdefault(tag, len(places)) for tag in tags]
        )
        self._offsets.append(len(self._starts))

    def finish(self) -> Words:
        return Words(
            np.array(self._starts, dtype=np.int32),
            np.array(self._ends, dtype=np.int32),
            np.array(self._offsets, dtype=np.int64),
            tuple(self._places),
            np.array(self._codes, dtype=np.int32),
        )


def joined(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The words as one text, and where each stands in it (characters, end excluded).

    A space is between two words, but none between two characters of a script that has none, and
    none at all where a text that holds such a script is given letter by letter: 2, 0, 0, 7, 年 was
    written as 2007年, and that is what the service will be sent.

    Args:
        words: None of them empty.
    """
    letters = all(len(word) == 1 for word in words) and any(unspaced(word) for word in words)
    spans: list[tuple[int, int]] = []
    parts: list[str] = []
    at = 0
    for place, word in enumerate(words):
        if place and not letters and not (unspaced(words[place - 1][-1]) and unspaced(word[0])):
            parts.append(" ")
            at += 1
        parts.append(word)
        spans.append((at, at + len(word)))
        at += len(word)
    return "".join(parts), spans


def with_tokens(rows: Iterable[Row], tokens_column: str | None) -> Iterator[Row]:
    """Rows of plain texts among untagged ones with the words of `worded`; others as they are."""
    for row in rows:
        tokens = tokens_column if tokens_column in row else known(row, TOKEN_COLUMNS)
        column = known(row, TEXT_COLUMNS)
        text = None if tokens is not None or column is None else row[column]
        if not isinstance(text, str):
            yield row
            continue
        words = [text[start:end] for start, end in worded(text).spans]
        yield {tokens_column or TOKEN_COLUMNS[0]: words}


def encode_tags(words: Words, names: Sequence[str], *, source: str) -> np.ndarray:
    """Class indices (int64 [words], -100 where a word has no tag) of the words' tags.

    Args:
        words: Of the split.
        names: Class names in index order.
        source: The file, for messages.

    Raises:
        DataError: For a tag that no class has, with the nearest and the number of such words.
    """
    places = {name: place for place, name in enumerate(names)}
    counts = np.bincount(words.codes[words.codes >= 0], minlength=len(words.written))
    unknown = [place for place, tag in enumerate(words.written) if tag not in places]
    unknown = [place for place in unknown if counts[place]]
    if unknown:
        first = int(np.flatnonzero(words.codes == unknown[0])[0])
        row = int(np.searchsorted(words.offsets, first, side="right"))
        tag = words.written[unknown[0]]
        raise DataError(
            f"{source}, row {row}, word {first - int(words.offsets[row - 1]) + 1}",
            f"the tag {tag!r} is none of the classes ({', '.join(names)}); "
            f"{int(counts[unknown].sum())} words have such tags.{nearest(tag, names)}",
            "Use the teacher's classes, or fine-tune a teacher on these tags with `limbeck teach`.",
        )
    classes = [places.get(tag, UNLABELLED) for tag in words.written]
    return np.array([*classes, UNLABELLED], dtype=np.int64)[words.codes]  # -1 is the last
