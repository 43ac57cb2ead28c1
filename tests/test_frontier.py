"""A family of students on the whole road."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.distill import distill
from limbeck.errors import OutputError, RecipeError, StudentError
from limbeck.frontier import frontier
from limbeck.serve.predictor import Predictor

Make = Callable[..., Any]
SMALL = {"frontier__points": 3, "frontier__smallest": 0.1, "frontier__learning_rates": [1e-3, 3e-3]}


def test_points_are_smaller_and_smaller_and_each_can_be_used(
    recipe: Make, tmp_path: Path, files: dict[str, Path]
) -> None:
    """A point that cannot be loaded is a number in a table."""
    from transformers import AutoModelForSequenceClassification, pipeline

    found = frontier(recipe(frontier__retention=0.9, **SMALL))
    run = tmp_path / "run"
    sizes = [point.served.encoder_parameters for point in found.points]
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[-1] <= 0.15 * found.teacher.encoder_parameters
    assert found.points[0].retention.value > 0.9
    assert [len(point.heads) for point in found.points] == [2, 2, 1]
    assert found.held is not None
    texts = [json.loads(line)["text"] for line in files["test"].read_text().splitlines()]
    for point in found.points:
        folder = run / point.folder
        stock = AutoModelForSequenceClassification.from_pretrained(folder / "student")
        assert stock.config.num_hidden_layers == len(point.heads)
        served = pipeline("text-classification", model=str(folder / "student"), device="cpu")
        labels = [answer["label"] for answer in served(texts)]
        predicted = [answer.label for answer in Predictor(folder).predict(texts)]
        assert np.mean([a == b for a, b in zip(labels, predicted, strict=True)]) > 0.97
    assert {trial.learning_rate for trial in found.trials} == {1e-3, 3e-3}
    assert {trial.point for trial in found.trials} == {2, 3}
    for point in found.points[1:]:
        trials = [trial for trial in found.trials if trial.point == point.number]
        best = max(trials, key=lambda trial: trial.validation_score)
        assert best.chosen
        assert (best.learning_rate, best.compensated) == (point.learning_rate, point.compensated)
        assert [trial.compensated for trial in trials] == [False, False, True]
    assert "point 3" in (run / "frontier.html").read_text(encoding="utf-8")
    assert frontier(recipe(frontier__retention=0.9, **SMALL)) == found
    with pytest.raises(OutputError, match="a frontier lives in this folder"):
        distill(recipe(frontier__retention=0.9, **SMALL))


def test_an_interrupted_frontier_goes_on_from_its_last_finished_point(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of points must not be lost to the last one, and must not come out otherwise."""
    from safetensors.numpy import load_file

    from limbeck.run import descent

    settings = {**SMALL, "frontier__rank": 0.4}
    frontier(recipe(output=str(tmp_path / "straight"), **settings))
    real, begun = descent._cut, []

    def interrupted(above: Any, room: Any, shape: Any, *, compensate: bool) -> Any:
        begun.append(room.arm)
        if begun.count("point-3") == 4:  # the trials are done, and are not gone through again
            raise KeyboardInterrupt
        return real(above, room, shape, compensate=compensate)

    with monkeypatch.context() as patch:
        patch.setattr(descent, "_cut", interrupted)
        with pytest.raises(KeyboardInterrupt):
            frontier(recipe(**settings))
    begun.clear()
    with monkeypatch.context() as patch:
        patch.setattr(descent, "_cut", lambda *a, **k: begun.append(a[1].arm) or real(*a, **k))
        frontier(recipe(**settings))
    assert begun == ["point-3"]
    left, right = (
        load_file(tmp_path / name / "points" / "3" / "thin" / "model.safetensors")
        for name in ("straight", "run")
    )
    assert any("codes" in name for name in left)
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_refuses_what_cannot_go_down(recipe: Make) -> None:
    """Before the teacher is asked about anything."""
    with pytest.raises(RecipeError, match="pruned by themselves"):
        frontier(recipe(student__pruning__heads=1))
    with pytest.raises(RecipeError, match="nothing to go down to"):
        frontier(recipe(frontier__smallest=0.9))
    with pytest.raises(RecipeError, match="no term is of kind logits or vectors"):
        frontier(recipe(objective__terms=[{"kind": "hidden", "weight": 1.0}]))
    with pytest.raises(StudentError, match="cannot take heads"):
        frontier(recipe(student__architecture="albert"))
