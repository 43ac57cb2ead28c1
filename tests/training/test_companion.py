"""A teacher that is trained along: in turn with the student, apart from the teacher, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import Bench, Killed, kill_after

from limbeck.config.terms import HardTerm, HiddenTerm, LogitsTerm, Term
from limbeck.errors import TrainingError
from limbeck.knowledge.kind import Kind
from limbeck.teacher.parts import hidden_parts
from limbeck.training.companion import LearningTeacher, Pupil, Taken
from limbeck.training.feedback import Feedback
from limbeck.training.inputs import Counted
from limbeck.training.log import read_log
from limbeck.training.mutual import Mutual
from limbeck.training.watch import Watch

TERMS: tuple[Term, ...] = (
    HardTerm(weight=0.5),
    LogitsTerm(weight=0.5, temperature=1.5),
    HiddenTerm(weight=0.2, layer_map={1: 2, 2: 4}),
)
QUIZ = np.array([1, 4, 7, 8, 10, 13])
SOURCES = ("mutual", "feedback")


def _companion(bench: Bench, source: str) -> LearningTeacher:
    reply: Any = Mutual(TERMS)
    if source == "feedback":
        reply = Feedback(TERMS, quiz=QUIZ, labels=bench.labels, rows=4, seed=3)
    return LearningTeacher(
        bench.teacher,
        bench.checkpoint,
        bench.encoded,
        bench.labels,
        reply=reply,
        kind=Kind(parts=hidden_parts((2, 4)), precision="bfloat16"),
        config=bench.config(),
        learning_rate=5e-4,
    )


def _train(bench: Bench, source: str, folder: Path, **settings: Any) -> tuple[Any, LearningTeacher]:
    model, companion = bench.student(), _companion(bench, source)
    rows = np.setdiff1d(np.arange(48), QUIZ) if source == "feedback" else None
    lessons = bench.lessons(companion, companion=companion, rows=rows)
    bench.train(model, TERMS, lessons, folder, **settings)
    return model, companion


def _weights(*models: Any) -> list[torch.Tensor]:
    return [value.clone() for model in models for value in model.state_dict().values()]


def _losses(folder: Path) -> list[dict[str, float]]:
    lines = read_log(folder / "log.jsonl")
    return [
        {n: value for n, value in line.items() if n != "arm" and not n.endswith("_per_s")}
        for line in lines
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_every_weight_of_the_copy_learns_and_none_of_the_teachers(
    bench: Bench, source: str, tmp_path: Path
) -> None:
    """Students are cut out of the teacher, and the report judges it: it must stay what it was."""
    before = _weights(bench.teacher)
    _, companion = _train(bench, source, tmp_path)
    for left, right in zip(before, _weights(bench.teacher), strict=True):
        assert torch.equal(left, right)
    for name, value in companion.model.named_parameters():
        assert not torch.equal(value, bench.teacher.get_parameter(name)), name
    assert all(parameter.grad is None for parameter in bench.teacher.parameters())


@pytest.mark.parametrize("source", SOURCES)
def test_a_killed_training_ends_like_a_straight_one(
    bench: Bench, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher that begins anew, or without its moments, ends in another student."""
    straight = _train(bench, source, tmp_path / "straight", checkpoint_steps=2)
    for steps in (1, 3, 4, 5):
        folder = tmp_path / f"killed{steps}"
        kill_after(steps, monkeypatch)
        with pytest.raises(Killed):
            _train(bench, source, folder, checkpoint_steps=2)
        monkeypatch.undo()
        model, companion = _train(bench, source, folder, checkpoint_steps=2)
        assert _losses(folder) == _losses(tmp_path / "straight")
        expected = _weights(straight[0], straight[1].model)
        for left, right in zip(expected, _weights(model, companion.model), strict=True):
            assert torch.equal(left, right)


