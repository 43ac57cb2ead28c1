"""Peak memory of a model that answers, each in a process of its own.

Run as ``python -m limbeck.evaluation.memory`` with a JSON request on standard input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limbeck.data.asked import Asked, Windowing
from limbeck.data.candidates import Candidates
from limbeck.data.prose import Prose, Reading
from limbeck.data.texts import Item, characters
from limbeck.data.worded import WordedText

_TEXTS = 64


def peak_memory_mb(
    runtime: str, path: str, texts: Sequence[Item], *, max_tokens: int
) -> float | None:
    """Peak resident memory, in MB, of a process that loads a model and answers texts.

    Libraries count: the figure is what a service needs, not what the weights weigh.

    Args:
        runtime: ``transformers``, or the name of an export.
        path: A folder or hub name, or an .onnx file.
        texts: Some of the user's texts; a batch of the longest is among what is answered.
        max_tokens: Where texts are cut.

    Returns:
        The peak in MB, or None where the operating system does not tell.
    """
    longest = sorted(texts, key=characters)[-_TEXTS:]
    told = list(map(_told, longest))
    request = {"runtime": runtime, "path": path, "texts": told, "max_tokens": max_tokens}
    done = subprocess.run(
        [sys.executable, "-m", "limbeck.evaluation.memory"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        return None
    peak = json.loads(done.stdout.splitlines()[-1])["peak_mb"]
    return None if peak is None else float(peak)


def _answer(request: dict[str, Any]) -> float | None:
    from limbeck.runtime.bulk import answer_all

    if request["runtime"] == "transformers":
        from limbeck.runtime.transformers_model import from_folder

        answerer: Any = from_folder(request["path"], max_tokens=request["max_tokens"])
    else:
        from limbeck.runtime.load import load_export

        answerer = load_export(request["runtime"], Path(request["path"]), bulk=True)
    answer_all(answerer, list(map(_item, request["texts"])))
    return own_peak_mb()


def _told(item: Item) -> Any:
    """What is asked, as JSON."""
    match item:
        case WordedText():
            return [item.text, item.spans]
        case Asked():
            return [item.question, item.context, asdict(item.windowing)]
        case Candidates():
            return asdict(item)
        case Prose():
            return {"text": item.text, "reading": asdict(item.reading)}
        case _:
            return item


def _item(told: Any) -> Item:
    """What was asked, from JSON, which has no tuples."""
    if isinstance(told, str):
        return told
    if isinstance(told, dict):
        if "reading" in told:
            return Prose(told["text"], Reading(**told["reading"]))
        return Candidates(told["query"], tuple(told["passages"]))
    first, second, *windowing = told
    if windowing:
        return Asked(first, second, Windowing(**windowing[0]))
    if isinstance(second, str):
        return first, second
    return WordedText(first, tuple((start, end) for start, end in second))


def own_peak_mb() -> float | None:
    """Peak resident memory of this process so far, in MB, or None where nothing tells it."""
    # Not getrusage: on Linux its peak includes that of the process which started this one.
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"peak_mb": _answer(json.load(sys.stdin))}) + "\n")
