"""log.jsonl: one line a logging step, cut back to the checkpoint when a run goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.encode import Encoded
from limbeck.files import disk_error, whole_file

if TYPE_CHECKING:
    from torch import Tensor


class Log:
    """Appends lines for one arm (``student``, ``control``, ``teacher``) to a run's log."""

    def __init__(self, path: Path, arm: str) -> None:
        self.path = path
        self.arm = arm

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Append one line."""
        line = json.dumps({"arm": self.arm, "step": step, **values})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise disk_error(error, self.path) or error from error

    def cut_after(self, step: int) -> None:
        """Drop this arm's lines after `step`: the steps behind them are taken again."""
        if not self.path.exists():
            return
        kept = [
            json.dumps(line)
            for line in read_log(self.path)
            if line["arm"] != self.arm or line["step"] <= step
        ]
        with whole_file(self.path) as part:
            part.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line cut off by a kill is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


class Tally:
    """Sums of what a step says, until they are logged."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = [*names, "loss"]
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Any] = dict.fromkeys(self._names, 0.0)
        self._steps = self._rows = self._tokens = 0
        self._started = time.perf_counter()

    def add(self, values: dict[str, Tensor], rows: np.ndarray, encoded: Encoded) -> None:
        """Count one step: the value of every term, and its rows."""
        for name, value in values.items():
            self._sums[name] += value  # where it is: reading it would wait for an accelerator
        self._steps += 1
        self._rows += len(rows)
        self._tokens += int((encoded.offsets[rows + 1] - encoded.offsets[rows]).sum())

    def means(self) -> dict[str, float]:
        """Means since the last call, and rates."""
        seconds = time.perf_counter() - self._started
        values = {name: float(total) / max(self._steps, 1) for name, total in self._sums.items()}
        values["examples_per_s"] = round(self._rows / seconds, 1)
        values["tokens_per_s"] = round(self._tokens / seconds, 1)
        self._clear()
        return values
