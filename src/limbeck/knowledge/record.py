"""Asks the teacher about every text once, shard by shard, sorted by length within a shard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from limbeck.config.recipe import KnowledgeConfig
from limbeck.data.batches import batches_by_length
from limbeck.data.encode import Encoded
from limbeck.data.texts import Texts
from limbeck.errors import KnowledgeError, TeacherError
from limbeck.files import free_mb
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.reuse import TEXT_COLUMN, Earlier, text_hashes
from limbeck.knowledge.store import Identity, Kind, Store
from limbeck.machine import kept_pages, remembered
from limbeck.progress import Step, say, step
from limbeck.teacher.ask import ask
from limbeck.teacher.load import class_count
from limbeck.teacher.precision import computing_in

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint

_ROWS, _TOKENS = 64, 4096
_SAMPLE = 256
_FLOAT16_MAX = 65504.0


def knowledge_mb(identity: Identity, classes: int, tokens: int, hidden: int) -> float:
    """Size on disk of what `identity` names, in MB, before it is recorded."""
    ids = 24 * identity.rows
    logits = 4 * classes * identity.rows
    states = 2 * hidden * tokens * len(identity.kind.hidden)
    return (ids + logits + states) / 1e6


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
        texts: The rows; their ids go into the shards.
        encoded: Their token ids under the teacher's tokenizer.
        teacher_fingerprint: From `teacher.load.fingerprint`.
        kind: What to keep.
        settings: Folder and shard size.

    Raises:
        TeacherError: If an answer is NaN or infinite, naming the rows.
        KnowledgeError: If the disk cannot hold what is to be recorded.
    """
    identity = Identity(
        teacher=teacher_fingerprint,
        texts=texts.fingerprint(),
        max_tokens=encoded.max_tokens,
        kind=kind,
        rows=len(texts),
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
    return Recorded(store, encoded.lengths)


def _check_space(
    store: Store,
    identity: Identity,
    model: PreTrainedModel,
    encoded: Encoded,
    missing: list[int],
) -> None:
    whole = knowledge_mb(
        identity, class_count(model), int(encoded.offsets[-1]), model.config.hidden_size
    )
    need = whole * len(missing) / identity.shards
    free = free_mb(store.place)
    if need > free:
        raise KnowledgeError(
            str(store.place),
            f"the answers need {need:.0f} MB, but {free:.0f} MB are free",
            "Free space, set knowledge.folder to another disk, or drop hidden terms.",
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
    logits = np.empty((len(rows), class_count(model)), dtype=np.float32)
    states: dict[int, list[np.ndarray]] = {
        layer: [np.empty(0, np.float16)] * len(rows) for layer in identity.kind.hidden
    }
    hashes = text_hashes(texts, span)
    unknown = earlier.fill(hashes, logits, states)
    _, first, repeats = np.unique(hashes[unknown], return_index=True, return_inverse=True)
    new = unknown[first]
    progress.advance(len(rows) - len(new))
    for places in batches_by_length(lengths[new], rows=_ROWS, tokens=_TOKENS):
        asked = new[places]
        answer = answers(model, checkpoint, encoded, rows[asked], identity.kind)
        logits[asked] = answer[0]
        for layer, values in answer[1].items():
            for place, value in zip(asked, values, strict=True):
                states[layer][place] = value
        progress.advance(len(asked))
    logits[unknown] = logits[new[repeats]]
    for values in states.values():
        for place, source in zip(unknown, new[repeats], strict=True):
            values[place] = values[source]
    ids = pa.array(texts.ids[span.start : span.stop], pa.large_string())
    _refuse_broken(logits, states, ids, checkpoint.path)
    flat = pa.array(logits.reshape(-1))
    columns: dict[str, pa.Array] = {
        "id": ids,
        TEXT_COLUMN: pa.array(hashes),
        "logits": pa.FixedSizeListArray.from_arrays(flat, logits.shape[1]),
    }
    for layer, values in states.items():
        offsets = np.concatenate([[0], np.cumsum([value.size for value in values])])
        columns[f"hidden_{layer}"] = pa.LargeListArray.from_arrays(
            pa.array(offsets, pa.int64()), pa.array(np.concatenate([v.ravel() for v in values]))
        )
    return pa.table(columns)


def answers(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    encoded: Encoded,
    rows: np.ndarray,
    kind: Kind,
) -> tuple[np.ndarray, dict[int, list[np.ndarray]]]:
    """Logits [rows, classes] and, a layer, one float16 [tokens, hidden] array a row.

    The caller sees to the arithmetic (`computing_in`).
    """
    import torch

    batch = checkpoint.batch(encoded, rows)
    with torch.inference_mode():
        answer = ask(model, batch, checkpoint.family, kind.hidden)
    real = batch.attention_mask.bool()
    states = {
        layer: [_half(state[keep]) for state, keep in zip(value.cpu(), real, strict=True)]
        for layer, value in answer.hidden.items()
    }
    return answer.logits.float().cpu().numpy(), states


def _half(state: Tensor) -> np.ndarray:
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused by name
        return state.float().numpy().astype(np.float16)


def _refuse_broken(
    logits: np.ndarray, states: dict[int, list[np.ndarray]], ids: pa.Array, where: str
) -> None:
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    what = "logits"
    for layer, values in states.items():
        if not len(bad):
            bad = np.flatnonzero([not np.isfinite(value).all() for value in values])
            what = f"hidden states of layer {layer} (kept as float16, at most {_FLOAT16_MAX:.0f})"
    if len(bad):
        shown = ", ".join(ids[int(row)].as_py() for row in bad[:3])
        raise TeacherError(
            where,
            f"the teacher's {what} are NaN or infinite on {len(bad)} rows ({shown}, …)",
            "Check the teacher on these texts; a checkpoint saved in half precision may overflow.",
        )


def choose_precision(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    encoded: Encoded,
    settings: KnowledgeConfig,
    *,
    teacher_fingerprint: str,
) -> str:
    """float32 or bfloat16: the faster whose logits stay within the tolerance on a sample.

    Both are timed on the same rows, spread over the lengths of the texts, once for each teacher on
    this machine: a recording that is gone on with must not change its arithmetic.

    Args:
        model: The teacher, in eval mode.
        checkpoint: Its tokenizer's facts.
        encoded: The texts' token ids.
        settings: The recipe's wish and its tolerance.
        teacher_fingerprint: From `teacher.load.fingerprint`.
    """
    if settings.precision != "auto":
        return settings.precision
    measured: dict[str, float] = remembered(
        "recording.json",
        teacher_fingerprint,
        lambda: _compare_precisions(model, checkpoint, encoded),
    )
    moved, faster = measured["largest_move"], measured["times_faster"]
    chosen = "bfloat16" if moved <= settings.logit_tolerance and faster > 1.1 else "float32"
    say(
        f"  recording in {chosen}: bfloat16 is {faster:.1f}x as fast here and moves a logit by "
        f"{moved:.3f} at most ({settings.logit_tolerance} allowed)"
    )
    return chosen


def _compare_precisions(
    model: PreTrainedModel, checkpoint: Checkpoint, encoded: Encoded
) -> dict[str, float]:
    """How much faster bfloat16 is on a sample, and how far it moves a logit at most."""
    order = np.argsort(encoded.lengths, kind="stable")
    sample = order[np.linspace(0, len(order) - 1, min(_SAMPLE, len(order))).astype(int)]
    batches = [sample[i : i + _ROWS] for i in range(0, len(sample), _ROWS)]
    seconds: dict[str, float] = {}
    logits: dict[str, np.ndarray] = {}
    for precision in ("float32", "bfloat16"):
        kind = Kind(precision=precision)
        with computing_in(model, precision):
            answers(model, checkpoint, encoded, batches[0], kind)  # the first call is not typical
            start = time.perf_counter()
            parts = [answers(model, checkpoint, encoded, rows, kind)[0] for rows in batches]
            seconds[precision] = time.perf_counter() - start
        logits[precision] = np.concatenate(parts)
    exact = logits["float32"]
    with np.errstate(invalid="ignore"):
        moved = np.abs(exact - logits["bfloat16"])
    # What overflows in bfloat16 alone has moved; what float32 breaks is refused by name later.
    moved = np.where(np.isfinite(moved), moved, np.finfo(np.float32).max)[np.isfinite(exact)]
    return {
        "largest_move": float(moved.max(initial=0.0)),
        "times_faster": seconds["float32"] / seconds["bfloat16"],
    }
