"""An array in a file, of which only what is asked for is in memory."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np


class FlatFile:
    """A one-dimensional array that is read slice by slice.

    Not a memory-mapped one: a row that is read of that brings up to 2 MB around it into the
    process, and they stay, so that an epoch ends with the whole file.

    Args:
        path: A file of nothing but the numbers; it does not change.
        dtype: Of the numbers.
    """

    def __init__(self, path: Path, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._stream = path.open("rb", buffering=0)
        weakref.finalize(self, self._stream.close)
        self._lock = threading.Lock()
        self._length = path.stat().st_size // self.dtype.itemsize

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, span: slice) -> np.ndarray:
        start, end, _ = span.indices(self._length)
        item = self.dtype.itemsize
        with self._lock:
            self._stream.seek(start * item)
            content = self._stream.read(max(0, end - start) * item)
        return np.frombuffer(content, dtype=self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All of it, for those who want it in memory."""
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)
