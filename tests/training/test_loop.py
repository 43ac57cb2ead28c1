"""The loop: what must not change a trajectory does not, and a bad step stops it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.recipe import StudentConfig, TeacherConfig, TrainingConfig
from limbeck.config.terms import HardTerm, HiddenTerm, LogitsTerm, Term
from limbeck.data.encode import Encoded
from limbeck.errors import TrainingError
from limbeck.knowledge.answers import LiveTeacher
from limbeck.knowledge.kind import Kind
from limbeck.student.build import build_student
from limbeck.student.plan import plan_student
from limbeck.teacher.ask import predict_logits
from limbeck.teacher.load import load_classifier, look_at
from limbeck.teacher.parts import hidden_parts
from limbeck.training.choice import Machine
from limbeck.training.layer_maps import Depths, with_layer_maps
from limbeck.training.lessons import Exam, Lessons, teacher_side
from limbeck.training.log import Log, read_log
from limbeck.training.loop import train

TERMS: tuple[Term, ...] = (
    HardTerm(weight=0.3),
    LogitsTerm(weight=0.7),
    HiddenTerm(weight=0.5, distance="mse"),
)
MACHINE = Machine("float32", "eager", 2)


def _encoded(rows: int, seed: int, vocabulary: int) -> Encoded:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(4, 14, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = generator.integers(5, vocabulary, offsets[-1]).astype(np.int32)
    return Encoded(ids=ids, type_ids=None, offsets=offsets, cut=0, max_tokens=32)


@pytest.fixture
def school(random_teacher: Path) -> dict[str, Any]:
    """A student, its lessons (every third row unlabelled) and its exam."""
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    teacher = load_classifier(checkpoint)
    encoded = _encoded(48, 0, checkpoint.config.vocab_size)
    labels = np.random.default_rng(1).integers(0, 2, 48)
    labels[::3] = -100
    exam = _encoded(16, 2, checkpoint.config.vocab_size)
    terms = with_layer_maps(TERMS, Depths(2, 4))
    kind = Kind(parts=hidden_parts((2, 4)))

    def lessons(answers: Any = None) -> Lessons:
        live = LiveTeacher(teacher, checkpoint, encoded, kind)
        ids = [f"train/{n}" for n in range(1, 49)]
        side = teacher_side(checkpoint.config)
        return Lessons(encoded, labels, answers or live, side, ids)

    def student() -> Any:
        plan = plan_student(StudentConfig(layers=2), checkpoint, checkpoint.config.vocab_size)
        return build_student(plan, teacher, kept=None, sample=(), seed=0, attention="eager").model

    return {
        "checkpoint": checkpoint,
        "terms": terms,
        "lessons": lessons,
        "student": student,
        "exam": Exam(exam, predict_logits(teacher, checkpoint, exam).argmax(1)),
    }


def _train(school: dict[str, Any], folder: Path, *, lessons: Any = None, **config: Any) -> Any:
    settings = {"epochs": 2, "learning_rate": 1e-3, "batch_rows": 16, "log_steps": 1, **config}
    model = school["student"]()
    terms = school["terms"]
    outcome = train(
        model,
        school["checkpoint"],
        terms,
        lessons or school["lessons"](),
        school["exam"],
        config=TrainingConfig(**settings),
        machine=MACHINE,
        seed=0,
        folder=folder / "checkpoints",
        log=Log(folder / "log.jsonl", "student"),
        name="test",
    )
    losses = [line["loss"] for line in read_log(folder / "log.jsonl") if "loss" in line]
    return model, outcome, losses


def test_two_parts_train_like_one(school: dict[str, Any], tmp_path: Path) -> None:
    """Accumulation is a matter of memory; with wrong shares, half-labelled parts count double."""
    one, _, losses = _train(school, tmp_path / "one")
    two, _, parted = _train(school, tmp_path / "two", accumulate=2)
    assert parted == pytest.approx(losses, rel=1e-4)
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=2e-4, rtol=1e-3)


class _Killed(BaseException):
    """Stands for SIGKILL: nothing in the code catches it."""


def test_a_killed_training_ends_like_a_straight_one(
    school: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every interruption makes a new, unrepeatable student."""
    straight, outcome, losses = _train(school, tmp_path / "straight", checkpoint_steps=2)
    from limbeck.training import loop

    real = loop.Stepper.take
    for kill_at in (1, 3, 4, 5):
        folder = tmp_path / f"killed{kill_at}"
        taken = {"steps": 0}

        def take(
            self: Any, *args: Any, share: float, taken: dict = taken, kill_at: int = kill_at
        ) -> Any:
            if taken["steps"] == kill_at:
                raise _Killed
            taken["steps"] += 1
            return real(self, *args, share=share)

        monkeypatch.setattr(loop.Stepper, "take", take)
        with pytest.raises(_Killed):
            _train(school, folder, checkpoint_steps=2)
        monkeypatch.setattr(loop.Stepper, "take", real)
        resumed, again, resumed_losses = _train(school, folder, checkpoint_steps=2)
        assert resumed_losses == pytest.approx(losses, rel=1e-6)
        assert again.progress.best_step == outcome.progress.best_step
        for left, right in zip(straight.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(left, right)


def test_a_finished_training_is_not_taken_again(school: dict[str, Any], tmp_path: Path) -> None:
    """The control arm may still be running when the machine goes down."""
    first, outcome, _ = _train(school, tmp_path)
    second, again, losses = _train(school, tmp_path)
    assert again.progress == outcome.progress
    assert len(losses) == outcome.progress.step
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right)


