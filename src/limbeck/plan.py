"""What a budget becomes on this machine, before anything is trained: `limbeck plan`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.errors import RecipeError
from limbeck.machine import cores_or, threads
from limbeck.run.budget import BudgetPlan, plan_budget
from limbeck.run.material import Datasets, task_for
from limbeck.run.plan import gather
from limbeck.teacher.load import look_at


def plan(recipe: Recipe, *, datasets: Datasets | None = None) -> BudgetPlan:
    """The structure that `distill` would make for the recipe's budget, and its rivals.

    Reads config and tokenizer of the teacher and the texts, no weights. What this machine measured
    is kept below the knowledge folder; nothing else is written.

    Args:
        recipe: With `student.budget`.
        datasets: Splits as `datasets.Dataset` objects, as for `distill`.

    Raises:
        LimbeckError: If there is no budget, if it cannot be met, or if its texts cannot be read.
    """
    if recipe.student.budget is None:
        raise RecipeError(
            "student.budget", "there is none to plan for", 'Give one: --budget "latency<=1ms".'
        )
    teacher = look_at(recipe.teacher)
    task = task_for(teacher.config, recipe, datasets, where=teacher.path)
    with tempfile.TemporaryDirectory() as folder, threads(cores_or(recipe.training.threads)):
        cache = Path(folder)
        material, encoded = gather(recipe, teacher, task, cache, datasets)
        return plan_budget(recipe, teacher, task, material, encoded, cache=cache)
