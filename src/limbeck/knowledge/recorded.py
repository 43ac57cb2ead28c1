"""Recorded answers, read row by row from memory-mapped shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from limbeck.errors import KnowledgeError
from limbeck.knowledge.store import Store
from limbeck.mapped import Pages

if TYPE_CHECKING:
    from torch import Tensor


class Recorded:
    """Answers by row index; little is in memory but the rows that are asked for."""

    def __init__(self, store: Store, lengths: np.ndarray) -> None:
        self.place = store.place
        self.kind = store.identity.kind
        self._shard_rows = store.identity.shard_rows
        self._rows = store.identity.rows
        self._lengths = lengths
        shards = [store.shard(shard) for shard in range(store.identity.shards)]
        self._pages = Pages([shard.file for shard in shards])
        self._tables = [shard.table for shard in shards]
        self._logits = [_flat(table.column("logits")) for table in self._tables]

    def __len__(self) -> int:
        return self._rows

    @property
    def classes(self) -> int:
        """Classes of the teacher's head."""
        return self._logits[0].shape[1]

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits [rows, classes], float32."""
        import torch

        shards, places = np.divmod(rows, self._shard_rows)
        answers = np.empty((len(rows), self.classes), dtype=np.float32)
        for shard in np.unique(shards):
            here = shards == shard
            answers[here] = self._logits[shard][places[here]]
            self._pages.read(int(shard), int(here.sum()), 0)
        return torch.from_numpy(answers)

    def all_logits(self) -> np.ndarray:
        """Logits of every row [rows, classes], float32."""
        return np.concatenate(self._logits)

    def hidden(self, layer: int, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """Hidden states of a layer, zero-padded to `width`: float32 [rows, width, hidden].

        Raises:
            KnowledgeError: If this layer was not recorded.
        """
        if layer not in self.kind.hidden:
            raise KnowledgeError(
                str(self.place),
                f"layer {layer} was not recorded, only {list(self.kind.hidden)}",
                "Record it: name it in the layer_map of a hidden term.",
            )
        states = [self._state(layer, int(row)) for row in rows]
        padded = padded_states(states, width=width, left=left)
        for row, state in zip(rows, states, strict=True):
            self._pages.read(int(row) // self._shard_rows, 2, state.nbytes)
        return padded

    def _state(self, layer: int, row: int) -> np.ndarray:
        shard, place = divmod(row, self._shard_rows)
        column = self._tables[shard].column(f"hidden_{layer}").chunk(0)
        assert isinstance(column, pa.LargeListArray)
        start, end = column.offsets[place].as_py(), column.offsets[place + 1].as_py()
        flat = column.values.slice(start, end - start).to_numpy(zero_copy_only=True)
        return flat.reshape(int(self._lengths[row]), -1)


def padded_states(states: Sequence[np.ndarray], *, width: int, left: bool) -> Tensor:
    """[tokens, hidden] arrays as one zero-padded float32 tensor [rows, width, hidden]."""
    import torch

    padded = np.zeros((len(states), width, states[0].shape[1]), dtype=np.float32)
    for place, state in enumerate(states):
        first = width - len(state) if left else 0
        padded[place, first : first + len(state)] = state
    return torch.from_numpy(padded)


def _flat(column: pa.ChunkedArray) -> np.ndarray:
    array = column.chunk(0)
    width = array.type.list_size
    return array.flatten().to_numpy(zero_copy_only=True).reshape(-1, width)
