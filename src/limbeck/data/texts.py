"""Texts with stable ids and raw labels, as one Arrow table."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from limbeck.config.recipe import DataConfig
from limbeck.data.clean import cleaner
from limbeck.data.read import Row
from limbeck.errors import DataError

TEXT_COLUMNS = (
    "text", "sentence", "content", "utterance", "review", "question", "query", "document",
    "body", "comment", "tweet", "title",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "intent", "category", "class", "target", "sentiment", "topic", "gold_label",
)  # fmt: skip
UNLABELLED = -100
_CHUNK = 16_384


@dataclass(frozen=True)
class Texts:
    """Rows of one split.

    Attributes:
        name: The split: train, validation, test, ….
        table: Columns id (``train/17``: split and record number from 1), text, label (the
            label as it was written, null where there is none).
    """

    name: str
    table: pa.Table

    def __len__(self) -> int:
        return self.table.num_rows

    @property
    def texts(self) -> pa.ChunkedArray:
        """The text column."""
        return self.table.column("text")

    def text_batches(self, size: int = _CHUNK) -> Iterator[list[str]]:
        """The texts, `size` at a time, so that no split is ever a Python list as a whole."""
        for start in range(0, len(self), size):
            yield self.texts.slice(start, size).to_pylist()

    def take(self, indices: np.ndarray) -> Texts:
        """The rows at `indices`, in that order."""
        return Texts(self.name, self.table.take(pa.array(indices)).combine_chunks())

    def fingerprint(self) -> str:
        """A hash of ids and texts in their order; labels do not count."""
        digest = hashlib.blake2b(digest_size=16)
        for column in ("id", "text"):
            for start in range(0, len(self), _CHUNK):
                part = self.table.column(column).slice(start, _CHUNK)
                for value in part.to_pylist():
                    digest.update(value.encode("utf-8", "surrogatepass"))
                    digest.update(b"\x00")
        return digest.hexdigest()


def gather(name: str, rows: Iterable[Row], source: str, data: DataConfig, *, labels: bool) -> Texts:
    """The rows as `Texts`: columns found, texts cleaned, empty texts refused.

    Args:
        name: The split's name, the first part of every id.
        rows: What `read_rows` gives.
        source: The file, for messages.
        data: Column names and cleaning.
        labels: Whether to read labels at all (unlabelled files are read without).

    Raises:
        DataError: For a missing column or a text that is missing or empty.
    """
    clean = cleaner(data.clean)
    builder = _TableBuilder()
    text_column = label_column = None
    first: Row = {}
    for number, row in enumerate(rows, start=1):
        if number == 1:
            first = row
            text_column = _find(row, data.text_column, TEXT_COLUMNS, source, "text")
        if labels and label_column is None:  # the first JSON objects may have no label
            label_column = _label_column(row, data)
        assert text_column is not None
        text = row.get(text_column)
        cleaned = clean(text) if isinstance(text, str) else ""
        if not cleaned.strip():
            raise DataError(
                f"{source}, row {number}",
                f"the text in column {text_column!r} is {text!r}"
                + (" after cleaning" if isinstance(text, str) and text.strip() else ""),
                "Delete the row or fill in its text; a text has at least one visible character.",
            )
        _refuse_half_characters(cleaned, f"{source}, row {number}")
        builder.add(f"{name}/{number}", cleaned, _raw_label(row, label_column, source, number))
    if labels and data.label_column is not None and label_column is None:
        _find(first, data.label_column, LABEL_COLUMNS, source, "label")
    return Texts(name, builder.finish())


class _TableBuilder:
    """Collects rows into Arrow chunks: Python objects live for one chunk only."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[tuple[str, str, str | None]] = []

    def add(self, identity: str, text: str, label: str | None) -> None:
        self._rows.append((identity, text, label))
        if len(self._rows) == _CHUNK:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) if self._rows else [(), (), ()]
        arrays = [pa.array(column, pa.large_string()) for column in columns]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, ["id", "text", "label"]))
        self._rows = []

    def finish(self) -> pa.Table:
        self._flush()
        return pa.Table.from_batches(self._batches).combine_chunks()


def _find(row: Row, given: str | None, known: tuple[str, ...], source: str, what: str) -> str:
    columns = list(row)
    if given is not None:
        if given in row:
            return given
        raise DataError(
            source,
            f"there is no column {given!r}; the columns are {', '.join(columns)}",
            f"Set data.{what}_column to one of them.",
        )
    folded = {str(column).strip().casefold(): column for column in columns}
    for name in known:
        if name in folded:
            return folded[name]
    raise DataError(
        source,
        f"no column looks like the {what}; the columns are {', '.join(map(str, columns))}",
        f"Name it: data.{what}_column (on the command line --{what}-column). "
        f"Found by themselves are {', '.join(known[:6])}, ….",
    )


def _label_column(row: Row, data: DataConfig) -> str | None:
    if data.label_column is not None:
        return data.label_column if data.label_column in row else None
    folded = {str(column).strip().casefold(): column for column in row}
    return next((folded[name] for name in LABEL_COLUMNS if name in folded), None)


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


def _raw_label(row: Row, column: str | None, source: str, number: int) -> str | None:
    value = row.get(column) if column is not None else None
    if isinstance(value, list | dict):
        raise DataError(
            f"{source}, row {number}",
            f"the label is a {type(value).__name__}: {value!r}",
            "A single-label task takes one string or integer a row.",
        )
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or value == "" or value != value:
        return None
    return str(value)


def folded_hashes(texts: Texts) -> np.ndarray:
    """One 64-bit hash a row, of the text with Unicode, case and white space folded."""
    hashes = np.empty(len(texts), dtype=np.uint64)
    position = 0
    for batch in texts.text_batches():
        for text in batch:
            folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
            digest = hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8)
            hashes[position] = int.from_bytes(digest.digest(), "little")
            position += 1
    return hashes
