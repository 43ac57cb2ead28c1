"""The teacher, loaded and asked once: about the splits of a plan, or about texts alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import Recipe
from limbeck.data.encode import encode
from limbeck.errors import RecipeError
from limbeck.knowledge.answers import Answers, LiveTeacher
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.mixture import Mixture, Voice
from limbeck.knowledge.precision import choose_precision
from limbeck.knowledge.record import record
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.size import judged_kind, kind_for
from limbeck.machine import cores_or, threads
from limbeck.run.apart import with_teachers_targets
from limbeck.run.objective import plan_objective
from limbeck.run.plan import Plan
from limbeck.student.plan import plan_student
from limbeck.tasks.known import task_of_teacher
from limbeck.tasks.reading import read_texts
from limbeck.teacher.load import (
    Checkpoint,
    fingerprint,
    load_classifier,
    look_at,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Teacher:
    """A loaded teacher.

    Attributes:
        model: In eval mode, float32.
        fingerprint: Hash of weights, architecture and tokenizer.
        kind: What is recorded of it on the training texts, its precision settled.
    """

    model: PreTrainedModel
    fingerprint: str
    kind: Kind


@dataclass(frozen=True)
class Knowledge:
    """The teacher's answers.

    Attributes:
        train: On the training texts; None if no term looks at the teacher.
        validation: Logits on the validation rows, float32.
        test: Logits on the test rows, float32.
    """

    train: Answers | None
    validation: Recorded
    test: Recorded


def load_teacher(plan: Plan) -> Teacher:
    """The plan's teacher, its weights checked, its recording precision settled."""
    import torch

    model = load_classifier(plan.teacher, attention="sdpa")  # without gradients the faster one
    stamp = fingerprint(model, plan.teacher.backend)
    if torch.cuda.is_available():
        model.to("cuda")  # pyright: ignore[reportArgumentType]
    precision = choose_precision(
        model,
        plan.teacher,
        plan.encoded,
        plan.recipe.knowledge,
        teacher_fingerprint=stamp,
    )
    return Teacher(model, stamp, replace(plan.kind, precision=precision))


def ask_teacher(plan: Plan, teacher: Teacher, *, cache: Path) -> Knowledge:
    """Record what the teacher says about validation, test and training texts.

    Validation comes first: it shows at once whether labels and teacher belong together.

    Raises:
        TeacherError: If the labels fit the teacher far better in another order.
    """
    validation = _logits(plan, teacher, "validation", cache)
    plan.task.refuse_stranger(
        validation.all_logits(),
        plan.material.validation.labels,
        plan.material.names,
        where=plan.teacher.path,
    )
    test = validation
    if not plan.material.tested_on_validation:
        test = _logits(plan, teacher, "test", cache)
    return Knowledge(_train_answers(plan, teacher, cache), validation, test)


def judged_by(plan: Plan, knowledge: Knowledge) -> Plan:
    """The plan with the teacher's answers as targets of what is judged, where the task says so."""
    asked = (knowledge.validation.all_logits(), knowledge.test.all_logits())
    return replace(plan, material=with_teachers_targets(plan.material, *asked))


def _train_answers(plan: Plan, teacher: Teacher, cache: Path) -> Answers | None:
    if not plan.needs_teacher:
        return None
    if plan.recipe.knowledge.source != "recorded":
        return LiveTeacher(teacher.model, plan.teacher, plan.encoded, teacher.kind)
    first = record(
        teacher.model,
        plan.teacher,
        plan.material.train.texts,
        plan.encoded,
        teacher_fingerprint=teacher.fingerprint,
        kind=teacher.kind,
        settings=plan.recipe.knowledge,
    )
    if not plan.others:
        return first
    own = np.arange(len(plan.teacher.labels))
    others = [_another_voice(plan, other, cache) for other in plan.others]
    return Mixture(
        [Voice(first, own), *others], plan.recipe.ensemble, plan.material.train.labels, plan.task
    )


def _another_voice(plan: Plan, other: Checkpoint, cache: Path) -> Voice:
    """What one more teacher says about the training texts, under its own tokenizer."""
    model = load_classifier(other, attention="sdpa")
    stamp = fingerprint(model, other.backend)
    max_tokens = other.max_tokens(plan.max_tokens)
    texts = plan.material.train.texts
    encoded = encode(texts, other.backend, max_tokens=max_tokens, folder=cache)
    settings = plan.recipe.knowledge
    precision = choose_precision(model, other, encoded, settings, teacher_fingerprint=stamp)
    answers = record(
        model,
        other,
        texts,
        encoded,
        teacher_fingerprint=stamp,
        kind=Kind(precision=precision),
        settings=settings,
    )
    return Voice(answers, _order(other, plan))


def _order(other: Checkpoint, plan: Plan) -> np.ndarray:
    """For each output of the first teacher, the other's index of it."""
    if plan.task.problem_type == "regression":  # one number, whatever it is called
        return np.zeros(1, dtype=np.int64)
    return np.array([other.labels.index(label) for label in plan.teacher.labels])


def _logits(plan: Plan, teacher: Teacher, split: str, cache: Path) -> Recorded:
    """Float32 logits of a split that is judged: its score must not depend on the precision."""
    texts = getattr(plan.material, split).texts
    encoded = encode(texts, plan.teacher.backend, max_tokens=plan.max_tokens, folder=cache)
    return record(
        teacher.model,
        plan.teacher,
        texts,
        encoded,
        teacher_fingerprint=teacher.fingerprint,
        kind=judged_kind(plan.teacher),
        settings=plan.recipe.knowledge,
    )


def record_texts(recipe: Recipe) -> Path:
    """Ask the recipe's teacher about the texts of `data.train`; labels are not read.

    A later `distill` finds these answers if it works on the same rows: the whole file, with the
    same cleaning and cut.

    Returns:
        The folder of the answers.
    """
    if recipe.data.train is None:
        raise RecipeError("data.train", "this is missing", "Name the texts: --train texts.jsonl.")
    teacher = look_at(recipe.teacher)
    task = task_of_teacher(teacher.config, recipe.task, where=teacher.path)
    source = recipe.data.train
    folder = Path(recipe.knowledge.folder)
    texts = read_texts("train", source, recipe.data, task, labels=False, folder=folder)
    encoded = encode(
        texts,
        teacher.backend,
        max_tokens=teacher.max_tokens(recipe.data.max_tokens),
        folder=folder / "tokens",
    )
    student = plan_student(recipe.student, teacher, int(teacher.config.vocab_size), head=task.head)
    parts = plan_objective(recipe, student, teacher, task).parts
    with threads(cores_or(recipe.training.threads)):
        model = load_classifier(teacher, attention="sdpa")
        stamp = fingerprint(model, teacher.backend)
        precision = choose_precision(
            model, teacher, encoded, recipe.knowledge, teacher_fingerprint=stamp
        )
        answers = record(
            model,
            teacher,
            texts,
            encoded,
            teacher_fingerprint=stamp,
            kind=kind_for(parts, teacher, recipe.knowledge, precision=precision),
            settings=recipe.knowledge,
        )
    return answers.place
