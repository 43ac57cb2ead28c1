"""limbeck itself: trained with the teacher asked live or recorded, recording, and its memory.

The one file of the benchmark that knows limbeck's insides; it calls them and copies none.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from limbeck.config.recipe import Recipe, StudentConfig, TeacherConfig
from limbeck.data.encode import encode
from limbeck.data.read import read_rows
from limbeck.data.texts import gather
from limbeck.knowledge.answers import Answers, LiveTeacher
from limbeck.knowledge.record import record
from limbeck.machine import kept_pages
from limbeck.run.plan import Plan, make_plan, student_encoding
from limbeck.run.recording import Teacher, load_teacher
from limbeck.student.build import build_student
from limbeck.student.plan import plan_student
from limbeck.teacher.load import load_classifier, look_at
from limbeck.training.choice import Machine, choose
from limbeck.training.lessons import Exam, Lessons, teacher_side
from limbeck.training.log import Log
from limbeck.training.loop import Outcome, train
from speed_arms.arithmetic import model_flops, product_share
from speed_arms.arm import BATCH_ROWS, MAX_TOKENS, Settings, Unit, load_model
from speed_arms.peaks import Peaks

_MEMORY_STEPS = 200


def save_student(settings: Settings) -> None:
    """Write the untrained student that every arm loads, with the teacher's dropout."""
    checkpoint = look_at(TeacherConfig(path=settings.teacher))
    dropout = checkpoint.config.hidden_dropout_prob
    wanted = StudentConfig(from_layers=settings.layers, dropout=dropout)
    plan = plan_student(wanted, checkpoint, int(checkpoint.config.vocab_size))
    built = build_student(
        plan, load_classifier(checkpoint), kept=None, sample=[], seed=0, attention="sdpa"
    )
    built.model.save_pretrained(settings.student)
    checkpoint.tokenizer.save_pretrained(settings.student)


@dataclass(frozen=True)
class _Lesson:
    """A file of rows, planned, and the teacher's answers on them."""

    plan: Plan
    answers: Answers


class Limbeck:
    """limbeck's own training loop, on answers that are asked live or were recorded."""

    def __init__(self, settings: Settings, source: Literal["live", "recorded"]) -> None:
        self.settings, self.source = settings, source
        self.memory = ExitStack()
        self.memory.enter_context(kept_pages())  # as a run of limbeck does from start to end
        self.teacher: Teacher | None = None
        self.student: Any = None
        self.units = 0

    def unit(self, rows: Path) -> Unit:
        """One epoch over the rows; reading, tokenizing and recording are not counted."""
        lesson, teacher = self._prepare(rows)
        start = time.perf_counter()
        outcome = self._train(lesson)
        call_seconds = time.perf_counter() - start
        lengths = lesson.plan.encoded.lengths
        more = {
            "call_seconds": call_seconds,
            "own_share": outcome.own_share,
            "precision": _machine(lesson.plan).precision,
            "teacher_precision": teacher.kind.precision,
            "forward_flops": self._flops(lengths, first_token=False),
            "forward_flops_first_token": self._flops(lengths, first_token=True),
        }
        return Unit(len(lengths), int(lengths.sum()), outcome.progress.seconds, more)

    def profile(self, rows: Path) -> dict[str, Any]:
        """Where the operators' time goes in one more unit, which the profiler slows down."""
        lesson, _ = self._prepare(rows)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            outcome = self._train(lesson)
        return product_share(profile, outcome.progress.seconds)

    def _flops(self, lengths: np.ndarray, *, first_token: bool) -> int:
        return model_flops(
            self.student.config, lengths.tolist(), last_layer_first_token=first_token
        )

    def _prepare(self, rows: Path) -> tuple[_Lesson, Teacher]:
        plan = _plan(self.settings, self.source, rows)
        if self.teacher is None:
            self.teacher = load_teacher(plan)
        if self.student is None:
            self.student = _student(plan, self.teacher, self.settings)
        return _Lesson(plan, _answers(plan, self.teacher)), self.teacher

    def _train(self, lesson: _Lesson) -> Outcome:
        self.units += 1
        work = Path(self.settings.work)
        folder = work / f"checkpoints-{self.units}"
        log = Log(work / f"log-{self.units}.jsonl", "student")
        outcome = _train(self.student, lesson, folder, log)
        shutil.rmtree(folder, ignore_errors=True)
        return outcome


