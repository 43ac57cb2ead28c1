"""Answers with a run's fastest accepted export, as `limbeck predict` does."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from limbeck.config.recipe import CleanConfig
from limbeck.data.clean import cleaner
from limbeck.data.texts import Item
from limbeck.errors import ExportError
from limbeck.files import read_json
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import WINDOW, answer_windows
from limbeck.runtime.load import load_export
from limbeck.tasks.known import task_named

_ONE_BATCH = 32
"""So few texts go through as one batch, as a service wants that gathers requests."""


@dataclass(frozen=True)
class Prediction:
    """An answer to one text, or pair of texts.

    Attributes:
        label: In words: the likeliest class, the classes that apply, the number, or the first
            numbers of a vector.
        probability: How sure that is, 0 to 1; None of a number.
        probabilities: Every class's; of a regression its number and of a sentence embedding the
            numbers of its vector, by their places, which are no probabilities.
    """

    label: str
    probability: float | None
    probabilities: dict[str, float]


class Predictor:
    """A finished run, ready to answer.

    It cleans texts as training did, and takes the runtime that the gate found fastest: for
    single texts, or for many at a time. Probabilities of an int8 export in bulk depend a little
    on the texts that share a batch (`OnnxAnswerer`); identical texts within a window are answered
    once, and so alike.

    Args:
        run: The run's folder.
        bulk: Choose and load the runtime for throughput instead of single-text latency.

    Raises:
        ExportError: If the folder holds no finished run, or its runtime is not installed.
    """

    def __init__(self, run: str | Path, *, bulk: bool = False) -> None:
        folder = Path(run)
        gate = folder / "export" / "gate.json"
        if not gate.exists():
            raise ExportError(
                str(folder),
                "this folder holds no finished run (no export/gate.json)",
                "Name the output folder of a `limbeck distill` that ended, or give its command "
                "again to finish it.",
            )
        facts = read_json(folder / "export" / "limbeck.json")
        self.labels: list[str] = facts["labels"]
        self.task = task_named(facts.get("task", "single_label"))
        self._clean = cleaner(CleanConfig(**facts["clean"]))
        self._bulk = bulk
        verdict = read_json(gate)
        self.runtime: str = verdict["best_bulk" if bulk else "best_single"] or "transformers"
        self._answerer = _load(folder, self.runtime, verdict, facts["max_tokens"], bulk=bulk)

    def predict(self, texts: Sequence[Item]) -> list[Prediction]:
        """One prediction a text, in order.

        Raises:
            ExportError: For a text that is empty after cleaning; none is answered then.
        """
        cleaned = self._cleaned(texts, before=0)
        if 0 < len(cleaned) <= _ONE_BATCH and not self._bulk:
            return self._predictions(self.task.answers(self._answerer.logits(cleaned)))
        parts = (cleaned[start : start + WINDOW] for start in range(0, len(cleaned), WINDOW))
        return [one for part in self._answered(parts) for one in self._predictions(part)]

    def stream(self, texts: Iterable[Item], *, size: int = WINDOW) -> Iterator[Prediction]:
        """Predictions of any number of texts, in order, a few times `size` of them in memory.

        Args:
            texts: Read in this thread, up to 2 * `size` texts ahead of what is yielded.
            size: Texts that are sorted by length together.

        Raises:
            ExportError: For a text that is empty after cleaning, with its number in the stream;
                the predictions of all windows before have been yielded then.
        """
        for part in self.stream_probabilities(texts, size=size):
            yield from self._predictions(part)

    def stream_probabilities(
        self, texts: Iterable[Item], *, size: int = WINDOW
    ) -> Iterator[np.ndarray]:
        """Like `stream`, as arrays [texts, classes] of `size` texts: for programs.

        Of a regression these are its numbers, of sentence embeddings the vectors.
        """
        yield from self._answered(self._windows(texts, size))

    def _windows(self, texts: Iterable[Item], size: int) -> Iterator[list[Item]]:
        texts, before = iter(texts), 0
        while part := list(islice(texts, size)):
            yield self._cleaned(part, before=before)
            before += len(part)

    def _cleaned(self, texts: Sequence[Item], *, before: int) -> list[Item]:
        cleaned: list[Item] = []
        for place, item in enumerate(texts):
            if self.task.apart and not isinstance(item, str):
                raise ExportError(
                    f"text {before + place + 1}",
                    "it is a pair of texts, and a vector is of one text",
                    "Give the texts one by one (name one column: --text-column).",
                )
            parts = [self._clean(part) for part in ((item,) if isinstance(item, str) else item)]
            if not all(part.strip() for part in parts):
                raise ExportError(
                    f"text {before + place + 1}",
                    "it is empty" if isinstance(item, str) else f"one of its texts is: {item!r}",
                    "Give texts with a visible character.",
                )
            cleaned.append(parts[0] if isinstance(item, str) else (parts[0], parts[1]))
        return cleaned

    def _answered(self, windows: Iterable[list[Item]]) -> Iterator[np.ndarray]:
        """The task's answers to each window; each of its distinct texts is answered once."""
        places: deque[list[int]] = deque()

        def distinct() -> Iterator[list[Item]]:
            for window in windows:
                known: dict[Item, int] = {}
                places.append([known.setdefault(text, len(known)) for text in window])
                yield list(known)

        for logits in answer_windows(self._answerer, distinct()):
            yield self.task.answers(logits)[places.popleft()]

    def _predictions(self, answers: np.ndarray) -> list[Prediction]:
        found = []
        for row, values in zip(answers, answers.tolist(), strict=True):
            said = self.task.said(row, self.labels)
            named = dict(zip(self.labels, values, strict=True))
            found.append(Prediction(said.words, said.probability, named))
        return found


def _load(folder: Path, runtime: str, verdict: dict, max_tokens: int, *, bulk: bool) -> Answerer:
    if runtime == "transformers":
        from limbeck.runtime.transformers_model import from_folder

        return from_folder(str(folder / "student"), max_tokens=max_tokens)
    file = next(entry["file"] for entry in verdict["exports"] if entry["name"] == runtime)
    return load_export(runtime, folder / "export" / file, bulk=bulk)
