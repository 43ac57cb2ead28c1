"""The folder of recorded answers: Arrow shards, a manifest and checksums.

``knowledge/<address>/manifest.json`` lists the shards; a shard is an Arrow IPC file that
``datasets``, ``pyarrow`` and ``pandas.read_feather`` open without limbeck. Columns: ``id`` (the
row's id), ``text_hash`` (of the exact text, 64 bits), ``tokens`` (their number under the teacher's
tokenizer), ``logits`` (float32, one a class) and those of every part that is kept (`columns.py`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from limbeck.errors import KnowledgeError
from limbeck.files import file_sha256, read_json, whole_file, write_json
from limbeck.knowledge.columns import rounding_error
from limbeck.knowledge.kind import Kind
from limbeck.mapped import mapped
from limbeck.progress import say

VERSION = 3
_ENTRY: dict[str, type] = {
    "shard": int, "file": str, "rows": int, "bytes": int, "sha256": str, "rounding": dict,
}  # fmt: skip
_ROUNDING = {"largest_relative_error": float, "mean_cosine": float, "tokens": int}


@dataclass(frozen=True)
class Identity:
    """All that decides the answers; its hash is the folder's name.

    Attributes:
        teacher: Fingerprint of weights, architecture and tokenizer.
        texts: Fingerprint of ids and texts.
        max_tokens: Where texts are cut.
        kind: What is recorded.
        rows: Number of texts.
        shard_rows: Rows a shard.
    """

    teacher: str
    texts: str
    max_tokens: int
    kind: Kind
    rows: int
    shard_rows: int

    @property
    def address(self) -> str:
        """The folder's name: a hash of this identity."""
        text = json.dumps({"version": VERSION, **self.content()}, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "kind": self.kind.content()}

    @property
    def shards(self) -> int:
        """The number of shards that hold all rows."""
        return -(-self.rows // self.shard_rows)

    def span(self, shard: int) -> range:
        """The rows of a shard."""
        start = shard * self.shard_rows
        return range(start, min(start + self.shard_rows, self.rows))


@dataclass(frozen=True)
class Shard:
    """Recorded answers of some rows.

    Attributes:
        table: The columns; they are no copies.
        file: The mapped file that they lie in.
    """

    table: pa.Table
    file: pa.Buffer


class Store:
    """The shards of one identity: which are whole, and where."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.place = folder / identity.address
        self.identity = identity
        self._shards: dict[int, dict[str, Any]] = {}
        manifest = self.place / "manifest.json"
        if manifest.exists():
            self._shards = {entry["shard"]: entry for entry in _read(manifest, identity)}

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self.place / f"shard-{shard:05d}.arrow"

    def missing(self) -> list[int]:
        """The shards still to record. Damaged ones are named and count as missing."""
        for shard, entry in sorted(self._shards.items()):
            reason = self._damage(shard, entry)
            if reason is not None:
                say(f"{self.path(shard)}: {reason}; it is recorded again")
                del self._shards[shard]
        return [shard for shard in range(self.identity.shards) if shard not in self._shards]

    def whole(self) -> list[int]:
        """The recorded shards that are undamaged, rising."""
        return [n for n, entry in sorted(self._shards.items()) if self._damage(n, entry) is None]

    def _damage(self, shard: int, entry: dict[str, Any]) -> str | None:
        path = self.path(shard)
        if not path.exists():
            return "this shard is gone"
        if path.stat().st_size != entry["bytes"]:
            return f"this shard has {path.stat().st_size} bytes instead of {entry['bytes']}"
        if file_sha256(path) != entry["sha256"]:
            return "this shard's checksum is wrong"
        return None

    def write(self, shard: int, table: pa.Table) -> None:
        """Keep a shard; it counts once the manifest names it."""
        with (
            whole_file(self.path(shard)) as part,
            pa.OSFile(str(part), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)
        self._shards[shard] = {
            "shard": shard,
            "file": self.path(shard).name,
            "rows": table.num_rows,
            "bytes": self.path(shard).stat().st_size,
            "sha256": file_sha256(self.path(shard)),
            "rounding": rounding_error(table, self.identity.kind),
        }
        self._write_manifest()

    def _write_manifest(self) -> None:
        entries = [self._shards[shard] for shard in sorted(self._shards)]
        write_json(
            self.place / "manifest.json",
            {
                "version": VERSION,
                **self.identity.content(),
                "complete": len(self._shards) == self.identity.shards,
                "rounding": _over_all([entry["rounding"] for entry in entries]),
                "shards": entries,
            },
        )

    def shard(self, shard: int) -> Shard:
        """A shard, memory-mapped."""
        file = mapped(self.path(shard))
        return Shard(pa.ipc.open_file(pa.BufferReader(file)).read_all(), file)


def _over_all(shards: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The rounding errors of all shards as one figure a part."""
    found = {}
    for name in shards[0]:
        parts = [shard[name] for shard in shards]
        tokens = sum(part["tokens"] for part in parts)
        found[name] = {
            "largest_relative_error": max(part["largest_relative_error"] for part in parts),
            "mean_cosine": sum(part["mean_cosine"] * part["tokens"] for part in parts) / tokens,
            "tokens": tokens,
        }
    return found


def _read(manifest: Path, identity: Identity) -> list[dict[str, Any]]:
    try:
        content = read_json(manifest)
        if content["rows"] != identity.rows:
            return []
        kind = identity.kind
        rounded = [part.name for part in kind.parts if kind.int8(part)]
        entries = []
        for entry in content["shards"]:
            read = {key: type_(entry[key]) for key, type_ in _ENTRY.items()}
            read["rounding"] = {
                name: {key: type_(read["rounding"][name][key]) for key, type_ in _ROUNDING.items()}
                for name in rounded
            }
            entries.append(read)
    except (ValueError, KeyError, TypeError) as error:
        raise KnowledgeError(
            str(manifest),
            f"the manifest cannot be read ({type(error).__name__}: {error})",
            "Delete this folder; the same command records it again.",
        ) from None
    return entries
