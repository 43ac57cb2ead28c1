"""Answers with a run's fastest accepted export, as `limbeck predict` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from limbeck.config.recipe import CleanConfig
from limbeck.data.clean import cleaner
from limbeck.errors import ExportError
from limbeck.files import read_json
from limbeck.runtime.answerer import Answerer, answer_all
from limbeck.runtime.onnx_model import OnnxAnswerer


@dataclass(frozen=True)
class Prediction:
    """An answer: the likeliest class, its probability, and every class's."""

    label: str
    probability: float
    probabilities: dict[str, float]


class Predictor:
    """A finished run, ready to answer.

    It cleans texts as training did, and takes the export that the gate found fastest: for
    single texts, or for many at a time.

    Args:
        run: The run's folder.
        bulk: Choose the export for throughput instead of single-text latency.

    Raises:
        ExportError: If the folder holds no finished run.
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
        self._clean = cleaner(CleanConfig(**facts["clean"]))
        verdict = read_json(gate)
        self.runtime: str = verdict["best_bulk" if bulk else "best_single"] or "transformers"
        self._answerer = _load(folder, self.runtime, verdict, facts["max_tokens"])

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a text, in order.

        Raises:
            ExportError: For a text that is empty after cleaning.
        """
        cleaned = [self._clean(text) for text in texts]
        for place, text in enumerate(cleaned):
            if not text.strip():
                raise ExportError(
                    f"text {place + 1}", "it is empty", "Give texts with a visible character."
                )
        if not cleaned:
            return []
        logits = answer_all(self._answerer, cleaned).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return [self._prediction(row) for row in shares]

    def stream(self, texts: Iterable[str], *, size: int = 4096) -> Iterator[Prediction]:
        """Predictions of any number of texts, in order, `size` in memory at a time."""
        texts = iter(texts)
        while part := list(islice(texts, size)):
            yield from self.predict(part)

    def _prediction(self, shares: np.ndarray) -> Prediction:
        best = int(shares.argmax())
        return Prediction(
            label=self.labels[best],
            probability=float(shares[best]),
            probabilities={n: float(s) for n, s in zip(self.labels, shares, strict=True)},
        )


def _load(folder: Path, runtime: str, verdict: dict, max_tokens: int) -> Answerer:
    if runtime == "transformers":
        from limbeck.runtime.transformers_model import from_folder

        return from_folder(str(folder / "student"), max_tokens=max_tokens)
    file = next(entry["file"] for entry in verdict["exports"] if entry["name"] == runtime)
    return OnnxAnswerer(folder / "export" / file)
