"""Which arithmetic to record in: bfloat16 where it is faster here and changes little."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import KnowledgeConfig
from limbeck.data.encode import Encoded
from limbeck.knowledge.record import answers
from limbeck.knowledge.size import judged_kind
from limbeck.machine import remembered
from limbeck.progress import say
from limbeck.teacher.pooling import vectors_of
from limbeck.teacher.precision import computing_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint

_SAMPLE, _ROWS = 256, 64


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
    if vectors_of(model.config) is not None:
        return "float32"  # the tolerance is one of logits, and a vector's numbers are far smaller
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
        kind = replace(judged_kind(checkpoint), precision=precision)
        with computing_in(model, precision):
            answers(model, checkpoint, encoded, batches[0], kind)  # the first call is not typical
            start = time.perf_counter()
            parts = [
                (said[:, 0] if kind.top_k else said).ravel()  # ids of tokens are no logits
                for rows in batches
                for said in answers(model, checkpoint, encoded, rows, kind)[0]
            ]
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
