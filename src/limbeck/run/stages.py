"""The trainings before a student's last one: on layers, by replacing, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.config.recipe import TrainingConfig
from limbeck.config.schedule import number_at
from limbeck.config.stages import Stage
from limbeck.config.terms import ExitsTerm, HardTerm, LogitsTerm, Term, VectorsTerm
from limbeck.run.folder import RunFolder
from limbeck.run.objective import stage_training
from limbeck.run.plan import Plan
from limbeck.run.recording import Teacher
from limbeck.teacher.family import layer_modules
from limbeck.training.by_layer import layer_tasks, layer_training
from limbeck.training.choice import Machine
from limbeck.training.frozen import only
from limbeck.training.lessons import Exam, Lessons
from limbeck.training.log import Log
from limbeck.training.loop import Outcome, train
from limbeck.training.replacing import standing_in

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Classroom:
    """What every stage of one arm shares."""

    plan: Plan
    teacher: Teacher
    lessons: Lessons
    exam: Exam
    machine: Machine
    run: RunFolder
    arm: str


def train_stages(model: PreTrainedModel, room: Classroom) -> list[Outcome]:
    """Train `model` in place on every stage of the plan, one after the other.

    Stages that were finished before are not taken again: their states are read.
    """
    outcomes = []
    for stage in room.plan.stages:
        if stage.layer_by_layer:
            outcomes.extend(_layer_by_layer(model, stage, room))
        elif stage.replacing is not None:
            outcomes.append(_replacing(model, stage, room))
        else:
            outcomes.append(_take(model, stage.terms, stage, room))
    return outcomes


def _take(
    model: PreTrainedModel,
    terms: Sequence[Term],
    stage: Stage,
    room: Classroom,
    *,
    part: str = "",
    config: TrainingConfig | None = None,
) -> Outcome:
    """One training. The head is examined where a term teaches it; else the last state is kept."""
    name = f"{room.arm}-{stage.name}{part}"
    of_answers = HardTerm | LogitsTerm | VectorsTerm | ExitsTerm
    teaches_head = any(isinstance(term, of_answers) for term in terms)
    return train(
        model,
        room.plan.student.checkpoint,
        terms,
        room.lessons,
        room.exam if teaches_head else None,
        config=config or stage_training(stage, room.plan.recipe.training),
        machine=room.machine,
        seed=room.plan.recipe.seed,
        folder=room.run.checkpoints / name,
        log=Log(room.run.log, name),
        name=f"{stage.name}{part.replace('-', ' ')} ({room.arm})",
    )


def _replacing(model: PreTrainedModel, stage: Stage, room: Classroom) -> Outcome:
    """BERT-of-Theseus's first phase: the layers learn, embeddings and head are the teacher's.

    Nobody is examined: the schedule is gone through to its end, and the last state is kept.
    """
    family = room.plan.student.checkpoint.family
    probability = stage.replacing
    assert probability is not None
    with ExitStack() as stack:
        stack.enter_context(only(model, layer_modules(model, family)))
        replacing = stack.enter_context(standing_in(model, room.teacher.model, family))

        def before_step(share: float) -> None:
            replacing.probability = number_at(probability, share)

        name = f"{room.arm}-{stage.name}"
        return train(
            model,
            room.plan.student.checkpoint,
            stage.terms,
            room.lessons,
            None,
            config=stage_training(stage, room.plan.recipe.training),
            machine=room.machine,
            seed=room.plan.recipe.seed,
            folder=room.run.checkpoints / name,
            log=Log(room.run.log, name),
            name=f"{stage.name} ({room.arm})",
            before_step=before_step,
        )


def _layer_by_layer(model: PreTrainedModel, stage: Stage, room: Classroom) -> list[Outcome]:
    """One layer learns, those below it are done."""
    tasks = layer_tasks(model, room.plan.student.checkpoint.family, stage.terms)
    config = layer_training(stage_training(stage, room.plan.recipe.training), len(tasks))
    outcomes = []
    for task in tasks:
        with only(model, task.learning):
            outcomes.append(_take(model, task.terms, stage, room, part=task.part, config=config))
    return outcomes
