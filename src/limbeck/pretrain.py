"""Makes a general student: pre-trained on plain text, for any number of tasks to begin with."""

from __future__ import annotations

from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.errors import OutputError, RecipeError
from limbeck.machine import cores_or, kept_pages, threads
from limbeck.progress import say
from limbeck.run.general import plan_general
from limbeck.run.pretraining import Figures, choose_machine, load_general_teacher, pretrain_to


def pretrain(recipe: Recipe) -> Figures:
    """Pre-train the recipe's student on `data.plain` and write it to the recipe's output folder.

    The folder is a Hugging Face one: ``DistilBertForMaskedLM`` and its like where words were
    guessed, else the encoder alone. Give it to a run as `student.checkpoint`. A run that has
    `data.plain` itself pre-trains by itself, and keeps the result for others.

    Interrupted at any moment, the same call goes on from the last checkpoint.

    Args:
        recipe: Its `teacher`, `data.plain`, `student`, `pretraining`, `training` and `output`.

    Returns:
        What held-out text says of the student and its teacher.

    Raises:
        LimbeckError: For anything that the user can mend.
    """
    if recipe.student.budget is not None:
        raise RecipeError(
            "student.budget",
            "a student that is pre-trained alone has no texts and no task to be timed with",
            "Give its sizes (student.layers, student.hidden), and the budget to `limbeck distill`.",
        )
    output = Path(recipe.output)
    if output.exists() and (output.is_file() or any(output.glob("[!.]*"))):
        raise OutputError(
            str(output),
            "something is here already",
            "Choose a new folder with --output, or delete this one.",
        )
    with threads(cores_or(recipe.training.threads)), kept_pages():
        plan = plan_general(recipe, cache=Path(recipe.knowledge.folder) / "tokens")
        machine = choose_machine(plan)
        figures = pretrain_to(plan, machine, output, teacher=load_general_teacher(plan))
    say(f"{output}: give it to a run as student.checkpoint")
    return figures
