"""A tiny class: a teacher of 4 layers, students cut out of it, 48 rows and an exam."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from limbeck.config.recipe import StudentConfig, TeacherConfig, TrainingConfig
from limbeck.config.terms import Term
from limbeck.data.encode import Encoded
from limbeck.training.choice import Machine

if TYPE_CHECKING:
    from limbeck.training.lessons import Lessons

ROWS = 48


def random_rows(rows: int, seed: int, vocabulary: int) -> Encoded:
    """Rows of random tokens, 4 to 13 of them."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(4, 14, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = generator.integers(5, vocabulary, offsets[-1]).astype(np.int32)
    return Encoded(ids=ids, type_ids=None, offsets=offsets, cut=0, max_tokens=32)


@dataclass
class Bench:
    """Teacher, rows and labels (every third row has none)."""

    checkpoint: Any
    teacher: Any
    encoded: Encoded
    labels: np.ndarray
    exam: Any

    def student(self, layers: int = 2) -> Any:
        """A student cut out of the teacher."""
        from limbeck.student.build import build_student
        from limbeck.student.plan import plan_student

        wanted = StudentConfig(layers=layers)
        plan = plan_student(wanted, self.checkpoint, self.checkpoint.config.vocab_size)
        built = build_student(plan, self.teacher, kept=None, sample=(), seed=0, attention="eager")
        return built.model

    def lessons(self, answers: Any = None, **settings: Any) -> Lessons:
        """The rows, with these answers of the teacher."""
        from limbeck.training.lessons import Lessons, teacher_side

        ids = [f"train/{n}" for n in range(1, ROWS + 1)]
        side = teacher_side(self.checkpoint.config)
        return Lessons(self.encoded, self.labels, answers, side, ids, **settings)

    def config(self, **settings: Any) -> TrainingConfig:
        """The loop's settings: 2 epochs of 3 batches."""
        return TrainingConfig(
            **{"epochs": 2, "learning_rate": 1e-3, "batch_rows": 16, "log_steps": 1, **settings}
        )

    def train(
        self,
        model: Any,
        terms: Sequence[Term],
        lessons: Lessons,
        folder: Path,
        *,
        before_step: Any = None,
        **settings: Any,
    ) -> Any:
        """Train `model` in place."""
        from limbeck.training.log import Log
        from limbeck.training.loop import train

        return train(
            model,
            self.checkpoint,
            terms,
            lessons,
            self.exam,
            config=self.config(**settings),
            machine=Machine("float32", "eager", 1),
            seed=0,
            folder=folder / "checkpoints",
            log=Log(folder / "log.jsonl", "student"),
            name="test",
            before_step=before_step,
        )


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code catches it."""


def kill_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training die after so many steps; `monkeypatch.undo` ends it."""
    from limbeck.training.step import Stepper

    real, taken = Stepper.take, iter(range(steps))

    def take(self: Any, *args: Any, **named: Any) -> Any:
        if next(taken, None) is None:
            raise Killed
        return real(self, *args, **named)

    monkeypatch.setattr(Stepper, "take", take)


@pytest.fixture
def bench(random_teacher: Path) -> Bench:
    """The tiny class."""
    from limbeck.teacher.ask import predict_logits
    from limbeck.teacher.load import load_classifier, look_at
    from limbeck.training.lessons import Exam

    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    teacher = load_classifier(checkpoint, attention="sdpa")
    vocabulary = checkpoint.config.vocab_size
    labels = np.random.default_rng(1).integers(0, 2, ROWS)
    labels[::3] = -100
    exam = random_rows(16, 2, vocabulary)
    answers = predict_logits(teacher, checkpoint, exam).argmax(1)
    return Bench(checkpoint, teacher, random_rows(ROWS, 0, vocabulary), labels, Exam(exam, answers))
