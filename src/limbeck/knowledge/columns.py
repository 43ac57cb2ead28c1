"""How a part of the teacher's computation is rounded, laid into shard columns, and read again.

A part named ``hidden_6`` has a column of that name: every number of a row, token after token (of a
distribution: head after head, each [tokens, tokens]). Kept as float16 that is all. Kept as int8,
each token's vector is divided by the 127th part of its largest number; ``hidden_6_scale`` holds
these divisors (float32, one a token), ``hidden_6_error`` the row's largest relative error
|kept - told| / |told| of a token's vector, and ``hidden_6_cosine`` the mean cosine between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from limbeck.data import likely
from limbeck.knowledge.kind import Kind
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

_STEPS = 127
FLOAT16_MAX = 65504.0


def rounded(part: Part, state: Tensor, kind: Kind) -> Tensor:
    """A state as it will be read again after recording, float32: what live answers pass through."""
    if not kind.int8(part):
        return state.half().float()
    values, scale = _int8(state.float())
    return values.float() * scale.unsqueeze(-1)


def row_columns(
    part: Part, state: Tensor, attention_mask: Tensor, kind: Kind
) -> dict[str, list[np.ndarray]]:
    """A batch's states as shard columns, one array a row, padding dropped.

    Args:
        part: Which.
        state: [batch, tokens, width], or [batch, heads, tokens, tokens].
        attention_mask: [batch, tokens].
        kind: How to keep it.
    """
    real = attention_mask.bool().cpu()
    if part.what == "attention":
        half = state.half().cpu()
        return {
            part.name: [
                map_[:, keep][:, :, keep].numpy() for map_, keep in zip(half, real, strict=True)
            ]
        }
    if not kind.int8(part):
        half = state.half().cpu()  # what overflows becomes infinite and is refused by name
        return {part.name: [row[keep].numpy() for row, keep in zip(half, real, strict=True)]}
    told = state.float()
    values, scale = _int8(told)
    error, cosine = _deviation(told, values.float() * scale.unsqueeze(-1))
    given = [tensor.cpu() for tensor in (values, scale, error, cosine)]
    rows = [[tensor[row][keep].numpy() for tensor in given] for row, keep in enumerate(real)]
    return {
        part.name: [row[0] for row in rows],
        f"{part.name}_scale": [row[1] for row in rows],
        f"{part.name}_error": [row[2].max(initial=0.0) for row in rows],
        f"{part.name}_cosine": [row[3].mean(dtype=np.float32) for row in rows],
    }


def _int8(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, and the factor [...] that gives the vectors back."""
    import torch

    scale = vectors.abs().amax(-1) / _STEPS
    divisor = scale.where(scale > 0, 1.0).unsqueeze(-1)
    return (vectors / divisor).round().to(torch.int8), scale


def _deviation(told: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Relative error and cosine of each vector; 0 and 1 for a vector of zeros."""
    from torch.nn import functional

    size = told.norm(dim=-1)
    error = (kept - told).norm(dim=-1) / size.where(size > 0, 1.0)
    cosine = functional.cosine_similarity(told, kept, dim=-1).where(size > 0, 1.0)
    return error, cosine


def as_column(values: Sequence[np.ndarray]) -> pa.Array:
    """One array a row as a column: of lists, or of numbers where each row has but one."""
    if values[0].ndim == 0:
        return pa.array(np.stack(values))
    offsets = np.concatenate([[0], np.cumsum([value.size for value in values])])
    flat = np.concatenate([value.ravel() for value in values])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(flat))


LOGITS = "logits"
FORETOLD = ("token_log_probability", "likely_ids", "likely_log_probabilities")
"""What a language model says, place after place: of the token that stands there, and the ids
(int32) and log-probabilities of the k likeliest, k a place."""


def logits_columns(
    logits: Sequence[np.ndarray], *, by_word: bool, top_k: int
) -> dict[str, pa.Array]:
    """Logits, one array a row: fixed lists of as many as there are classes, or lists of any length.

    Args:
        logits: [classes] each, [words, classes], or flat.
        by_word: Whether rows have any number of answers.
        top_k: Tokens that each place's answer tells of (`data.likely`); 0 of other models.
    """
    if not by_word:
        flat = pa.array(np.concatenate(logits))
        return {LOGITS: pa.FixedSizeListArray.from_arrays(flat, logits[0].size)}
    if not top_k:
        return {LOGITS: as_column(logits)}
    places = [row.reshape(-1, likely.width(top_k)) for row in logits]
    parts = (
        [likely.log_probabilities(row) for row in places],
        [likely.ids(row).astype(np.int32) for row in places],
        [likely.likely_log_probabilities(row) for row in places],
    )
    return {name: as_column(part) for name, part in zip(FORETOLD, parts, strict=True)}


def logits_row(table: pa.Table, row: int, *, top_k: int) -> np.ndarray:
    """What `logits_columns` took of a row, flat; a copy."""
    if not top_k:
        return table.column(LOGITS)[row].values.to_numpy().copy()
    own, ids, values = (column_row(table.column(name), row) for name in FORETOLD)
    return foretold_together(own, ids, values, top_k=top_k).ravel()


def foretold_together(
    own: np.ndarray, ids: np.ndarray, values: np.ndarray, *, top_k: int
) -> np.ndarray:
    """Columns of places as what a language model says of them: float32 [places, 2k + 1]."""
    kept = [ids.reshape(-1, top_k).astype(np.float32), values.reshape(-1, top_k)]
    return np.concatenate([own[:, None], *kept], axis=1)


def column_row(column: pa.ChunkedArray, row: int) -> np.ndarray:
    """What `as_column` took, flat, without a copy where it is a list."""
    array = column.chunk(0)
    if not isinstance(array, pa.LargeListArray):
        return array.slice(row, 1).to_numpy()[0]
    start, end = array.offsets[row].as_py(), array.offsets[row + 1].as_py()
    return array.values.slice(start, end - start).to_numpy(zero_copy_only=True)


def read_row(table: pa.Table, part: Part, row: int, tokens: int, kind: Kind) -> np.ndarray:
    """A row's states, [tokens, width] or [heads, tokens, tokens], float32 or float16."""
    flat = column_row(table.column(part.name), row)
    if part.what == "attention":
        return flat.reshape(-1, tokens, tokens)
    state = flat.reshape(tokens, -1)
    if kind.int8(part):
        scale = column_row(table.column(f"{part.name}_scale"), row)
        return state.astype(np.float32) * scale[:, None]
    return state


def rounding_error(table: pa.Table, kind: Kind) -> dict[str, dict[str, float]]:
    """By part kept as int8: the largest relative error of a vector, the mean cosine, its tokens."""
    found = {}
    for part in kind.parts:
        if kind.int8(part):
            tokens = table.column("tokens").to_numpy()
            cosines = table.column(f"{part.name}_cosine").to_numpy()
            found[part.name] = {
                "largest_relative_error": float(
                    table.column(f"{part.name}_error").to_numpy().max()
                ),
                "mean_cosine": float((cosines * tokens).sum(dtype=np.float64) / tokens.sum()),
                "tokens": int(tokens.sum()),
            }
    return found
