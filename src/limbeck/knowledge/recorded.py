"""Recorded answers, read row by row from memory-mapped shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from limbeck.data.encoded import Encoded
from limbeck.data.per_word import Outputs, WordOutputs
from limbeck.data.ragged import words_of
from limbeck.errors import KnowledgeError
from limbeck.knowledge.columns import FORETOLD, LOGITS, foretold_together, read_row
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.store import Store
from limbeck.mapped import Pages
from limbeck.teacher.attention import basis, with_distributions
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.teacher.load import Checkpoint


class Recorded:
    """Answers by row index; little is in memory but the rows that are asked for.

    Args:
        store: The shards.
        lengths: Tokens of each row.
        checkpoint: The teacher's.
        encoded: The rows, where more than one answer a row is given.
        gaps: Whether rows may have no answer, which is NaN then.
    """

    def __init__(
        self,
        store: Store,
        lengths: np.ndarray,
        checkpoint: Checkpoint,
        encoded: Encoded | None = None,
        *,
        gaps: bool = False,
    ) -> None:
        self._checkpoint = checkpoint
        self.place = store.place
        self.kind = store.identity.kind
        self._shard_rows = store.identity.shard_rows
        self._rows = store.identity.rows
        self._lengths = lengths
        shards = [store.shard(shard) for shard in range(store.identity.shards)]
        self._pages = Pages([shard.file for shard in shards])
        self._tables = [shard.table for shard in shards]
        self._encoded = encoded
        self._places = None if encoded is None else encoded.places
        self._logits = [_logits_of(table, checkpoint, self.kind) for table in self._tables]
        self.told: np.ndarray | None = None
        if gaps:
            told = [~np.isnan(logits.whole[:, 0]) for logits in self._logits]
            self.told = np.concatenate(told)

    def __len__(self) -> int:
        return self._rows

    @property
    def encoded(self) -> Encoded | None:
        """The rows under the teacher's tokenizer, if they were given."""
        return self._encoded

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits [rows, classes], or [words of the rows, classes]; float32."""
        import torch

        shards, places = np.divmod(rows, self._shard_rows)
        said = [self._logits[shard].of(places[shards == shard]) for shard in np.unique(shards)]
        order = np.argsort(np.argsort(shards, kind="stable"), kind="stable")
        for shard, count in zip(*np.unique(shards, return_counts=True), strict=True):
            self._pages.read(int(shard), int(count), 0)
        if self._places is None:
            return torch.from_numpy(np.concatenate(said)[order])
        counts = np.diff(self._places.offsets)[rows[np.argsort(shards, kind="stable")]]
        words, _ = words_of(np.concatenate([[0], np.cumsum(counts)]), order)
        return torch.from_numpy(np.concatenate(said)[words])

    def all_logits(self) -> Outputs:
        """Logits of every text [rows, classes], float32, or those of its words or places."""
        said = np.concatenate([logits.whole for logits in self._logits])
        if self._encoded is None:
            return said
        if self._places is None:
            return self._encoded.of_texts(said)
        return self._encoded.of_texts(WordOutputs(said, self._places.offsets, self._places.places))

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """A part, zero-padded to `width` tokens, float32.

        Returns:
            [rows, width, size], or [rows, heads, width, width] for attention distributions.

        Raises:
            KnowledgeError: If neither this part was recorded nor what gives it.
        """
        needed = basis(self._checkpoint.family, (part,))
        if not set(needed) <= set(self.kind.parts):
            raise KnowledgeError(
                str(self.place),
                f"{part.name} was not recorded, only "
                f"{', '.join(kept.name for kept in self.kind.parts) or 'logits'}",
                "Record it: name its layer in the layer_map of a term.",
            )
        found = {one: self._padded(one, rows, width=width, left=left) for one in needed}
        if part in found:
            return found[part]
        mask = padding_mask(self._lengths[rows], width=width, left=left)
        config, family = self._checkpoint.config, self._checkpoint.family
        return zero_padding(with_distributions((part,), found, mask, config, family)[part], mask)

    def _padded(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        states = []
        for row in rows.tolist():
            shard, place = divmod(row, self._shard_rows)
            tokens = int(self._lengths[row])
            state = read_row(self._tables[shard], part, place, tokens, self.kind)
            states.append((shard, state))
        padded = padded_states([state for _, state in states], width=width, left=left)
        for shard, state in states:
            self._pages.read(shard, 2, state.nbytes)
        return padded


def padded_states(states: Sequence[np.ndarray], *, width: int, left: bool) -> Tensor:
    """Rows' vectors or distributions as one zero-padded float32 tensor.

    Args:
        states: [tokens, size] or [heads, tokens, tokens] arrays.
        width: Tokens to pad to.
        left: Padding goes before the text.
    """
    import torch

    square = states[0].ndim == 3
    shape = (len(states[0]), width, width) if square else (width, states[0].shape[1])
    padded = np.zeros((len(states), *shape), dtype=np.float32)
    for place, state in enumerate(states):
        tokens = state.shape[1 if square else 0]
        real = slice(width - tokens, width) if left else slice(0, tokens)
        if square:
            padded[place, :, real, real] = state
        else:
            padded[place, real] = state
    return torch.from_numpy(padded)


def padding_mask(lengths: np.ndarray, *, width: int, left: bool) -> Tensor:
    """1 at tokens, 0 at padding: [rows, width]."""
    import torch

    places = np.arange(width)
    if left:
        places = places[::-1]
    return torch.from_numpy((places[None, :] < lengths[:, None]).astype(np.int64))


def zero_padding(state: Tensor, attention_mask: Tensor) -> Tensor:
    """A state with zeros wherever padding has a part in it."""
    real = attention_mask.bool()
    if state.ndim == 3:
        return state.where(real[:, :, None], 0.0)
    return state.where((real[:, :, None] & real[:, None, :])[:, None], 0.0)


class _ByRow:
    """A shard's logits, one of each class a row."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        array = column.chunk(0)
        flat = array.flatten().to_numpy(zero_copy_only=True)
        self.whole = flat.reshape(-1, array.type.list_size)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Of some of its rows."""
        return self.whole[rows]


class _ByWord:
    """A shard's logits, one of each class a word; rows have any number of words."""

    def __init__(self, column: pa.ChunkedArray, classes: int) -> None:
        array = column.chunk(0)
        self.whole = array.flatten().to_numpy(zero_copy_only=True).reshape(-1, classes)
        self._offsets = array.offsets.to_numpy() // classes

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Of the words of some of its rows, row after row."""
        return self.whole[words_of(self._offsets, rows)[0]]


class _ByToken:
    """A shard's answers about tokens, any number of them a row."""

    def __init__(self, table: pa.Table, top_k: int) -> None:
        self._top_k = top_k
        arrays = [table.column(name).chunk(0) for name in FORETOLD]
        self._parts = [array.flatten().to_numpy(zero_copy_only=True) for array in arrays]
        self._offsets = arrays[0].offsets.to_numpy()

    @property
    def whole(self) -> np.ndarray:
        """All of them: a copy."""
        own, ids, values = self._parts
        return foretold_together(own, ids, values, top_k=self._top_k)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Of the places of some of its rows, row after row."""
        places = words_of(self._offsets, rows)[0]
        own, ids, values = self._parts
        ids, values = (part.reshape(-1, self._top_k)[places] for part in (ids, values))
        return foretold_together(own[places], ids, values, top_k=self._top_k)


def _logits_of(table: pa.Table, checkpoint: Checkpoint, kind: Kind) -> _ByRow | _ByWord | _ByToken:
    if kind.top_k:
        return _ByToken(table, kind.top_k)
    column = table.column(LOGITS)
    if pa.types.is_fixed_size_list(column.type):
        return _ByRow(column)
    return _ByWord(column, len(checkpoint.labels))
