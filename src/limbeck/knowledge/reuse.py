"""Answers that were given before: the teacher is never asked twice about the same text.

A new set of texts often shares texts with recorded ones: a file grew, rows moved between splits,
labels were dropped. Their answers are copied from any store of the same teacher, kind and cut.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from limbeck.data.texts import Texts
from limbeck.files import read_json
from limbeck.knowledge.columns import column_row
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.store import Identity, Store

TEXT_COLUMN = "text_hash"
"""The shard column of the texts' 64-bit hashes: what answers are found by."""


def text_hashes(texts: Texts, span: range) -> np.ndarray:
    """One 64-bit hash a text of a span, of its exact characters."""
    part = texts.texts.slice(span.start, len(span)).to_pylist()
    digests = [
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for text in part
    ]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


class Earlier:
    """All recorded answers of one teacher, kind and cut, found by text.

    Args:
        folder: Of all knowledge.
        identity: Of the store that is about to be filled; it is not looked into.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.reused = 0
        self._tables: list[pa.Table] = []
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for store in _relatives(folder, identity):
            for shard in store.whole():
                self._take(store.table(shard))
        self._index()

    def add(self, table: pa.Table) -> None:
        """Count a shard that was just recorded among the earlier answers."""
        self._take(table)
        self._index()

    def _take(self, table: pa.Table) -> None:
        if TEXT_COLUMN in table.column_names:
            rows = np.arange(table.num_rows)
            home = np.full(table.num_rows, len(self._tables))
            self._parts.append((table.column(TEXT_COLUMN).to_numpy(), home, rows))
            self._tables.append(table)

    def _index(self) -> None:
        if not self._parts:
            self._hashes = np.empty(0, np.uint64)
            return
        hashes, homes, rows = map(np.concatenate, zip(*self._parts, strict=True))
        self._hashes, first = np.unique(hashes, return_index=True)
        self._homes, self._rows = homes[first], rows[first]
        self._parts = [(self._hashes, self._homes, self._rows)]

    def fill(
        self, hashes: np.ndarray, logits: np.ndarray, columns: dict[str, list[np.ndarray]]
    ) -> np.ndarray:
        """Put what is known into `logits` and `columns`; the places of what is not.

        Args:
            hashes: Of the texts [rows].
            logits: To fill [rows, classes].
            columns: Of the parts, by name: one flat array a row, to fill.
        """
        if not len(self._hashes):
            return np.arange(len(hashes))
        found = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        known = self._hashes[found] == hashes
        for place in np.flatnonzero(known):
            table = self._tables[int(self._homes[found[place]])]
            row = int(self._rows[found[place]])
            logits[place] = table.column("logits")[row].values.to_numpy()
            for name, values in columns.items():
                values[place] = column_row(table.column(name), row)
        self.reused += int(known.sum())
        return np.flatnonzero(~known)


def _relatives(folder: Path, identity: Identity) -> list[Store]:
    """Stores whose answers would be the same: same teacher, kind and cut, other texts."""
    found = []
    for manifest in sorted(folder.glob("*/manifest.json")):
        try:
            content = read_json(manifest)
            names = {field.name for field in fields(identity)} - {"kind"}
            other = Identity(
                kind=Kind.of(content["kind"]), **{name: content[name] for name in names}
            )
        except (ValueError, KeyError, TypeError, OSError):
            continue  # a damaged neighbour costs its reuse, not this recording
        same = (other.teacher, other.kind, other.max_tokens) == (
            identity.teacher, identity.kind, identity.max_tokens,
        )  # fmt: skip
        if same and other.address != identity.address and manifest.parent.name == other.address:
            found.append(Store(folder, other))
    return found
