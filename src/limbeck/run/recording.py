"""The teacher, loaded and asked once: about the splits of a plan, or about texts alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import Recipe
from limbeck.data.encode import Encoded, encode
from limbeck.data.per_word import Outputs
from limbeck.data.texts import Texts
from limbeck.errors import RecipeError
from limbeck.knowledge.answers import Answers, LiveTeacher
from limbeck.knowledge.by_domain import ByDomain, asked_about
from limbeck.knowledge.given import keep_given, recorded_given
from limbeck.knowledge.in_stead import InStead
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.mixture import Mixture, Voice
from limbeck.knowledge.precision import choose_precision
from limbeck.knowledge.record import record
from limbeck.knowledge.recorded import Recorded
from limbeck.knowledge.size import judged_kind, kind_for
from limbeck.machine import cores_or, threads
from limbeck.run.apart import with_teachers_targets
from limbeck.run.black_box import BlackBox
from limbeck.run.material import task_for
from limbeck.run.objective import plan_objective
from limbeck.run.plan import Plan
from limbeck.student.plan import plan_student
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
        validation: Logits on the validation rows, float32; None where a black box says nothing of
            them, not even of some.
        test: Logits on the test rows, likewise.
    """

    train: Answers | None
    validation: Recorded | None
    test: Recorded | None

    @property
    def test_logits(self) -> Outputs | None:
        """On the test rows, if the teacher answered all of them."""
        return _whole(self.test)


def load_teacher(plan: Plan) -> Teacher:
    """The plan's teacher, its weights checked, its recording precision settled."""
    import torch

    if plan.box is not None:
        return stand_in(plan, plan.box)
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
    if plan.box is not None:
        return _given(plan, plan.box)
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
    validation, test = _whole(knowledge.validation), _whole(knowledge.test)
    if validation is None or test is None:
        return plan
    return replace(plan, material=with_teachers_targets(plan.material, validation, test))


def _whole(answers: Recorded | None) -> Outputs | None:
    """The outputs on all rows, if there is one for each."""
    if answers is None or (answers.told is not None and not answers.told.all()):
        return None
    return answers.all_logits()


def stand_in(plan: Plan, box: BlackBox) -> Teacher:
    """The encoder that a black box's student is cut from, with a new head of its answers' form.

    Its own answers mean nothing; the fingerprint is that of weights and answers together.
    """
    import torch

    names = None if plan.task.head == "vectors" else list(plan.material.names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.recipe.seed)
        model = load_classifier(plan.teacher, attention="sdpa", new_head=names, head=plan.task.head)
    stamp = f"{fingerprint(model, plan.teacher.backend)} {box.stamp}"
    return Teacher(model, stamp, replace(plan.kind, precision="float32"))


def _given(plan: Plan, box: BlackBox) -> Knowledge:
    """A black box's answers, as knowledge on disk."""

    def kept(outputs: np.ndarray | None, split: str) -> Recorded | None:
        if outputs is None:
            return None
        texts = getattr(plan.material, split).texts
        store = keep_given(outputs, texts, stamp=box.stamp, settings=plan.recipe.knowledge)
        return recorded_given(store, plan.teacher)

    validation = kept(box.validation, "validation")
    if validation is not None and validation.told is not None:
        split = plan.material.validation
        plan.task.refuse_stranger(
            validation.all_logits()[validation.told],
            split.labels[validation.told],
            plan.material.names,
            where=box.source,
        )
    test = validation if plan.material.tested_on_validation else kept(box.test, "test")
    train = kept(box.train, "train") if plan.needs_teacher else None
    return Knowledge(train, validation, test)


def _train_answers(plan: Plan, teacher: Teacher, cache: Path) -> Answers | None:
    if not plan.needs_teacher:
        return None
    if plan.domains is not None:
        return _by_domain(plan, plan.domains, teacher, cache)
    if plan.material.asked is not None:
        return _in_stead(plan, plan.material.asked, teacher, cache)
    return _about(plan, plan.material.train.texts, plan.encoded, teacher, cache)


def _in_stead(plan: Plan, asked: np.ndarray, teacher: Teacher, cache: Path) -> Answers:
    """What the teacher says of the sources, for the texts that they stand for."""
    own, places = np.unique(asked, return_inverse=True)
    texts = plan.material.train.texts.take(own)
    encoded = encode(texts, plan.teacher.backend, max_tokens=plan.max_tokens, folder=cache)
    return InStead(_about(plan, texts, encoded, teacher, cache), places)


def _about(plan: Plan, texts: Texts, encoded: Encoded, teacher: Teacher, cache: Path) -> Answers:
    """What the teacher, or several, say of training texts."""
    if plan.recipe.knowledge.source != "recorded":
        return LiveTeacher(teacher.model, plan.teacher, encoded, teacher.kind)
    first = record(
        teacher.model,
        plan.teacher,
        texts,
        encoded,
        teacher_fingerprint=teacher.fingerprint,
        kind=teacher.kind,
        settings=plan.recipe.knowledge,
    )
    if not plan.others:
        return first
    own = np.arange(len(plan.teacher.labels))
    others = [_another_voice(plan, other, texts, cache) for other in plan.others]
    return Mixture(
        [Voice(first, own), *others], plan.recipe.ensemble, plan.material.train.labels, plan.task
    )


def _by_domain(plan: Plan, domains: np.ndarray, teacher: Teacher, cache: Path) -> ByDomain:
    """What each teacher says of the rows of its domain; none is asked about another's."""
    train, voices = plan.material.train.texts, []
    for place in range(1 + len(plan.others)):
        texts = train.take(asked_about(domains, place))
        if place:
            voices.append(_another_voice(plan, plan.others[place - 1], texts, cache))
            continue
        encoded = encode(texts, plan.teacher.backend, max_tokens=plan.max_tokens, folder=cache)
        first = record(
            teacher.model,
            plan.teacher,
            texts,
            encoded,
            teacher_fingerprint=teacher.fingerprint,
            kind=teacher.kind,
            settings=plan.recipe.knowledge,
        )
        voices.append(Voice(first, np.arange(len(plan.teacher.labels))))
    return ByDomain(voices, domains, plan.task)


def _another_voice(plan: Plan, other: Checkpoint, texts: Texts, cache: Path) -> Voice:
    """What one more teacher says about training texts, under its own tokenizer."""
    model = load_classifier(other, attention="sdpa")
    stamp = fingerprint(model, other.backend)
    max_tokens = other.max_tokens(plan.max_tokens)
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
    task = task_for(teacher.config, recipe, where=teacher.path)
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
