"""The arms of a run: the student, the same student without a teacher, the teacher in int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import Term
from limbeck.data.encode import encode
from limbeck.data.encoded import Encoded
from limbeck.data.per_word import Outputs
from limbeck.data.targets import row_targets
from limbeck.data.window_rows import row_ids
from limbeck.evaluation.measure import Contender
from limbeck.export.onnx_files import export_variants
from limbeck.files import size_mb, whole_folder
from limbeck.knowledge.answers import Answers
from limbeck.progress import say
from limbeck.run.folder import RunFolder
from limbeck.run.objective import stage_training
from limbeck.run.online import companion_note, companion_of
from limbeck.run.plan import Plan, student_encoding
from limbeck.run.pretraining import choose_machine, pretrained_folder
from limbeck.run.prose import samples_of, tokens_side
from limbeck.run.pruning import prune_again, prune_in_rounds
from limbeck.run.recording import Teacher
from limbeck.run.stages import Classroom, train_stages
from limbeck.runtime.onnx_model import OnnxAnswerer
from limbeck.runtime.transformers_model import from_folder
from limbeck.student.body import take_body
from limbeck.student.build import Built, build_student
from limbeck.student.narrow import sample_rows
from limbeck.student.pruned import stock_weights
from limbeck.student.translated import translated_model
from limbeck.tasks.settling import mark
from limbeck.teacher.family import Family
from limbeck.teacher.load import quiet_transformers, set_class_names
from limbeck.teacher.sentence_encoder import SentenceEncoder
from limbeck.teacher.thin import Kept, save_thin
from limbeck.training.choice import Machine
from limbeck.training.lessons import Exam, Lessons, teacher_side
from limbeck.training.log import Log
from limbeck.training.loop import Outcome, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


OWN_TEXTS = "own_texts"
"""The arm that is taught like the student, without unlabelled texts and altered copies."""
_CONTROL_EPOCHS = 10
"""The most passes an arm on fewer rows gets by itself: beyond, it only memorizes them."""


@dataclass(frozen=True)
class Arm:
    """A trained model with its best state, and how it came to it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    outcome: Outcome
    notes: tuple[str, ...]
    family: Family
    kept: Kept | None = None

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder that transformers loads without limbeck.

        What was pruned stands there as zeros: no stock config knows layers with fewer heads.
        """
        with whole_folder(folder) as part, quiet_transformers():
            if self.kept is None:
                self.model.save_pretrained(part)
            else:
                stock = self._stock()
                stock.load_state_dict(stock_weights(self.model, self.family, self.kept, stock))
                stock.save_pretrained(part)
            self.tokenizer.save_pretrained(part)

    def save_thin(self, folder: Path) -> None:
        """Write the pruned model as small as it is; limbeck loads it."""
        assert self.kept is not None
        with whole_folder(folder) as part:
            if isinstance(self.model, SentenceEncoder):
                self.model.save_thin(part, self.kept)
            else:
                save_thin(self.model, self.kept, part)
            self.tokenizer.save_pretrained(part)

    def _stock(self) -> PreTrainedModel:
        """A whole model of the same config, its weights new."""
        if isinstance(self.model, SentenceEncoder):
            return cast("PreTrainedModel", SentenceEncoder.from_config(self.model.config))
        return type(self.model)(self.model.config)


def train_arm(
    name: str,
    plan: Plan,
    terms: Sequence[Term],
    teacher: Teacher,
    answers: Answers | None,
    machine: Machine,
    run: RunFolder,
    cache: Path,
) -> Arm:
    """Build the plan's student and train it on `terms`: the one way in which arms differ.

    Args:
        name: Of the arm, in the log and in checkpoints/. ``control`` has no stages; `OWN_TEXTS`
            learns from the training rows without what was added to them.
        plan: The run's plan.
        terms: What this arm learns from.
        teacher: Where weights are cut from.
        answers: The teacher's answers, or None for an arm without a teacher.
        machine: Precision, attention and threads.
        run: Where checkpoints and the log go.
        cache: Where token ids are kept.
    """
    built = _build(plan, teacher, machine, cache)
    if name == "student":
        for note in built.notes:
            say(f"  {note}")
    set_class_names(built.model.config, plan.material.names)
    mark(built.model.config, plan.task)
    companion, notes = None, built.notes
    room = classroom(name, plan, teacher, answers, machine, run, cache)
    lessons = room.lessons
    if name != "control":
        train_stages(built.model, room)
    kept = prune_in_rounds(built.model, terms, room)
    if name != "control":
        companion = companion_of(plan, teacher, terms)
        lessons = replace(lessons, samples=samples_of(plan, teacher))
    if companion is not None:
        lessons = replace(lessons, answers=_understood(plan, companion), companion=companion)
    title = "distilling" if name == "student" else f"training the {name} arm"
    outcome = _taught(built.model, terms, lessons, room, name, title)
    for number in range(1, len(plan.recipe.student.pruning.again) + 1):
        kept = prune_again(built.model, terms, room, number, kept)
        part = f"{name}-again-{number}"
        outcome = _taught(built.model, terms, lessons, room, part, f"{title} on")
    if kept is not None:
        notes = (*notes, _pruning_note(kept))
    tokenizer = plan.student.checkpoint.tokenizer
    if companion is not None:
        notes = (*notes, companion_note(plan, teacher, companion, cache=cache))
    family = plan.student.checkpoint.family
    return Arm(built.model.cpu(), tokenizer, outcome, notes, family, kept)


def _taught(
    model: PreTrainedModel,
    terms: Sequence[Term],
    lessons: Lessons,
    room: Classroom,
    name: str,
    title: str,
) -> Outcome:
    """The training of an arm on its terms, or one more after a cut."""
    plan, control = room.plan, room.arm == "control"
    fewer = control or room.arm == OWN_TEXTS
    return train(
        model,
        plan.student.checkpoint,
        terms,
        lessons,
        room.exam,
        config=_training_on_fewer(plan, room.arm) if fewer else plan.recipe.training,
        machine=room.machine,
        seed=plan.recipe.seed,
        folder=room.run.checkpoints / name,
        log=Log(room.run.log, name),
        name=title,
        balance="none" if control else plan.recipe.objective.balance,
    )


def classroom(
    name: str,
    plan: Plan,
    teacher: Teacher,
    answers: Answers | None,
    machine: Machine,
    run: RunFolder,
    cache: Path,
) -> Classroom:
    """What every training of one arm shares; arguments as for `train_arm`."""
    train_split, validation = plan.material.train, plan.material.validation
    encoded = student_encoding(plan, "train", cache=cache)
    lessons = Lessons(
        encoded=encoded if answers is None else encoded.where_also(plan.encoded),
        labels=row_targets(train_split.labels, encoded),
        answers=None if answers is None else _understood(plan, answers),
        teacher=teacher_side(plan.teacher.config),
        ids=row_ids(train_split.texts, encoded),
        rows=_rows_of(name, plan, encoded),
        task=plan.task,
        tokens=tokens_side(plan, teacher),
    )
    exam = Exam(student_encoding(plan, "validation", cache=cache), validation.labels, plan.task)
    return Classroom(plan, teacher, lessons, exam, machine, run, name)


def _understood(plan: Plan, answers: Answers) -> Answers:
    """The teacher's answers, of the student's tokens."""
    return answers if plan.crossed is None else plan.crossed.carried(answers)


def _pruning_note(kept: Kept) -> str:
    heads, neurons = (", ".join(str(len(layer)) for layer in part)
                      for part in (kept.heads, kept.neurons))  # fmt: skip
    rank = "" if kept.rank is None else f", and word embeddings of rank {kept.rank}"
    return f"pruned: {heads} heads and {neurons} neurons are left of its layers{rank}"


def _rows_of(name: str, plan: Plan, encoded: Encoded) -> np.ndarray | None:
    """The rows that an arm learns from, rising; None for all."""
    rows = plan.quiz.lessons if plan.quiz is not None and name != "control" else None
    if name != OWN_TEXTS:
        return rows
    own = len(plan.material.train.texts) - plan.material.added
    starts = encoded.lists if encoded.groups is None else encoded.groups.offsets
    last = own if starts is None else int(starts[own])
    return np.arange(last) if rows is None else rows[rows < last]


def _training_on_fewer(plan: Plan, arm: str) -> TrainingConfig:
    """The loop's settings of an arm with fewer rows: as many steps as the student takes."""
    config = plan.recipe.training
    rows = plan.material.counts["train_rows_labelled"]
    if arm == OWN_TEXTS:
        rows = len(plan.material.train.texts) - plan.material.added
    stages = [stage_training(stage, config).epochs for stage in plan.stages]
    passes = config.epochs + sum(stages)
    steps_like_the_student = round(passes * len(plan.material.train.texts) / rows)
    epochs = plan.recipe.evaluation.control_epochs or min(
        max(config.epochs, steps_like_the_student), max(config.epochs, _CONTROL_EPOCHS)
    )
    return config.model_copy(update={"epochs": epochs})


