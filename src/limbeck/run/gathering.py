"""The texts that a recipe names, read as its task wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.run.apart import gather_apart
from limbeck.run.material import Datasets, Material, gather_material
from limbeck.run.translations import gather_translations
from limbeck.tasks.task import Task


def gather_texts(
    recipe: Recipe,
    labels: Sequence[str] | None,
    task: Task,
    *,
    cache: Path,
    datasets: Datasets | None,
) -> Material:
    """The run's texts.

    Args:
        recipe: Its data, seed and folder of knowledge.
        labels: The outputs' names in the teacher's order, or None to take them from the data.
        task: What is learned.
        cache: On whose disk texts are kept while the process needs them.
        datasets: Splits given as objects.
    """
    data, knowledge = recipe.data, Path(recipe.knowledge.folder)
    if data.parallel is not None:
        return gather_translations(
            data, data.parallel, task=task, seed=recipe.seed, datasets=datasets, folder=cache
        )
    if task.apart:
        return gather_apart(
            data,
            task=task,
            seed=recipe.seed,
            datasets=datasets,
            folder=cache,
            knowledge=knowledge,
        )
    return gather_material(
        data,
        labels,
        task=task,
        seed=recipe.seed,
        datasets=datasets,
        folder=cache,
        knowledge=knowledge,
    )
