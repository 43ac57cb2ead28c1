"""Files as memory, of which only what was read lately stays with the process."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

_AROUND = 2 * 2**20
"""What Linux maps at most around a place that is read."""
_MOST = 32 * 2**20
_MADV_DONTNEED = 4
"""Linux's madvise: for a file that is only read, the pages are mapped again from its cache."""


def mapped(path: Path) -> pa.Buffer:
    """The bytes of a file, none of them read before they are needed."""
    with pa.memory_map(str(path)) as source:
        return source.read_buffer()


def let_go(file: pa.Buffer) -> None:
    """Hand the pages of a mapped file back; what is read later is read from the file again.

    Pages stay with the process while there is memory: a training that reads every row of a large
    file would come to hold all of it, and its peak would grow with the rows. Reading a page again
    costs a microsecond while the system has the file in its cache. Does nothing where the system is
    not Linux.

    Args:
        file: What `mapped` gave.
    """
    if sys.platform == "linux" and file.size:
        _madvise()(file.address, file.size, _MADV_DONTNEED)


@cache
def _madvise() -> Any:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return madvise


class Pages:
    """Lets go of mapped files once much was read of them.

    Args:
        files: What `mapped` gave.
    """

    def __init__(self, files: list[pa.Buffer]) -> None:
        self._files = files
        self._read: set[int] = set()
        self._held = 0

    def read(self, file: int, places: int, size: int) -> None:
        """Take note of `size` bytes that were read of a file, at `places` places."""
        self._read.add(file)
        self._held += min(places * _AROUND + size, self._files[file].size)
        if self._held >= _MOST:
            for number in self._read:
                let_go(self._files[number])
            self._read.clear()
            self._held = 0