def _build(plan: Plan, teacher: Teacher, machine: Machine, cache: Path) -> Built:
    checkpoint, model, encoded = plan.teacher, teacher.model, plan.encoded
    if plan.own is not None:
        model = translated_model(model, checkpoint, plan.own)
        checkpoint = plan.own.translated
        longest = checkpoint.max_tokens(plan.max_tokens)
        texts = plan.material.train.texts
        encoded = encode(texts, checkpoint.backend, max_tokens=longest, folder=cache)
    sample = []
    if plan.student.wants_sample:
        rows = sample_rows(encoded.lengths, plan.recipe.seed)
        sample = [
            checkpoint.batch(encoded, rows[start : start + 64]) for start in range(0, len(rows), 64)
        ]
    kept = plan.trimmed.kept if plan.trimmed else None
    built = build_student(
        plan.student,
        model,
        kept=kept,
        sample=sample,
        seed=plan.recipe.seed,
        attention=machine.attention,
    )
    if plan.lengths is not None:
        built = Built(built.model, (*built.notes, plan.lengths.in_words()))
    if plan.general is None:
        return built
    folder = pretrained_folder(plan.general, choose_machine(plan.general))
    take_body(built.model, folder, kept)
    notes = (f"body pre-trained on {plan.general.tokens:,} tokens of plain text ({folder})",)
    return Built(built.model, (*built.notes, *notes))


