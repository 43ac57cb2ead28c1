"""Asks the teacher about every text once, shard by shard, sorted by length within a shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from limbeck.config.recipe import KnowledgeConfig
from limbeck.data.batches import batches_by_length
from limbeck.data.encode import Encoded
from limbeck.data.per_word import WordOutputs
from limbeck.data.texts import Texts
from limbeck.data.window_rows import row_ids
from limbeck.errors import KnowledgeError, TeacherError
from limbeck.files import free_mb
from limbeck.knowledge.columns import FLOAT16_MAX, as_column, logits_columns, row_columns
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.reuse import TEXT_COLUMN, Earlier, row_hashes
from limbeck.knowledge.size import knowledge_mb, numbers_a_place
from limbeck.knowledge.store import Identity, Store
from limbeck.machine import kept_pages
from limbeck.progress import Step, say, step
from limbeck.teacher.ask import ask, outputs_of
from limbeck.teacher.load import class_count
from limbeck.teacher.precision import computing_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint

_ROWS, _TOKENS = 64, 4096
_LOGITS = "logits"


def record(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    texts: Texts,
    encoded: Encoded,
    *,
    teacher_fingerprint: str,
    kind: Kind,
    settings: KnowledgeConfig,
) -> Recorded:
    """Everything the teacher says about `texts`: from disk where it was said before.

    Args:
        model: The teacher, in eval mode.
        checkpoint: Its tokenizer's facts.
        texts: The texts; their ids go into the shards.
        encoded: Their rows under the teacher's tokenizer: the texts, or windows of them.
        teacher_fingerprint: From `teacher.load.fingerprint`.
        kind: What to keep.
        settings: Folder and shard size.

    Raises:
        TeacherError: If an answer is NaN or infinite, naming the rows.
        KnowledgeError: If the disk cannot hold what is to be recorded.
    """
    identity = Identity(
        teacher=teacher_fingerprint,
        texts=texts.fingerprint() + encoded.cut_like,
        max_tokens=encoded.max_tokens,
        kind=kind,
        rows=len(encoded),
        shard_rows=settings.shard_rows,
    )
    store = Store(Path(settings.folder), identity)
    missing = store.missing()
    if missing:
        _check_space(store, identity, model, encoded, missing)
        rows = sum(len(identity.span(shard)) for shard in missing)
        with (
            step(f"asking the teacher ({texts.name})", rows) as progress,
            computing_in(model, kind.precision),
            kept_pages(),
        ):
            earlier = Earlier(Path(settings.folder), identity)
            for shard in range(identity.shards):
                if shard not in missing:
                    earlier.add(store.shard(shard))
            for shard in missing:
                table = _shard(
                    model, checkpoint, texts, encoded, identity, shard, earlier, progress
                )
                store.write(shard, table)
                earlier.add(store.shard(shard))
            progress.note(f"{earlier.reused:,} answers were known")
    else:
        say(f"  the teacher's answers on {texts.name} are in {store.place}: nothing to ask")
    return Recorded(store, encoded.lengths, checkpoint, encoded)


def _check_space(
    store: Store,
    identity: Identity,
    model: PreTrainedModel,
    encoded: Encoded,
    missing: list[int],
) -> None:
    numbers = numbers_a_place(identity.kind, class_count(model)) * encoded.answers_a_row
    whole = knowledge_mb(identity.kind, model.config, numbers, encoded.lengths)
    need = whole * len(missing) / identity.shards
    free = free_mb(store.place)
    if need > free:
        raise KnowledgeError(
            str(store.place),
            f"the answers need {need:.0f} MB, but {free:.0f} MB are free",
            "Free space, set knowledge.folder to another disk, keep vectors in int8 "
            "(knowledge.states), match fewer layers, or ask in every step (knowledge.source=live).",
        )


def _shard(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    texts: Texts,
    encoded: Encoded,
    identity: Identity,
    shard: int,
    earlier: Earlier,
    progress: Step,
) -> pa.Table:
    span = identity.span(shard)
    rows = np.arange(span.start, span.stop)
    lengths = encoded.lengths[rows]
    logits = [np.empty(0, dtype=np.float32)] * len(rows)
    columns: dict[str, list[np.ndarray]] = {
        name: [np.empty(0)] * len(rows) for name in identity.kind.columns()
    }
    hashes = row_hashes(texts, encoded, span)
    unknown = earlier.fill(hashes, logits, columns)
    _, first, repeats = np.unique(hashes[unknown], return_index=True, return_inverse=True)
    new = unknown[first]
    progress.advance(len(rows) - len(new))
    for places in batches_by_length(lengths[new], rows=_ROWS, tokens=_TOKENS):
        asked = new[places]
        answer = answers(model, checkpoint, encoded, rows[asked], identity.kind)
        for name, values in {_LOGITS: answer[0], **answer[1]}.items():
            for place, value in zip(asked, values, strict=True):
                (logits if name == _LOGITS else columns[name])[place] = value
        progress.advance(len(asked))
    for values in (logits, *columns.values()):
        for place, source in zip(unknown, new[repeats], strict=True):
            values[place] = values[source]
    ids = pa.array(row_ids(texts, encoded)[span.start : span.stop], pa.large_string())
    _refuse_broken(logits, columns, identity.kind, ids, checkpoint.path)
    return pa.table(
        {
            "id": ids,
            TEXT_COLUMN: pa.array(hashes),
            "tokens": pa.array(lengths.astype(np.int32)),
            **logits_columns(logits, by_word=encoded.places is not None, top_k=identity.kind.top_k),
            **{name: as_column(values) for name, values in columns.items()},
        }
    )


def answers(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    encoded: Encoded,
    rows: np.ndarray,
    kind: Kind,
) -> tuple[np.ndarray | list[np.ndarray], dict[str, list[np.ndarray]]]:
    """Logits and the parts' shard columns, one array a row.

    A row's logits are [classes], [words, classes] where words are answered, or what `data.likely`
    tells of [places] where tokens are foretold.

    The caller sees to the arithmetic (`computing_in`).
    """
    import torch

    batch = checkpoint.batch(encoded, rows)
    with torch.inference_mode():
        answer = ask(model, batch, checkpoint.family, kind.parts, top_k=kind.top_k)
    columns: dict[str, list[np.ndarray]] = {}
    for part, state in answer.states.items():
        columns |= row_columns(part, state, batch.attention_mask, kind)
    said = outputs_of(answer.logits.float().cpu().numpy(), batch, encoded)
    if isinstance(said, WordOutputs):
        return np.split(said.values, said.offsets[1:-1]), columns
    return said, columns


def _refuse_broken(
    logits: Sequence[np.ndarray],
    columns: dict[str, list[np.ndarray]],
    kind: Kind,
    ids: pa.Array,
    where: str,
) -> None:
    bad = np.flatnonzero([not np.isfinite(said).all() for said in logits])
    what = "logits"
    for name, part in kind.columns().items():
        if not len(bad):
            bad = np.flatnonzero([not np.isfinite(value).all() for value in columns[name]])
            at_most = f" (kept as float16, at most {FLOAT16_MAX:.0f})"
            what = part.in_words() + ("" if kind.int8(part) else at_most)
    if len(bad):
        shown = ", ".join(ids[int(row)].as_py() for row in bad[:3])
        raise TeacherError(
            where,
            f"the teacher's {what} are NaN or infinite on {len(bad)} rows ({shown}, …)",
            "Check the teacher on these texts; a checkpoint saved in half precision may overflow.",
        )
