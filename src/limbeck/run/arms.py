"""The arms of a run: the student, the same student without a teacher, the teacher in int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import Term
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
from limbeck.student.body import take_body
from limbeck.student.build import Built, build_student
from limbeck.student.narrow import sample_rows
from limbeck.student.pruned import stock_weights
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


_CONTROL_EPOCHS = 10
"""The most passes a control arm gets by itself: beyond, it only memorizes its few rows."""


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
        name: Of the arm, in the log and in checkpoints/.
        plan: The run's plan.
        terms: What this arm learns from.
        teacher: Where weights are cut from.
        answers: The teacher's answers, or None for an arm without a teacher.
        machine: Precision, attention and threads.
        run: Where checkpoints and the log go.
        cache: Where token ids are kept.
    """
    built = _build(plan, teacher, machine)
    if name == "student":
        for note in built.notes:
            say(f"  {note}")
    set_class_names(built.model.config, plan.material.names)
    # Public teachers often leave it out, and pipelines then choose softmax or sigmoid themselves.
    built.model.config.problem_type = plan.task.problem_type
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
        lessons = replace(lessons, answers=companion, companion=companion)
    title = "distilling" if name == "student" else f"training the {name} arm"
    outcome = _taught(built.model, terms, lessons, room, name, title)
    for number in range(1, len(plan.recipe.student.pruning.again) + 1):
        kept = prune_again(built.model, terms, room, number, kept)
        part = f"{name}-again-{number}"
        outcome = _taught(built.model, terms, lessons, room, part, f"{title} on")
    if kept is not None:
        notes = (*notes, _pruning_note(kept))
    tokenizer = plan.trimmed.tokenizer if plan.trimmed else plan.student.checkpoint.tokenizer
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
    return train(
        model,
        plan.student.checkpoint,
        terms,
        lessons,
        room.exam,
        config=_control_training(plan) if control else plan.recipe.training,
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
        answers=answers,
        teacher=teacher_side(plan.teacher.config),
        ids=row_ids(train_split.texts, encoded),
        rows=plan.quiz.lessons if plan.quiz is not None and name != "control" else None,
        task=plan.task,
        tokens=tokens_side(plan, teacher),
    )
    exam = Exam(student_encoding(plan, "validation", cache=cache), validation.labels, plan.task)
    return Classroom(plan, teacher, lessons, exam, machine, run, name)


def _pruning_note(kept: Kept) -> str:
    heads, neurons = (", ".join(str(len(layer)) for layer in part)
                      for part in (kept.heads, kept.neurons))  # fmt: skip
    rank = "" if kept.rank is None else f", and word embeddings of rank {kept.rank}"
    return f"pruned: {heads} heads and {neurons} neurons are left of its layers{rank}"


def _control_training(plan: Plan) -> TrainingConfig:
    """The loop's settings for the control arm: as many steps as the student takes."""
    config = plan.recipe.training
    labelled = plan.material.counts["train_rows_labelled"]
    stages = [stage_training(stage, config).epochs for stage in plan.stages]
    passes = config.epochs + sum(stages)
    steps_like_the_student = round(passes * len(plan.material.train.texts) / labelled)
    epochs = plan.recipe.evaluation.control_epochs or min(
        max(config.epochs, steps_like_the_student), max(config.epochs, _CONTROL_EPOCHS)
    )
    return config.model_copy(update={"epochs": epochs})


def _build(plan: Plan, teacher: Teacher, machine: Machine) -> Built:
    checkpoint = plan.teacher
    sample = []
    if plan.student.wants_sample:
        rows = sample_rows(plan.encoded.lengths, plan.recipe.seed)
        sample = [
            checkpoint.batch(plan.encoded, rows[start : start + 64])
            for start in range(0, len(rows), 64)
        ]
    kept = plan.trimmed.kept if plan.trimmed else None
    built = build_student(
        plan.student,
        teacher.model,
        kept=kept,
        sample=sample,
        seed=plan.recipe.seed,
        attention=machine.attention,
    )
    if plan.general is None:
        return built
    folder = pretrained_folder(plan.general, choose_machine(plan.general))
    take_body(built.model, folder, kept)
    notes = (f"body pre-trained on {plan.general.tokens:,} tokens of plain text ({folder})",)
    return Built(built.model, (*built.notes, *notes))


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
