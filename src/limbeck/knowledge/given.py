"""Answers that nobody recorded here, kept as knowledge like any other: the same shards."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from limbeck.config.recipe import KnowledgeConfig
from limbeck.data.texts import Texts
from limbeck.errors import KnowledgeError
from limbeck.files import file_sha256, read_json
from limbeck.knowledge.columns import logits_columns
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.reuse import TEXT_COLUMN, text_hashes
from limbeck.knowledge.store import Identity, Store
from limbeck.mapped import mapped
from limbeck.progress import say
from limbeck.teacher.load import Checkpoint


def keep_given(
    outputs: np.ndarray,
    texts: Texts,
    *,
    stamp: str,
    settings: KnowledgeConfig,
) -> Store:
    """Write answers as shards, or find them there; rows without an answer hold NaN.

    Nobody knows the teacher's tokenizer: the column ``tokens`` is 0, and texts are not cut.

    Args:
        outputs: [rows, outputs], float32.
        texts: What they are about.
        stamp: Of the answers' files and how they were read, in place of a teacher's fingerprint.
        settings: Folder and shard size.
    """
    digest = hashlib.blake2b(stamp.encode(), digest_size=16)
    digest.update(np.ascontiguousarray(outputs, dtype=np.float32).tobytes())
    identity = Identity(
        teacher=digest.hexdigest(),
        texts=texts.fingerprint(),
        max_tokens=0,
        kind=Kind(),
        rows=len(texts),
        shard_rows=settings.shard_rows,
    )
    store = Store(Path(settings.folder), identity)
    missing = store.missing()
    if not missing:
        say(f"  the answers on {texts.name} are in {store.place} already")
    for shard in missing:
        span = identity.span(shard)
        own = outputs[span.start : span.stop].astype(np.float32)
        table = pa.table(
            {
                "id": pa.array(texts.ids[span.start : span.stop], pa.large_string()),
                TEXT_COLUMN: pa.array(text_hashes(texts, span)),
                "tokens": pa.array(np.zeros(len(span), dtype=np.int32)),
                **logits_columns(list(own), by_word=False, top_k=0),
            }
        )
        store.write(shard, table)
    return store


def recorded_given(store: Store, checkpoint: Checkpoint) -> Recorded:
    """Such answers as training reads them; rows without one are not `told`."""
    nothing = np.zeros(store.identity.rows, dtype=np.int64)
    return Recorded(store, nothing, checkpoint, gaps=True)


def is_knowledge(source: str) -> bool:
    """Whether a path is a folder of recorded answers."""
    return (Path(source) / "manifest.json").exists()


def folder_stamp(source: str) -> str:
    """A hash of all answers that a knowledge folder holds."""
    return file_sha256(Path(source) / "manifest.json")


def answers_in(source: str, texts: Texts) -> np.ndarray:
    """What a knowledge folder says of texts [rows, outputs], found by text; NaN of unknown ones.

    Raises:
        KnowledgeError: If the folder holds answers about words, or is damaged.
    """
    hashes, logits = [], []
    for entry in read_json(Path(source) / "manifest.json")["shards"]:
        path = Path(source) / str(entry["file"])
        if not path.exists() or file_sha256(path) != entry["sha256"]:
            raise KnowledgeError(
                str(path), "this shard is gone or damaged", "Record these answers again."
            )
        table = pa.ipc.open_file(pa.BufferReader(mapped(path))).read_all()
        column = table.column("logits").chunk(0)
        if not isinstance(column, pa.FixedSizeListArray):
            raise KnowledgeError(
                source, "its answers are about words or places", "Give answers about whole texts."
            )
        hashes.append(table.column(TEXT_COLUMN).to_numpy())
        logits.append(column.flatten().to_numpy().reshape(-1, column.type.list_size))
    known, first = np.unique(np.concatenate(hashes), return_index=True)
    values = np.concatenate(logits)
    wanted = text_hashes(texts, range(len(texts)))
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    here = known[places] == wanted
    outputs = np.full((len(texts), values.shape[1]), np.nan, dtype=np.float32)
    outputs[here] = values[first[places[here]]]
    return outputs
