"""The whole road with the methods that train more than a student on recorded answers."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.distill import distill
from limbeck.training.log import read_log

Make = Callable[..., Any]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without exports: they have tests of their own and take most of a short run."""
    road = importlib.import_module("limbeck.distill")
    monkeypatch.setattr(road, "export_variants", lambda *_args, **_named: [])
    monkeypatch.setattr(road, "teacher_int8", lambda *_args: None)


def _terms(folder: Path, arm: str) -> set[str]:
    lines = read_log(folder / "log.jsonl")
    return {name for line in lines if line["arm"] == arm for name in line}


@pytest.mark.parametrize(
    ("method", "terms"),
    [
        ("mutual", {"hard", "logits_kl", "teacher_hard", "teacher_logits_kl"}),
        ("feedback", {"hard", "logits_kl", "teacher_hard", "teacher_feedback"}),
        ("exits", {"hard", "logits_kl", "exits"}),
        ("theseus", {"hard"}),
    ],
)
def test_the_method_makes_a_student_that_transformers_loads(
    recipe: Make, tmp_path: Path, short: None, method: str, terms: set[str]
) -> None:
    """Whatever was trained along is thrown away; what is saved is a student and answers."""
    from safetensors.numpy import load_file
    from transformers import AutoModelForSequenceClassification

    report = distill(recipe(method=method, student__layers=3, evaluation__control=False))
    assert terms <= _terms(tmp_path / "run", "student")
    model, info = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "run" / "student", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    saved = load_file(tmp_path / "run" / "student" / "model.safetensors")
    assert set(saved) == set(model.state_dict())
    assert report.student.score.value > 0.9
    assert report.retention.value > 0.9


@pytest.mark.parametrize("method", ["mutual", "feedback"])
def test_the_report_is_about_the_teacher_that_was_given(
    recipe: Make, tmp_path: Path, short: None, method: str
) -> None:
    """What the copy became is a note; the teacher of the report is the user's."""
    from safetensors.numpy import load_file

    made = recipe(method=method, evaluation__control=False, knowledge__teacher_learning_rate=1e-2)
    weights = Path(made.teacher.path) / "model.safetensors"
    before = load_file(weights)
    report = distill(made)
    assert report.teacher.score.value > 0.95
    (note,) = [n for n in report.training["student"]["notes"] if "trained along" in n]
    found = re.search(r"\((\w+)\).* was (0\.\d+|1\.0+) before and (0\.\d+|1\.0+) after", note)
    assert found is not None
    assert found[1] == method
    after = load_file(weights)
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_the_control_arm_learns_from_every_label(recipe: Make, tmp_path: Path, short: None) -> None:
    """It has no teacher, and so no quiz: the same labels for both sides."""
    report = distill(recipe(method="feedback", training__epochs=1))
    steps = {arm: report.training[arm]["planned_steps"] for arm in ("student", "control")}
    assert steps["control"] > steps["student"]
    assert "teacher_feedback" not in _terms(tmp_path / "run", "control")


def test_a_stage_asks_the_teacher_as_it_is(recipe: Make, tmp_path: Path, short: None) -> None:
    """The teacher learns in the last training alone; before it, it stands still."""
    stage = {"name": "states", "terms": [{"kind": "hidden", "weight": 1.0}], "epochs": 1}
    distill(recipe(method="mutual", stages=[stage], evaluation__control=False))
    assert "teacher_hard" not in _terms(tmp_path / "run", "student-states")
    assert "hidden_mse" in _terms(tmp_path / "run", "student-states")
    assert "teacher_hard" in _terms(tmp_path / "run", "student")


def test_an_assistant_is_taught_by_a_teacher_that_learns(
    recipe: Make, tmp_path: Path, short: None
) -> None:
    """Each link of the chain trains a copy of its own teacher."""
    assistants = [{"layers": 3}]
    report = distill(recipe(method="mutual", assistants=assistants, evaluation__control=False))
    assert "teacher_hard" in _terms(tmp_path / "run", "assistant-1")
    assert "teacher_hard" in _terms(tmp_path / "run", "student")
    assert report.student.score.value > 0.8
