"""The folder of recorded answers: Arrow shards, a manifest and checksums.

``knowledge/<address>/manifest.json`` lists the shards; a shard is an Arrow IPC file that
``datasets``, ``pyarrow`` and ``pandas.read_feather`` open without limbeck. Columns: ``id`` (the
row's id), ``text_hash`` (of the exact text, 64 bits), ``logits`` (float32, one a class) and those
of `rounding.columns_of` for every part that is kept.
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
from limbeck.progress import say
from limbeck.teacher.parts import Part, in_words

VERSION = 3
_ENTRY: dict[str, type] = {"shard": int, "file": str, "rows": int, "bytes": int, "sha256": str}


@dataclass(frozen=True)
class Kind:
    """What is recorded.

    Attributes:
        parts: What is kept of the teacher's computation besides the logits, rising.
        precision: Arithmetic of the teacher's pass, float32 or bfloat16.
        states: How vectors are kept, float16 or int8; distributions are float16 always.
    """

    parts: tuple[Part, ...] = ()
    precision: str = "float32"
    states: str = "float16"

    def in_words(self) -> str:
        """``logits; hidden states of layers 2, 4 in int8; asked in float32``."""
        kept = f"; {in_words(self.parts)} in {self.states}" if self.parts else ""
        return f"logits{kept}; asked in {self.precision}"

    def content(self) -> dict[str, Any]:
        """As JSON, parts by name."""
        return {**asdict(self), "parts": [part.name for part in self.parts]}

    @staticmethod
    def of(content: dict[str, Any]) -> Kind:
        """What `content` made, from JSON."""
        parts = tuple(Part.named(name) for name in content["parts"])
        return Kind(parts, str(content["precision"]), str(content["states"]))


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
        }
        self._write_manifest()

    def _write_manifest(self) -> None:
        write_json(
            self.place / "manifest.json",
            {
                "version": VERSION,
                **self.identity.content(),
                "complete": len(self._shards) == self.identity.shards,
                "shards": [self._shards[shard] for shard in sorted(self._shards)],
            },
        )

    def table(self, shard: int) -> pa.Table:
        """A shard as a memory-mapped table."""
        with pa.memory_map(str(self.path(shard))) as source:
            return pa.ipc.open_file(source).read_all()


def _read(manifest: Path, identity: Identity) -> list[dict[str, Any]]:
    try:
        content = read_json(manifest)
        if content["rows"] != identity.rows:
            return []
        return [
            {key: kind(entry[key]) for key, kind in _ENTRY.items()} for entry in content["shards"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise KnowledgeError(
            str(manifest),
            f"the manifest cannot be read ({type(error).__name__}: {error})",
            "Delete this folder; the same command records it again.",
        ) from None