class LimbeckRecord:
    """limbeck's recording, into a fresh folder each time.

    Its precision is chosen once, in the first unit (the warm-up), as a run of limbeck does.
    """

    def __init__(self, settings: Settings) -> None:
        self.memory = ExitStack()
        self.memory.enter_context(kept_pages())
        self.settings = settings
        self.teacher: Teacher | None = None
        self.units = 0

    def unit(self, rows: Path) -> Unit:
        """The answers on every row, tokenizing and writing them down included."""
        if self.teacher is None:
            self.teacher = load_teacher(_plan(self.settings, "recorded", rows))
        recipe = _recipe(self.settings, "recorded", rows)
        checkpoint = look_at(recipe.teacher)
        texts = gather("train", read_rows(str(rows)), str(rows), recipe.data, labels=None)
        self.units += 1
        folder = Path(self.settings.work) / f"knowledge-{self.units}"
        start = time.perf_counter()
        encoded = encode(texts, checkpoint.backend, max_tokens=MAX_TOKENS, folder=folder / "tokens")
        record(
            self.teacher.model,
            checkpoint,
            texts,
            encoded,
            teacher_fingerprint=self.teacher.fingerprint,
            kind=self.teacher.kind,
            settings=recipe.knowledge.model_copy(update={"folder": str(folder)}),
        )
        seconds = time.perf_counter() - start
        more = {"teacher_precision": self.teacher.kind.precision}
        unit = Unit(len(texts), int(encoded.lengths.sum()), seconds, more)
        shutil.rmtree(folder)
        return unit


class LimbeckMemory:
    """Reading, recording and a few training steps, and the process's peak after each.

    What grows with the rows is looked for, not what a model needs, so the teacher that the
    settings name may be tiny; the student is a copy of it.
    """

    def __init__(self, settings: Settings) -> None:
        self.memory = ExitStack()
        self.memory.enter_context(kept_pages())
        self.settings = settings

    def unit(self, rows: Path) -> Unit:
        """Everything that a run does with its training rows, training cut short."""
        start = time.perf_counter()
        with Peaks() as peaks:
            peaks.note("before")
            plan = _plan(self.settings, "recorded", rows)
            peaks.note("read and tokenized")
            teacher = load_teacher(plan)
            lesson = _Lesson(plan, _answers(plan, teacher))
            peaks.note("recorded")
            student = _student(plan, teacher, self.settings)
            with suppress(_Enough):
                _train(student, lesson, Path(self.settings.work) / "checkpoints", _ShortLog())
            peaks.note("trained")
        lengths = plan.encoded.lengths
        seconds = time.perf_counter() - start
        return Unit(len(lengths), int(lengths.sum()), seconds, peaks.noted)


class _Enough(Exception):  # noqa: N818 - nothing went wrong
    """Training has taken the steps that are wanted."""


class _ShortLog:
    """A log that ends the training after some steps: limbeck itself has no such setting."""

    def write(self, step: int, values: dict[str, Any]) -> None:
        """End the training if it has come far enough."""
        del values
        if step >= _MEMORY_STEPS:
            raise _Enough

    def cut_after(self, step: int) -> None:
        """There is nothing to cut."""


def _recipe(settings: Settings, source: str, rows: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "teacher": settings.teacher,
            "data": {
                "train": str(rows),
                "validation": settings.exam,
                "max_tokens": MAX_TOKENS,
            },
            "knowledge": {
                "folder": f"{settings.work}/knowledge",
                "source": source,
                "precision": "auto",
            },
            "student": {"from": settings.layers},
            "training": {
                "epochs": 1,
                "batch_rows": BATCH_ROWS,
                "learning_rate": settings.learning_rate,
                "evaluations_per_epoch": 1,  # at the end: the best state is the last one
                "checkpoint_steps": 10**9,
                "threads": settings.threads,
            },
            "seed": settings.seed,
            "output": f"{settings.work}/run",
        }
    )


def _plan(settings: Settings, source: str, rows: Path) -> Plan:
    return make_plan(_recipe(settings, source, rows), cache=Path(settings.work) / "tokens")


def _machine(plan: Plan) -> Machine:
    return choose(plan.recipe.training, plan.student.config, plan.encoded.lengths)


def _answers(plan: Plan, teacher: Teacher) -> Answers:
    if plan.recipe.knowledge.source == "live":
        return LiveTeacher(teacher.model, plan.teacher, plan.encoded, teacher.kind)
    return record(
        teacher.model,
        plan.teacher,
        plan.material.train.texts,
        plan.encoded,
        teacher_fingerprint=teacher.fingerprint,
        kind=teacher.kind,
        settings=plan.recipe.knowledge,
    )


def _student(plan: Plan, teacher: Teacher, settings: Settings) -> PreTrainedModel:
    """Limbeck's student, with the weights that every arm starts from."""
    attention = _machine(plan).attention
    student = build_student(
        plan.student,
        teacher.model,
        kept=None,
        sample=[],
        seed=plan.recipe.seed,
        attention=attention,
    ).model
    student.load_state_dict(load_model(settings.student).state_dict())
    return student


def _train(
    student: PreTrainedModel, lesson: _Lesson, folder: Path, log: Log | _ShortLog
) -> Outcome:
    plan = lesson.plan
    validation = plan.material.validation
    return train(
        student,
        plan.student.checkpoint,
        plan.terms,
        Lessons(
            encoded=plan.encoded,
            labels=plan.material.train.labels,
            answers=lesson.answers,
            teacher=teacher_side(plan.teacher.config),
            ids=plan.material.train.texts.ids,
        ),
        Exam(
            student_encoding(plan, "validation", cache=folder.parent / "tokens"), validation.labels
        ),
        config=plan.recipe.training,
        machine=_machine(plan),
        seed=plan.recipe.seed,
        folder=folder,
        log=log,  # pyright: ignore[reportArgumentType]
        name="distilling",
    )
