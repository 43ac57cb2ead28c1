"""How every run begins: planned, its machine chosen, its teacher loaded, its recipe written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.progress import say
from limbeck.run.describe import describe
from limbeck.run.folder import RunFolder
from limbeck.run.material import Datasets
from limbeck.run.plan import Plan, make_plan
from limbeck.run.recording import Teacher, load_teacher
from limbeck.training.choice import Machine, choose


@dataclass(frozen=True)
class Opened:
    """A run that may begin.

    Attributes:
        plan: What it is made from, checked.
        recipe: With every choice that was left to the machine written out.
        machine: Precision, attention and threads of its trainings.
        teacher: Loaded.
        cache: Where token ids are kept.
    """

    plan: Plan
    recipe: Recipe
    machine: Machine
    teacher: Teacher
    cache: Path


def planned(recipe: Recipe, datasets: Datasets | None) -> Plan:
    """The plan of a run, its lines said."""
    plan = make_plan(recipe, cache=cache_of(recipe), datasets=datasets)
    for line in describe(plan):
        say(line)
    return plan


def open_run(plan: Plan, run: RunFolder, *, command: str = "distill") -> Opened:
    """Load the teacher, settle what is left to the machine, and write the recipe.

    Args:
        plan: From `planned`.
        run: Its folder, claimed.
        command: That makes such a run, for the recipe's first line.

    Raises:
        OutputError: If the content of the run's files changed since it began.
    """
    machine = choose(plan.recipe.training, plan.student.config, plan.encoded.lengths)
    teacher = load_teacher(plan)
    run.hold_to(_inputs(plan, teacher))
    recipe = _with_choices(plan, machine, teacher)
    run.write_recipe(recipe, command)
    return Opened(plan, recipe, machine, teacher, cache_of(recipe))


def cache_of(recipe: Recipe) -> Path:
    """Where token ids are kept."""
    return Path(recipe.knowledge.folder) / "tokens"


def _inputs(plan: Plan, teacher: Teacher) -> dict[str, str]:
    """Fingerprints of all that the run is made from."""
    plain = {"plain": plan.general.texts.fingerprint()} if plan.general else {}
    return {**plan.material.fingerprints(), **plain, "teacher": teacher.fingerprint}


def _with_choices(plan: Plan, machine: Machine, teacher: Teacher) -> Recipe:
    """The recipe with every choice that was left to the machine written out."""
    training = plan.recipe.training.model_copy(
        update={
            "precision": machine.precision,
            "attention": machine.attention,
            "threads": machine.threads,
        }
    )
    knowledge = plan.recipe.knowledge.model_copy(update={"precision": teacher.kind.precision})
    return plan.recipe.model_copy(update={"training": training, "knowledge": knowledge})
