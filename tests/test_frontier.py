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
from limbeck.run.trials import Way
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
    depths = [len(point.heads) for point in found.points]
    assert depths[0] == 2
    assert depths == sorted(depths, reverse=True)
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
        full = [trial for trial in trials if trial.passes == trials[-1].passes]
        assert len(full) == 2
        best = min(full, key=lambda trial: trial.validation_loss)
        assert [trial for trial in trials if trial.chosen] == [best]
        way = (len(point.heads), point.learning_rate, point.compensated)
        assert way == (best.layers, best.learning_rate, best.compensated)
        shortest = [trial for trial in trials if trial.passes == trials[0].passes]
        ways = {(one.layers, one.learning_rate, one.compensated) for one in shortest}
        assert len(ways) == len(shortest)
        cuts = {(layers, compensated) for layers, _, compensated in ways}
        assert len(ways) == 2 * len(cuts)
        plain = {layers for layers, compensated in cuts if not compensated}
        assert {layers for layers, _ in cuts} == plain
    assert "point 3" in (run / "frontier.html").read_text(encoding="utf-8")
    assert frontier(recipe(frontier__retention=0.9, **SMALL)) == found
    with pytest.raises(OutputError, match="a frontier lives in this folder"):
        distill(recipe(frontier__retention=0.9, **SMALL))


def test_an_interrupted_frontier_goes_on_from_its_last_finished_point(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of points must not be lost to the last one, and must not come out otherwise."""
    from safetensors.numpy import load_file

    from limbeck.run.point import Maker

    settings = {**SMALL, "frontier__rank": 0.4}
    frontier(recipe(output=str(tmp_path / "straight"), **settings))
    real, begun = Maker._train, []

    def interrupted(maker: Any, model: Any, way: Any, part: str, *rest: Any, **named: Any) -> Any:
        begun.append((maker.number, part))
        if begun.count((3, "")) == 2:  # a finalist is done, and so are the trials
            raise KeyboardInterrupt
        return real(maker, model, way, part, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Maker, "_train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            frontier(recipe(**settings))
    begun.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Maker, "_train", lambda *a, **k: begun.append(a[3]) or real(*a, **k))
        frontier(recipe(**settings))
    assert begun == ["", ""]  # no trial is made again
    left, right = (
        load_file(tmp_path / name / "points" / "3" / "thin" / "model.safetensors")
        for name in ("straight", "run")
    )
    assert any("codes" in name for name in left)
    assert left.keys() == right.keys()
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_a_rate_that_breaks_a_training_loses_and_ends_nothing(
    recipe: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One wild learning rate among those tried must not cost the other points."""
    from limbeck.errors import TrainingError
    from limbeck.run.point import Maker

    real = Maker._train

    def wild(maker: Any, model: Any, way: Any, *rest: Any, **named: Any) -> Any:
        if way.learning_rate == 3e-3:
            raise TrainingError("step 3", "the loss is NaN", "Lower it.")
        return real(maker, model, way, *rest, **named)

    monkeypatch.setattr(Maker, "_train", wild)
    found = frontier(recipe(**SMALL))
    broken = [trial for trial in found.trials if trial.validation_loss is None]
    assert {trial.learning_rate for trial in broken} == {3e-3}
    assert {point.learning_rate for point in found.points} <= {1e-3, found.points[0].learning_rate}
    monkeypatch.setattr(
        Maker, "_train", lambda *a, **k: wild(a[0], a[1], Way(2, 3e-3, False), *a[3:], **k)
    )
    with pytest.raises(TrainingError, match="NaN"):
        frontier(recipe(**SMALL, output=str(Path(recipe().output).parent / "other")))


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