def test_the_best_state_is_the_one_that_stays(school: dict[str, Any], tmp_path: Path) -> None:
    """The last state is not the one that validation chose."""
    model, outcome, _ = _train(school, tmp_path, epochs=4, evaluations_per_epoch=3)
    exam = school["exam"]
    score = (
        predict_logits(model, school["checkpoint"], exam.encoded).argmax(1) == exam.labels
    ).mean()
    assert score == outcome.progress.best_score
    assert score == max(look["score"] for look in outcome.progress.looks)


def test_patience_stops_a_training_that_gains_nothing(
    school: dict[str, Any], tmp_path: Path
) -> None:
    """Epochs that gain nothing are time lost."""
    _, outcome, _ = _train(school, tmp_path, epochs=30, learning_rate=1e-12, patience=3)
    assert outcome.progress.stopped_early
    assert outcome.progress.step < outcome.total_steps
    assert len(outcome.progress.looks) == 4


class _BrokenAnswers:
    """A teacher that answers NaN on one row."""

    told = None

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    def logits(self, rows: np.ndarray) -> torch.Tensor:
        logits = self._answers.logits(rows).clone()
        logits[torch.from_numpy(rows == 5)] = torch.nan
        return logits

    def states(self, *args: Any, **settings: Any) -> Any:
        return self._answers.states(*args, **settings)


def test_refuses_to_train_on_nan(school: dict[str, Any], tmp_path: Path) -> None:
    """One NaN step destroys every weight; the message must lead to the row."""
    lessons = school["lessons"](_BrokenAnswers(school["lessons"]().answers))
    with pytest.raises(TrainingError, match=r"(?s)logits_kl.*train/6") as caught:
        _train(school, tmp_path, lessons=lessons)
    assert "step" in caught.value.where


def test_training_leaves_the_callers_random_state_and_threads_alone(
    school: dict[str, Any], tmp_path: Path
) -> None:
    """A library that reseeds its caller breaks the caller's experiment."""
    before, count = torch.get_rng_state(), torch.get_num_threads()
    _train(school, tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == count


def test_every_parameter_learns(school: dict[str, Any], tmp_path: Path) -> None:
    """A frozen or unreached weight is a silent loss of capacity."""
    before = {name: value.clone() for name, value in school["student"]().named_parameters()}
    model, _, _ = _train(school, tmp_path)
    same = [n for n, value in model.named_parameters() if torch.equal(value, before[n])]
    assert same == []
