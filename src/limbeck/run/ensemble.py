"""Several teachers of one run: looked at, and refused where they cannot be mixed."""

from __future__ import annotations

from limbeck.config.recipe import Recipe, TeacherConfig
from limbeck.errors import RecipeError, TeacherError
from limbeck.tasks.known import task_of_teacher
from limbeck.tasks.task import Task
from limbeck.teacher.load import Checkpoint, look_at


def look_at_another(path: str, first: Checkpoint, task: Task) -> Checkpoint:
    """One more teacher, checked against the first.

    Raises:
        TeacherError: If it knows other labels.
    """
    other = look_at(TeacherConfig(path=path))
    task_of_teacher(other.config, task.name, where=path)
    if task.problem_type == "regression":  # whatever its one number is called
        return other
    if sorted(other.labels) != sorted(first.labels):
        odd = sorted(set(other.labels) ^ set(first.labels))
        raise TeacherError(
            path,
            f"its labels are not those of {first.path}: {', '.join(odd[:6])} are known to one of "
            "them alone",
            "Mix teachers of the same labels (their order may differ), or rename labels in "
            "config.json (id2label, label2id) where they mean the same.",
        )
    return other


def refuse_ensemble(recipe: Recipe, task: Task) -> None:
    """Refuse several teachers where their answers cannot be mixed.

    Raises:
        RecipeError: Naming the key.
    """
    if recipe.ensemble.teachers and task.reads != "texts":
        raise RecipeError(
            "ensemble.teachers",
            f"the task is {task.name}, and several teachers are mixed text by text only",
            "Name one teacher.",
        )
    if recipe.ensemble.combine == "confidence" and not task.distributes:
        raise RecipeError(
            "ensemble.combine",
            f"confidence weighs teachers by their probability of the right class, and the task is "
            f"{task.name}",
            "Use mean, or weighted.",
        )
    if recipe.ensemble.teachers and task.apart:
        raise RecipeError(
            "ensemble.teachers",
            f"the task is {task.name}, and the vectors of several teachers lie in several spaces",
            "Use one teacher.",
        )
    if recipe.ensemble.teachers and recipe.knowledge.source == "live":
        raise RecipeError(
            "knowledge.source",
            f"it is live, but {1 + len(recipe.ensemble.teachers)} teachers are to be mixed",
            "Use recorded: each teacher is asked once, under its own tokenizer.",
        )