@pytest.mark.parametrize("source", SOURCES)
def test_a_finished_training_gives_its_teacher_back(
    bench: Bench, source: str, tmp_path: Path
) -> None:
    """The report says what the teacher became, even if the run was killed after its training."""
    _, first = _train(bench, source, tmp_path)
    _, second = _train(bench, source, tmp_path)
    for left, right in zip(_weights(first.model), _weights(second.model), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("source", SOURCES)
def test_two_parts_train_like_one(bench: Bench, source: str, tmp_path: Path) -> None:
    """Accumulation is a matter of memory, for the teacher too."""
    _, one = _train(bench, source, tmp_path / "one")
    _, two = _train(bench, source, tmp_path / "two", accumulate=2)
    for left, right in zip(_weights(one.model), _weights(two.model), strict=True):
        torch.testing.assert_close(left, right, atol=2e-4, rtol=1e-3)
    for left, right in zip(_losses(tmp_path / "one"), _losses(tmp_path / "two"), strict=True):
        assert left == pytest.approx(right, rel=2e-3, abs=1e-5)


def test_every_term_of_the_teacher_is_logged(bench: Bench, tmp_path: Path) -> None:
    """A loss that is not seen cannot be doubted."""
    for source, wanted in (
        ("mutual", {"teacher_hard", "teacher_logits_kl"}),
        ("feedback", {"teacher_hard", "teacher_feedback"}),
    ):
        _train(bench, source, tmp_path / source, epochs=1)
        lines = [line for line in _losses(tmp_path / source) if "loss" in line]
        assert len(lines) == 3
        assert all(wanted <= line.keys() for line in lines)


def test_rows_kept_apart_are_in_no_batch(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiz on what was learned by heart says nothing."""
    from limbeck.training.step import Stepper

    real, seen = Stepper.take, set()

    def take(self: Any, rows: np.ndarray, *args: Any, **named: Any) -> Any:
        seen.update(rows.tolist())
        return real(self, rows, *args, **named)

    monkeypatch.setattr(Stepper, "take", take)
    _train(bench, "feedback", tmp_path)
    assert seen == set(range(48)) - set(QUIZ.tolist())


def _pupil(bench: Bench, said: torch.Tensor) -> Pupil:
    return Pupil([torch.nn.Parameter(torch.zeros(2))], lambda rows: said[: len(rows)])


def _taken(bench: Bench, rows: np.ndarray, *, rate: float = 1.0) -> Taken:
    counted = bench.lessons().count(rows, 1)
    return Taken([rows], [counted], counted, number=5, share=0.0, rate=rate)


def test_answers_are_asked_anew_after_every_step(bench: Bench) -> None:
    """Small files give the same batch again and again: its answers must not be the first ones."""
    companion, rows = _companion(bench, "mutual"), np.arange(16)
    before = companion.logits(rows).clone()
    state = companion.states(hidden_parts((4,))[0], rows, width=14, left=False).clone()
    companion.learn(
        _pupil(bench, torch.randn(16, 2)), _taken(bench, rows), Watch([""] * 48, late=False)
    )
    assert not torch.equal(companion.logits(rows), before)
    moved = companion.states(hidden_parts((4,))[0], rows, width=14, left=False)
    assert not torch.equal(moved, state)


def test_the_teachers_rate_follows_the_students_schedule(bench: Bench) -> None:
    """Warm-up and decay are the same; AdamW's first step moves each weight by the rate."""
    companion, rows = _companion(bench, "mutual"), np.arange(1, 15)
    bias = companion.model.get_parameter("classifier.bias")
    before = bias.detach().clone()
    companion.learn(
        _pupil(bench, torch.randn(16, 2)),
        _taken(bench, rows, rate=0.25),
        Watch([""] * 48, late=False),
    )
    moves = (bias.detach() - before).abs()
    torch.testing.assert_close(moves, torch.full((2,), 0.25 * 5e-4), rtol=2e-3, atol=0.0)


def test_a_broken_teacher_stops_the_training_before_it_moves(bench: Bench) -> None:
    """One NaN step destroys every weight; the message must lead to term, step and row."""
    companion, rows = _companion(bench, "mutual"), np.arange(16)
    before, said = _weights(companion.model), torch.zeros(16, 2)
    said[6] = torch.nan
    watch = Watch([f"train/{n}" for n in range(1, 49)], late=False)
    with pytest.raises(TrainingError, match=r"(?s)teacher_logits_kl.*train/7\b") as caught:
        companion.learn(_pupil(bench, said), _taken(bench, rows), watch)
    assert caught.value.where == "training, step 5"
    assert "knowledge.teacher_learning_rate" in str(caught.value)
    for left, right in zip(before, _weights(companion.model), strict=True):
        assert torch.equal(left, right)


def test_a_teacher_that_answers_nan_stops_the_student(bench: Bench, tmp_path: Path) -> None:
    """The student's own term is the first that sees it."""
    model, companion = bench.student(), _companion(bench, "mutual")
    with torch.no_grad():
        companion.model.get_parameter("classifier.bias").fill_(torch.nan)
    lessons = bench.lessons(companion, companion=companion)
    with pytest.raises(TrainingError, match=r"(?s)logits_kl.*train/"):
        bench.train(model, TERMS, lessons, tmp_path)


def test_counted_parts_weigh_by_what_they_hold() -> None:
    """A part with few labels must not count like one with many."""
    terms = (HardTerm(weight=1.0), LogitsTerm(weight=1.0))
    reply = Mutual(terms)
    parts = [np.arange(3), np.arange(3, 4)]
    counted = [Counted(3, 3, 1, 9, 27), Counted(1, 1, 1, 3, 9)]
    taken = Taken(parts, counted, Counted(4, 4, 2, 12, 36), number=1, share=0.0, rate=1.0)
    reply.after(Pupil([], lambda rows: torch.zeros(len(rows), 2)), taken)
    from tests.training.test_mutual import inputs_of

    inputs = inputs_of(torch.zeros(3, 2), torch.tensor([-100, 0, -100]), reply.said(0))
    assert [term.share for term in reply.weigh(inputs, taken, 0)] == [0.5, 0.75]