def teacher_contender(plan: Plan, test_answers: Outputs | None) -> list[Contender]:
    """The teacher as it stands: a model, what a file says of the test rows, or nothing.

    Args:
        plan: The run's.
        test_answers: Its outputs on all test rows, or None.
    """
    if plan.box is not None:
        return [] if test_answers is None else [
            Contender("teacher", "a file", None, None, None, None, None, None, test_answers)
        ]  # fmt: skip
    counts = plan.teacher_counts
    teacher = from_folder(plan.recipe.teacher, max_tokens=plan.max_tokens)
    return [
        Contender(
            name="teacher",
            runtime="transformers",
            answerer=teacher,
            in_bulk=teacher,
            place=plan.teacher.path if plan.recipe.teacher.pooling is None else None,
            size_mb=counts.float32_mb,
            parameters=counts.parameters,
            encoder_parameters=counts.encoder_parameters,
            logits=test_answers,
        )
    ]


def teacher_int8(plan: Plan, run: RunFolder) -> Contender | None:
    """The control arm that costs no training: the teacher's own int8 export, or None."""
    made = export_variants(
        plan.recipe.teacher,
        run.checkpoints / "teacher_int8",
        max_tokens=plan.max_tokens,
        clean=plan.recipe.data.clean,
        task=plan.task,
        paired=plan.material.train.texts.paired,
        names=("onnx", "onnx_int8"),
        title="exporting the teacher",
    )
    int8 = made[-1]
    if int8.failure is not None:
        say(f"  the teacher's int8 export failed: {int8.failure}")
        return None
    return Contender(
        name="teacher_int8",
        runtime="onnx_int8",
        answerer=OnnxAnswerer(int8.path),
        in_bulk=OnnxAnswerer(int8.path, bulk=True),
        place=str(int8.path),
        size_mb=size_mb(int8.path),
        parameters=plan.teacher_counts.parameters,
        encoder_parameters=plan.teacher_counts.encoder_parameters,
    )
