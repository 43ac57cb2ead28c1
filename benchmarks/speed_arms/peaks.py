"""What a process's memory came to: all of it, its own, and that of mapped files."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from speed_arms.arm import memory_mb

_PARTS = {"anonymous_mb": "RssAnon", "file_mb": "RssFile"}
_EVERY_S = 0.01


class Peaks:
    """Peaks since the start, noted at moments that have names.

    The whole peak is the system's own account. Of its two parts, memory that only this process
    has and pages of files, which the system takes back when it needs room, the peaks are looked
    for a hundred times a second; they need not fall together, so they may add up to more.
    """

    def __init__(self) -> None:
        self.noted: dict[str, Any] = {key: {} for key in ("peak_mb", *_PARTS)}
        self._highest = dict.fromkeys(_PARTS, 0.0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        for key, field in _PARTS.items():
            self._highest[key] = max(self._highest[key], memory_mb(field))

    def note(self, moment: str) -> None:
        """Keep the peaks so far under a name."""
        self._look()
        self.noted["peak_mb"][moment] = memory_mb("VmHWM")
        for key, highest in self._highest.items():
            self.noted[key][moment] = highest
