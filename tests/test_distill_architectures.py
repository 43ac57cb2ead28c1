"""The whole road with students of another architecture than their teacher's."""

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
SETTINGS: dict[str, dict[str, Any]] = {
    "distilbert": {"method": "hidden", "student__vocabulary": "trim"},
    "albert": {"method": "hidden", "student__embedding": 16, "student__vocabulary": "trim"},
    "mobilebert": {
        "method": "hidden",
        "student__layers": None,
        "training__learning_rate": 5e-3,
        "training__epochs": 4,
    },
}


@pytest.fixture(scope="module")
def texts(files: dict[str, Path]) -> list[str]:
    """The test texts."""
    return [json.loads(line)["text"] for line in files["test"].read_text().splitlines()]


@pytest.mark.parametrize("architecture", list(SETTINGS))
def test_the_road_ends_in_a_student_that_every_runtime_answers_alike(
    recipe: Make, tmp_path: Path, architecture: str, texts: list[str]
) -> None:
    """A step that feeds the student as its teacher would break here: types, classes or padding."""
    from transformers import pipeline

    settings = SETTINGS[architecture]
    made = recipe(student__architecture=architecture, evaluation__control=False, **settings)
    report = distill(made)
    assert report.retention.value > 0.9
    assert report.student.parameters < report.teacher.parameters
    folder = tmp_path / "run"
    config = json.loads((folder / "student" / "config.json").read_text())
    assert config["model_type"] == architecture
    exports = {export.name: export for export in report.exports}
    for name in ("onnx", "onnx_int8"):
        assert exports[name].score is not None, exports[name].reason
        assert exports[name].score.value >= report.student.score.value - 0.02
    assert exports["onnx"].flips == 0
    served = pipeline("text-classification", model=str(folder / "student"), device="cpu")
    labels = [answer["label"] for answer in served(texts)]
    predicted = [answer.label for answer in Predictor(folder).predict(texts)]
    assert np.mean([a == b for a, b in zip(labels, predicted, strict=True)]) > 0.97
    assert architecture in (folder / "recipe.yaml").read_text()
