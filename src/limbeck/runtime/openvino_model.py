"""Answers by OpenVINO, from the float32 .onnx file: the extra ``openvino``.

Run as ``python -m limbeck.runtime.openvino_model FILE`` to try whether it can.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.data.per_word import Outputs
from limbeck.data.texts import Item
from limbeck.errors import ExportError
from limbeck.runtime.answerer import BATCH_TOKENS, answered
from limbeck.runtime.companions import Companions
from limbeck.runtime.tokens import Tokens

INSTALL = "pip install 'limbeck[openvino]'"
_TRIAL_S = 120


class OpenVinoAnswerer:
    """An exported model in OpenVINO, which chooses the precision: bfloat16 where the CPU has it.

    Each thread has a request of its own, and inputs are copied. With OpenVINO's asynchronous queue
    and inputs that share numpy's memory, three of five trials crashed or stood still (2026.4; which
    of the two it was is not known); this way none did in two minutes of changing shapes.

    Args:
        path: The float32 .onnx file; tokenizer.json and limbeck.json lie beside it.
        bulk: Compile it for many texts rather than for one at a time.

    Raises:
        ExportError: If openvino is not installed.
    """

    def __init__(self, path: Path, *, bulk: bool = False) -> None:
        hint = "THROUGHPUT" if bulk else "LATENCY"
        self._model = _openvino().Core().compile_model(str(path), "CPU", {"PERFORMANCE_HINT": hint})
        self.workers = (
            int(self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) if bulk else 1
        )
        self.batch_tokens = BATCH_TOKENS
        self._names = [entry.get_any_name() for entry in self._model.inputs]
        self._companions = Companions(path.parent, types="token_type_ids" in self._names)
        self._own = threading.local()

    def logits(self, texts: Sequence[Item]) -> Outputs:
        """Logits [texts, classes], or their words'; the texts go through as one batch."""
        tokens = self.tokens(texts)
        return answered(self, tokens)

    def tokens(self, texts: Sequence[Item]) -> Tokens:
        """Their token ids, cut at the export's longest."""
        return self._companions.tokens(texts)

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """Each token as text."""
        return self._companions.spelled(ids)

    def logits_of(self, tokens: Tokens, rows: np.ndarray) -> Outputs:
        """Logits [rows, classes], or their words', of rows as one batch; from any thread."""
        if not hasattr(self._own, "request"):
            self._own.request = self._model.create_infer_request()
        inputs = tokens.batch(rows, self._companions.padding)
        outputs = self._own.request.infer({name: inputs[name] for name in self._names})
        logits = np.array(outputs[0], dtype=np.float32)
        return tokens.outputs(logits, rows, self._companions.padding)


def openvino_failure(path: Path) -> str | None:
    """Why OpenVINO cannot answer from a file, or None.

    It is tried in a process of its own: a crash or a standstill in its native code would take
    the run along.
    """
    try:
        _openvino()
    except ExportError as error:
        return f"{error.found} ({INSTALL})"
    if not path.exists():
        return f"there is no {path.name} to read"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "limbeck.runtime.openvino_model", str(path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TRIAL_S,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_TRIAL_S} s"
    if done.returncode < 0:
        return f"its process was killed by signal {-done.returncode}"
    if done.returncode > 0:
        told = done.stderr.strip().splitlines()
        return told[-1][:300] if told else f"its process ended with status {done.returncode}"
    return None


def _openvino() -> Any:
    try:
        import openvino  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ExportError("openvino", "openvino is not installed here", f"{INSTALL}.") from None
    return openvino


def _try(path: Path) -> None:
    from limbeck.runtime.bulk import answer_all

    texts = ["a text " * n for n in range(1, 33)]
    alone, bulk = OpenVinoAnswerer(path), OpenVinoAnswerer(path, bulk=True)
    for text in texts:
        alone.logits([text])
    answer_all(bulk, texts * 8)


if __name__ == "__main__":
    _try(Path(sys.argv[1]))
