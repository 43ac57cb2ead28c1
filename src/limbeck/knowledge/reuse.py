"""Answers that were given before: the teacher is never asked twice about the same text.

A new set of texts often shares texts with recorded ones: a file grew, rows moved between splits,
labels were dropped. Their answers are copied from any store of the same teacher, kind and cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from limbeck.data.encoded import Encoded
from limbeck.data.texts import Texts
from limbeck.files import read_json
from limbeck.knowledge.columns import column_row, logits_row
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.store import Identity, Shard, Store
from limbeck.mapped import let_go

TEXT_COLUMN = "text_hash"
"""The shard column of the texts' 64-bit hashes: what answers are found by."""


def text_hashes(texts: Texts, span: range) -> np.ndarray:
    """One 64-bit hash a text (or pair of texts, or text of words) of a span: of all that is asked.

    Characters count exactly, and so do the places of words where there are any.
    """
    whole: Iterable[str] = texts.texts[span.start : span.stop]
    if texts.paired:
        seconds = texts.pairs[span.start : span.stop]
        whole = ("\x00".join(pair) for pair in zip(whole, seconds, strict=True))
    if texts.words is not None:
        spans = map(texts.words.spans, span)
        whole = (f"{text}\x00{places}" for text, places in zip(whole, spans, strict=True))
    return _hashes(text.encode("utf-8", "surrogatepass") for text in whole)


def row_hashes(texts: Texts, encoded: Encoded, span: range) -> np.ndarray:
    """One 64-bit hash a row of a span: of its text, or of its window or candidate.

    A window is its token ids and the places that are answered: the same piece of two contexts is
    asked about once. A candidate is the token ids of query and passage.

    Args:
        texts: The texts.
        encoded: Their rows.
        span: Of rows.
    """
    if encoded.lists is not None:
        return _hashes(
            encoded.ids[int(encoded.offsets[row]) : int(encoded.offsets[row + 1])].tobytes()
            for row in span
        )
    if encoded.groups is None or encoded.places is None:
        return text_hashes(texts, span)
    places, ends = encoded.places.places, encoded.places.offsets
    return _hashes(
        encoded.ids[int(encoded.offsets[row]) : int(encoded.offsets[row + 1])].tobytes()
        + places[ends[row] : ends[row + 1]].tobytes()
        for row in span
    )


def _hashes(contents: Iterable[bytes]) -> np.ndarray:
    digests = [hashlib.blake2b(content, digest_size=8).digest() for content in contents]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


@dataclass(frozen=True)
class _Run:
    """Some recorded rows, no text twice.

    Attributes:
        hashes: uint64, of the texts, rising.
        rows: uint32, their numbers among all recorded rows.
    """

    hashes: np.ndarray
    rows: np.ndarray

    def places(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where hashes stand or would stand, and whether they do."""
        places = np.searchsorted(self.hashes, hashes)
        return places, self.hashes[np.minimum(places, len(self.hashes) - 1)] == hashes

    def with_new(self, later: _Run) -> _Run:
        """These rows and those of `later` that are none of them; nothing is sorted again."""
        places, known = self.places(later.hashes)
        new, places = ~known, places[~known]
        return _Run(
            np.insert(self.hashes, places, later.hashes[new]),
            np.insert(self.rows, places, later.rows[new]),
        )


class Earlier:
    """All recorded answers of one teacher, kind and cut, found by text.

    Hashes lie in sorted runs, each at least twice as long as the next: a shard that is added joins
    the short ones, so that a row is moved log(rows) times in all, and looked for in as many runs.

    Args:
        folder: Of all knowledge.
        identity: Of the store that is about to be filled; it is not looked into.
    """

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.reused = 0
        self._top_k = identity.kind.top_k
        self._shards: list[Shard] = []
        self._starts = [0]
        self._runs: list[_Run] = []
        self._lent: list[Shard] = []
        for store in _relatives(folder, identity):
            for shard in store.whole():
                self.add(store.shard(shard))

    def add(self, shard: Shard) -> None:
        """Count a recorded shard among the earlier answers."""
        if TEXT_COLUMN not in shard.table.column_names or not shard.table.num_rows:
            return
        start = self._starts[-1]
        hashes, rows = np.unique(shard.table.column(TEXT_COLUMN).to_numpy(), return_index=True)
        let_go(shard.file)
        self._shards.append(shard)
        self._starts.append(start + shard.table.num_rows)
        run = _Run(hashes, (rows + start).astype(np.uint32))
        while self._runs and len(self._runs[-1].hashes) < 2 * len(run.hashes):
            run = self._runs.pop().with_new(run)
        self._runs.append(run)

    def fill(
        self, hashes: np.ndarray, logits: list[np.ndarray], columns: dict[str, list[np.ndarray]]
    ) -> np.ndarray:
        """Put what is known into `logits` and `columns`; the places of what is not.

        Args:
            hashes: Of the texts [rows].
            logits: One flat array a row, to fill.
            columns: Of the parts, by name: one flat array a row, to fill; they lie in files, whose
                pages are handed back by the next call.
        """
        while self._lent:
            let_go(self._lent.pop().file)
        unknown = np.arange(len(hashes))
        for run in self._runs:
            places, known = run.places(hashes[unknown])
            self._copy(run.rows[places[known]], unknown[known], logits, columns)
            unknown = unknown[~known]
        self.reused += len(hashes) - len(unknown)
        return unknown

    def _copy(
        self,
        rows: np.ndarray,
        places: np.ndarray,
        logits: list[np.ndarray],
        columns: dict[str, list[np.ndarray]],
    ) -> None:
        """Put the answers to recorded rows where they belong."""
        homes = np.searchsorted(self._starts, rows, side="right") - 1
        for home in np.unique(homes):
            shard, here = self._shards[home], homes == home
            for place, row in zip(places[here], rows[here] - self._starts[home], strict=True):
                logits[place] = logits_row(shard.table, int(row), top_k=self._top_k)
                for name, values in columns.items():
                    values[place] = column_row(shard.table.column(name), int(row))
            self._lent.append(shard)


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
