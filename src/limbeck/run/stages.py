"""The trainings before a student's last one: on layers, by replacing, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.config.recipe import TrainingConfig
from limbeck.config.schedule import number_at
from limbeck.config.stages import Stage
from limbeck.config.terms import ExitsTerm, HardTerm, LogitsTerm, Term
from limbeck.run.folder import RunFolder
from limbeck.run.objective import stage_training
from limbeck.run.plan import Plan
from limbeck.run.recording import Teacher
from limbeck.teacher.family import embedding_module, layer_count, layer_modules
from limbeck.training.choice import Machine
from limbeck.training.frozen import only
from limbeck.training.lessons import Exam, Lessons
from limbeck.training.log import Log
from limbeck.training.loop import Outcome, train
from limbeck.training.replacing import standing_in

if TYPE_CHECKING:
    from torch import nn
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
    teaches_head = any(isinstance(term, HardTerm | LogitsTerm | ExitsTerm) for term in terms)
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
    """MobileBERT's progressive transfer: one layer learns, those below it are done.

    Reference:
        Sun et al. MobileBERT, 2020, section 3.5. https://arxiv.org/abs/2004.02984
    """
    family = room.plan.student.checkpoint.family
    modules = layer_modules(model, family)
    layers = layer_count(model.config)
    whole = stage_training(stage, room.plan.recipe.training)
    # Each layer has its share of the epochs, and at least one.
    config = whole.model_copy(update={"epochs": max(1, round(whole.epochs / layers))})
    outcomes = []
    for layer in range(1, layers + 1):
        terms = [one for one in (_at(term, layer) for term in stage.terms) if one is not None]
        if not terms:
            continue
        learning: list[nn.Module] = [modules[layer - 1]]
        if layer == 1:
            learning.append(embedding_module(model, family))
        with only(model, learning):
            part = f"-layer-{layer}"
            outcomes.append(_take(model, terms, stage, room, part=part, config=config))
    return outcomes


def _at(term: Term, layer: int) -> Term | None:
    """The term for one student layer alone, or None if it does not look at it."""
    layer_map = getattr(term, "layer_map", None)
    if not isinstance(layer_map, dict):
        return None
    if layer not in layer_map:
        return None
    return term.model_copy(update={"layer_map": {layer: layer_map[layer]}})
