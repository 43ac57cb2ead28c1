"""Assistants: students between the teacher and the last student, each the teacher of the next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.config.recipe import Recipe, StudentConfig, TeacherConfig
from limbeck.config.stages import AssistantConfig, EnsembleConfig, PretrainingConfig
from limbeck.progress import say
from limbeck.run.folder import RunFolder
from limbeck.run.plan import Plan, make_plan
from limbeck.run.recording import ask_teacher, judged_by, load_teacher
from limbeck.teacher.family import layer_count
from limbeck.training.choice import choose

if TYPE_CHECKING:
    from limbeck.run.material import Datasets


def source_of(plan: Plan, run: RunFolder, *, cache: Path, datasets: Datasets | None) -> Plan:
    """The plan of the last student: its teacher is the last assistant, if there is one.

    Assistants that were finished before are not made again.
    """
    recipe = plan.recipe
    if not recipe.assistants:
        return plan
    place = recipe.teacher.path
    above = layer_count(plan.teacher.config)
    below = layer_count(plan.student.config)
    for number, wanted in enumerate(recipe.assistants, start=1):
        left = len(recipe.assistants) - number + 1
        layers = assistant_layers(wanted, above, below, left)
        folder = run.path / "assistants" / str(number)
        if not folder.exists():
            say(f"assistant {number}: {layers} layers, taught by {place}")
            _make(recipe, wanted, layers, place, folder, run, cache, datasets)
        place, above = str(folder), layers
    return make_plan(_taught_by(recipe, place), cache=cache, datasets=datasets)


def assistant_layers(wanted: AssistantConfig, above: int, below: int, left: int) -> int:
    """How many layers an assistant has.

    Args:
        wanted: Its config.
        above: Layers of its teacher.
        below: Layers of the last student.
        left: Assistants still to be made, this one among them: they divide the way evenly.
    """
    match wanted.layers:
        case "all":
            return above
        case "between":
            return max(1, round(above - (above - below) / (left + 1)))
        case layers:
            return layers


def _taught_by(recipe: Recipe, place: str) -> Recipe:
    teacher = TeacherConfig(path=place)
    # Pre-training stays with the teacher that the recipe names: an assistant knows the task alone.
    general = recipe.pretraining.teacher or recipe.teacher.path
    return recipe.model_copy(
        update={
            "teacher": teacher,
            "assistants": (),
            "ensemble": EnsembleConfig(),
            "pretraining": recipe.pretraining.model_copy(update={"teacher": general}),
        }
    )


def _make(
    recipe: Recipe,
    wanted: AssistantConfig,
    layers: int,
    teacher_path: str,
    folder: Path,
    run: RunFolder,
    cache: Path,
    datasets: Datasets | None,
) -> None:
    """Train one assistant and write its folder."""
    from limbeck.run.arms import train_arm

    student = StudentConfig(
        layers=layers,
        hidden=wanted.hidden,
        heads=wanted.heads,
        intermediate=wanted.intermediate,
        init=wanted.init,
        dropout=recipe.student.dropout,
    )
    first = teacher_path == recipe.teacher.path
    own = recipe if first else _taught_by(recipe, teacher_path)
    own = own.model_copy(
        update={
            "student": student,
            "assistants": (),
            "stages": (),
            "pretraining": PretrainingConfig(),
            "data": own.data.model_copy(update={"plain": ()}),
        }
    )
    plan = make_plan(own, cache=cache, datasets=datasets)
    machine = choose(plan.recipe.training, plan.student.config, plan.encoded.lengths)
    teacher = load_teacher(plan)
    knowledge = ask_teacher(plan, teacher, cache=cache)
    plan = judged_by(plan, knowledge)
    arm = train_arm(
        f"assistant-{folder.name}", plan, plan.terms, teacher, knowledge.train, machine, run, cache
    )
    arm.save(folder)
