"""Ids and texts on disk, in batches of which one is in memory at a time."""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from limbeck.files import disk_error

_ROWS = 16_384
_CHARACTERS = 4 * 2**20
"""A batch ends here too: long texts must not make it large."""
_SCHEMA = pa.schema([(name, pa.large_string()) for name in ("id", "text", "pair")])


class _File:
    """A file without a name: however the process ends, nothing is left of it."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._stream = _unnamed(folder)
        weakref.finalize(self, self._stream.close)
        self._where = folder or Path(tempfile.gettempdir())
        self.size = 0

    def append(self, content: pa.Buffer) -> int:
        """Write at the end; where that was."""
        try:
            with self._lock:
                start = self._stream.seek(0, 2)
                self._stream.write(content)
                self._stream.flush()
                self.size = start + content.size
                return start
        except OSError as error:
            raise disk_error(error, self._where) or error from error

    def read(self, start: int, size: int) -> bytes:
        """A piece of it."""
        with self._lock:
            self._stream.seek(start)
            return self._stream.read(size)


def _unnamed(folder: Path | None) -> IO[bytes]:
    """On the disk that `folder` is on or would be on; elsewhere if nothing may be written there."""
    if folder is not None:
        near = next(place for place in [folder, *folder.absolute().parents] if place.is_dir())
        try:
            return tempfile.TemporaryFile(dir=near)
        except OSError:  # answers may be read from a folder that is another's
            pass
    return tempfile.TemporaryFile()


@dataclass(frozen=True)
class _Part:
    """A batch: its place in a file, and its number of rows."""

    file: _File
    start: int
    size: int
    rows: int


class Spool:
    """Rows of id, text and second text (null without pairs), in an order that does not change.

    Args:
        parts: The batches.
        folder: Near which rows that are taken out of this are written.
    """

    def __init__(self, parts: Sequence[_Part], folder: Path | None) -> None:
        self._parts = tuple(parts)
        self._folder = folder
        self._starts = np.cumsum([0, *(part.rows for part in parts)])
        self._last: tuple[int, pa.RecordBatch] | None = None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _batch(self, number: int) -> pa.RecordBatch:
        last = self._last  # rows are read in their order, or a few of them one by one
        if last is None or last[0] != number:
            self._last = None
            part = self._parts[number]
            message = pa.py_buffer(part.file.read(part.start, part.size))
            last = self._last = (number, pa.ipc.read_record_batch(message, _SCHEMA))
        return last[1]

    def batches(self, rows: range | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of a span (all without one), batch by batch: columns id, text and pair."""
        rows = range(len(self)) if rows is None else rows
        at = rows.start
        while at < rows.stop:
            number = int(np.searchsorted(self._starts, at, side="right")) - 1
            end = min(rows.stop, int(self._starts[number + 1]))
            yield self._batch(number).slice(at - int(self._starts[number]), end - at)
            at = end

    def take(self, rows: np.ndarray) -> Spool:
        """Some of the rows.

        Args:
            rows: Their indices, rising.
        """
        writer = SpoolWriter(self._folder)
        bounds = np.searchsorted(rows, self._starts)
        for number, (first, end) in enumerate(pairwise(bounds)):
            if end > first:
                places = rows[first:end] - self._starts[number]
                writer.write(self._batch(number).take(pa.array(places)))
        return writer.finish()

    @property
    def files(self) -> dict[int, int]:
        """The bytes of every file that these rows keep on the disk, by the file's identity."""
        return {id(part.file): part.file.size for part in self._parts}

    def __add__(self, other: Spool) -> Spool:
        """The rows of both, one after the other; nothing is copied."""
        return Spool((*self._parts, *other._parts), self._folder)


class SpoolWriter:
    """Collects rows; Python objects live for one batch only.

    Args:
        folder: On whose disk the rows are kept while they are needed, whether it exists or not;
            None is the system's folder for temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: _File | None = None
        self._parts: list[_Part] = []
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._pairs: list[str | None] = []
        self._characters = 0

    def add(self, identity: str, text: str, pair: str | None = None) -> None:
        """One more row; `pair` is its second text."""
        self._ids.append(identity)
        self._texts.append(text)
        self._pairs.append(pair)
        self._characters += len(text) + len(pair or "")
        if len(self._ids) >= _ROWS or self._characters >= _CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        rows = (self._ids, self._texts, self._pairs)
        columns = [pa.array(values, pa.large_string()) for values in rows]
        self._ids, self._texts, self._pairs, self._characters = [], [], [], 0
        self.write(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))

    def write(self, batch: pa.RecordBatch) -> None:
        """A batch of rows, as `Spool.batches` gives them; single texts may lack the column pair."""
        if "pair" not in batch.schema.names:
            columns = [*batch.columns, pa.nulls(batch.num_rows, pa.large_string())]
            batch = pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)
        if self._file is None:
            self._file = _File(self._folder)
        content = batch.serialize()
        start = self._file.append(content)
        self._parts.append(_Part(self._file, start, content.size, batch.num_rows))

    def finish(self) -> Spool:
        """All rows."""
        if self._ids:
            self._flush()
        return Spool(self._parts, self._folder)


def spooled_mb(spools: Iterable[Spool]) -> float:
    """Disk that these rows take together, in MB (10^6 bytes).

    A file is on the disk as a whole while any of its rows is needed, and counts once.
    """
    files: dict[int, int] = {}
    for spool in spools:
        files |= spool.files
    return sum(files.values()) / 1e6
