"""The whole road with a student that loses heads and neurons."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.distill import distill
from limbeck.serve.predictor import Predictor

Make = Callable[..., Any]
PRUNED = {"student__pruning__heads": 1, "student__pruning__neurons": 8}


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_pruned_student_is_small_in_its_exports_and_loads_anywhere(
    recipe: Make, tmp_path: Path, files: dict[str, Path], rounds: int
) -> None:
    """Three forms of one student: stock with zeros, thin, and ONNX; all must answer alike."""
    from transformers import AutoModelForSequenceClassification, pipeline

    report = distill(recipe(student__pruning__rounds=rounds, **PRUNED))
    assert report.retention.value > 0.9
    folder = tmp_path / "run"
    stock = AutoModelForSequenceClassification.from_pretrained(folder / "student")
    thin = (folder / "thin" / "model.safetensors").stat().st_size
    assert thin < (folder / "student" / "model.safetensors").stat().st_size
    assert report.student.parameters < sum(p.numel() for p in stock.parameters())
    exports = {export.name: export for export in report.exports}
    assert exports["onnx"].flips == 0
    texts = [json.loads(line)["text"] for line in files["test"].read_text().splitlines()]
    served = pipeline("text-classification", model=str(folder / "student"), device="cpu")
    labels = [answer["label"] for answer in served(texts)]
    predicted = [answer.label for answer in Predictor(folder).predict(texts)]
    assert np.mean([a == b for a, b in zip(labels, predicted, strict=True)]) > 0.97
    notes = report.training["student"]["notes"]
    assert any("heads and" in note for note in notes)
    assert any("heads and" in note for note in report.training["control"]["notes"])


def test_an_interrupted_run_goes_on_with_the_same_heads(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second choice after a kill would put trained weights into other heads."""
    from safetensors.numpy import load_file

    from limbeck.training.step import Stepper

    settings = {**PRUNED, "student__pruning__rounds": 2, "evaluation__control": False}
    distill(recipe(output=str(tmp_path / "straight"), **settings))
    real, steps = Stepper.take, [0]

    def interrupted(self: Any, *args: Any, share: float) -> Any:
        steps[0] += 1
        if steps[0] == 31:
            raise KeyboardInterrupt
        return real(self, *args, share=share)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            distill(recipe(**settings))
    distill(recipe(**settings))
    left, right = (
        load_file(tmp_path / name / "thin" / "model.safetensors") for name in ("straight", "run")
    )
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)
