"""The trainings before the last one: each on what it says, and nothing that was done undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import Killed, kill_after

from limbeck.config.load import load_recipe
from limbeck.errors import RecipeError
from limbeck.run import stages
from limbeck.run.folder import RunFolder
from limbeck.run.plan import Plan, make_plan
from limbeck.run.recording import ask_teacher, load_teacher
from limbeck.training.choice import Machine

Make = Callable[..., Plan]
HIDDEN = {"kind": "hidden", "weight": 1.0, "layer_map": "uniform"}
BY_LAYER = {"name": "transfer", "layer_by_layer": True, "terms": [HIDDEN], "epochs": 4}
THESEUS = {
    "name": "replacing",
    "replacing": {"shape": "linear", "start": 0.3, "stop": 1.0},
    "terms": [{"kind": "hard", "weight": 1.0}],
}


@pytest.fixture
def plan(random_teacher: Path, files: dict[str, Path], tmp_path: Path) -> Make:
    """Plans a run on the random teacher with these stages."""

    def make(*wanted: dict[str, Any], **settings: Any) -> Plan:
        values = {
            "teacher.path": str(random_teacher),
            "data.train": str(files["validation"]),
            "data.validation": str(files["test"]),
            "data.max_tokens": 32,
            "student.layers": 2,
            "stages": list(wanted),
            "objective.terms": [{"kind": "hard", "weight": 1.0}],
            "knowledge.folder": str(tmp_path / "knowledge"),
            "training.epochs": 2,
            "training.learning_rate": 1e-3,
            "training.batch_rows": 32,
            "training.checkpoint_steps": 2,
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        return make_plan(load_recipe(None, values=values), cache=tmp_path / "tokens")

    return make


def _classroom(plan: Plan, folder: Path) -> tuple[Any, stages.Classroom]:
    """A student and its classroom, as `train_arm` makes them."""
    from limbeck.run.plan import student_encoding
    from limbeck.student.build import build_student
    from limbeck.training.lessons import Exam, Lessons, teacher_side

    cache = folder.parent / "tokens"
    teacher = load_teacher(plan)
    answers = ask_teacher(plan, teacher, cache=cache).train
    lessons = Lessons(
        student_encoding(plan, "train", cache=cache),
        plan.material.train.labels,
        answers,
        teacher_side(plan.teacher.config),
        plan.material.train.texts.ids,
    )
    exam = Exam(student_encoding(plan, "validation", cache=cache), plan.material.validation.labels)
    sample = [plan.teacher.batch(plan.encoded, np.arange(16))]
    model = build_student(
        plan.student, teacher.model, kept=None, sample=sample, seed=0, attention="eager"
    ).model
    machine = Machine("float32", "eager", 1)
    run = RunFolder(str(folder))
    return model, stages.Classroom(plan, teacher, lessons, exam, machine, run, "student")


@dataclass
class _Seen:
    """One training."""

    name: str
    moved: set[str]
    terms: Any
    epochs: int


def _moves(monkeypatch: pytest.MonkeyPatch) -> list[_Seen]:
    """What each training moved: its folder's name, the weights' names, terms and epochs."""
    real, seen = stages.train, []

    def train(model: Any, checkpoint: Any, terms: Any, *args: Any, **named: Any) -> Any:
        before = {name: value.clone() for name, value in model.state_dict().items()}
        outcome = real(model, checkpoint, terms, *args, **named)
        moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
        seen.append(_Seen(named["folder"].name, moved, terms, named["config"].epochs))
        return outcome

    monkeypatch.setattr(stages, "train", train)
    return seen


@pytest.mark.parametrize("hidden", [None, 16])
def test_layer_by_layer_one_layer_moves_at_a_time(
    plan: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: int | None
) -> None:
    """A layer that is done must not be undone by the next one; epochs are those of all layers."""
    model, room = _classroom(plan(BY_LAYER, student__hidden=hidden), tmp_path / "run")
    seen = _moves(monkeypatch)
    outcomes = stages.train_stages(model, room)
    names = set(model.state_dict())
    first = {n for n in names if "encoder.layer.0." in n or "embeddings." in n}
    second = {n for n in names if "encoder.layer.1." in n}
    assert [one.name for one in seen] == [
        "student-transfer-layer-1",
        "student-transfer-layer-2",
    ]
    # Rows that occur in no text (positions, tokens) move by weight decay alone, if at all.
    assert seen[0].moved <= first
    assert {n for n in first if "encoder" in n} <= seen[0].moved
    assert seen[1].moved == second
    assert [one.epochs for one in seen] == [2, 2]
    assert [one.terms[0].layer_map for one in seen] == [{1: 2}, {2: 4}]
    assert len(outcomes) == 2
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_replacing_moves_the_layers_alone(
    plan: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embeddings and head are the teacher's until the fine-tuning."""
    model, room = _classroom(plan(THESEUS), tmp_path / "run")
    before = {name: value.clone() for name, value in room.teacher.model.state_dict().items()}
    seen = _moves(monkeypatch)
    stages.train_stages(model, room)
    assert [one.name for one in seen] == ["student-replacing"]
    assert seen[0].moved == {name for name in model.state_dict() if "encoder.layer." in name}
    for name, value in room.teacher.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.requires_grad for parameter in room.teacher.model.parameters())
    assert all("forward" not in vars(module) for module in model.modules())


