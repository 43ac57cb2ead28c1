"""Progress bars with a time estimate: one for every step that a person would wait for.

Quiet unless a caller asks: a library that prints is a nuisance in a service.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

_shown: ContextVar[bool] = ContextVar("limbeck_progress_shown", default=False)
PLAIN_LINE_EVERY_S = 15.0


@contextmanager
def shown() -> Iterator[None]:
    """Show the progress of everything that happens inside, on standard error."""
    token = _shown.set(True)
    try:
        yield
    finally:
        _shown.reset(token)


def say(message: str) -> None:
    """One line about what happened, on standard error, while progress is shown."""
    if _shown.get():
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


@dataclass
class Step:
    """A step under way: `advance` it, and `note` the figure worth watching."""

    name: str
    total: int
    done: int = 0
    _bar: Progress | None = None
    _task: object = None
    _started: float = field(default_factory=time.monotonic)
    _last_line: float = field(default_factory=time.monotonic)
    _note: str = ""

    def advance(self, count: int) -> None:
        """Say that `count` more of the total are done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, advance=count)  # pyright: ignore[reportArgumentType]
        elif _shown.get() and time.monotonic() - self._last_line > PLAIN_LINE_EVERY_S:
            self._last_line = time.monotonic()
            say(f"  {self.name}: {self._plain()}")

    def note(self, text: str) -> None:
        """Show `text` (a loss, a score) beside the bar."""
        self._note = text
        if self._bar is not None:
            self._bar.update(self._task, note=text)  # pyright: ignore[reportArgumentType]

    def _plain(self) -> str:
        spent = time.monotonic() - self._started
        share = self.done / max(self.total, 1)
        left = spent / share - spent if share > 0 else float("nan")
        return f"{share:.0%}, {left:.0f} s left {self._note}".rstrip()


@contextmanager
def step(name: str, total: int) -> Iterator[Step]:
    """A named step of `total` parts: a bar on a terminal, a line now and then elsewhere."""
    current = Step(name, total)
    if not _shown.get():
        yield current
        return
    if not sys.stderr.isatty():
        yield current
        spent = time.monotonic() - current._started
        say(f"  {name}: done in {spent:.1f} s {current._note}".rstrip())
        return
    with _terminal_bar() as bar:
        current._bar = bar
        current._task = bar.add_task(name, total=total, note="")
        yield current


def _terminal_bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("  {task.description:<34}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