def test_the_probability_is_the_schedules_number(
    plan: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probability that stays where it began is another method."""
    from limbeck.training.replacing import Replacing

    told: list[float] = []
    monkeypatch.setattr(
        Replacing,
        "__setattr__",
        lambda self, name, value: (told.append(value), object.__setattr__(self, name, value))[1],
    )
    model, room = _classroom(plan(THESEUS), tmp_path / "run")
    stages.train_stages(model, room)
    steps = len(told) - 1  # the first is where the object begins
    assert steps == 6
    assert told[1:] == pytest.approx([0.3 + 0.7 * step / (steps - 1) for step in range(steps)])


def test_the_schedule_is_gone_through_to_its_end(plan: Make, tmp_path: Path) -> None:
    """Patience would stop a student at half the way, with layers that never stood in."""
    made = plan({**THESEUS, "epochs": 12}, training__patience=1)
    model, room = _classroom(made, tmp_path / "run")
    (outcome,) = stages.train_stages(model, room)
    assert outcome.progress.step == outcome.total_steps
    assert outcome.progress.best_step == outcome.total_steps


def test_killed_stages_end_like_straight_ones(
    plan: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished stage is read, a broken one goes on, and what is drawn is drawn again."""
    made = plan({**BY_LAYER, "epochs": 2}, THESEUS)
    straight, room = _classroom(made, tmp_path / "straight")
    stages.train_stages(straight, room)
    for steps in (4, 8, 11):  # in the second layer's training, and twice while replacing
        folder = tmp_path / f"killed{steps}"
        model, room = _classroom(made, folder)
        kill_after(steps, monkeypatch)
        with pytest.raises(Killed):
            stages.train_stages(model, room)
        monkeypatch.undo()
        resumed, room = _classroom(made, folder)
        stages.train_stages(resumed, room)
        for left, right in zip(straight.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(left, right)


@pytest.mark.parametrize(
    ("stage", "settings", "message"),
    [
        (THESEUS, {"student__init": "normal"}, "embeddings and head are the teacher's"),
        (THESEUS, {"student__hidden": 16}, "cannot stand in"),
        ({**THESEUS, "layer_by_layer": True}, {}, "trained in one way"),
        ({**BY_LAYER, "terms": [{"kind": "hard"}]}, {}, "belongs to no single layer"),
        (
            {**BY_LAYER, "terms": [{**HIDDEN, "layer_map": "random"}]},
            {},
            "belongs to no single layer",
        ),
    ],
)
def test_refuses_stages_that_would_train_nothing_or_towards_nothing(
    plan: Make, stage: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    """Frozen random embeddings, or a stage without a lesson, cost hours and say nothing."""
    with pytest.raises(RecipeError, match=message):
        plan(stage, **settings)
