"""Several teachers of one run: looked at, and refused where they cannot be mixed."""

from __future__ import annotations

import numpy as np

from limbeck.config.recipe import Recipe, TeacherConfig
from limbeck.data.told import row_ids_of
from limbeck.errors import DataError, RecipeError, TeacherError
from limbeck.knowledge.by_domain import NO_DOMAIN
from limbeck.progress import say
from limbeck.run.material import Datasets, Material
from limbeck.run.objective import Objective
from limbeck.run.own_rows import rows_of
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


def domains_of(recipe: Recipe, material: Material, datasets: Datasets | None) -> np.ndarray | None:
    """Of each training row, the teacher (from 0) whose domain it is of; None without domains.

    Raises:
        RecipeError: If no column says it.
        DataError: If a teacher has no row to be asked about.
    """
    names, column = recipe.ensemble.domains, recipe.data.domain_column
    if names is None:
        return None
    if column is None:
        raise RecipeError(
            "data.domain_column",
            "this is missing, and ensemble.combine is domain: nothing says which teacher a row "
            "belongs to",
            "Name the column of the domains.",
        )
    known: dict[str, int] = {}
    said: list[str | None] = []
    for split in ("train", "unlabelled"):
        if split == "unlabelled" and not recipe.data.unlabelled and split not in (datasets or {}):
            continue
        rows = rows_of(split, recipe.data, datasets, key="data.domain_column")
        said = list(row_ids_of(rows, column))
        own = {name: place for place, name in enumerate(names)}
        known |= {
            f"{split}/{number}": own[domain]
            for number, domain in enumerate(said, start=1)
            if domain in own
        }
    domains = np.array([known.get(identity, NO_DOMAIN) for identity in material.train.texts.ids])
    for place, name in enumerate(names):
        if not (domains == place).any():
            found = sorted({str(domain) for domain in said if domain is not None})[:6]
            raise DataError(
                "ensemble.domains",
                f"no training row is of the domain {name!r}; column {column!r} has "
                f"{', '.join(found) or 'nothing'}",
                "Write domains as the column has them.",
            )
    counts = [int((domains == place).sum()) for place in range(len(names))]
    told = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    say(f"  rows by domain: {told}, of none {int((domains == NO_DOMAIN).sum()):,}")
    return domains


def refuse_parts_of_domains(recipe: Recipe, objective: Objective) -> None:
    """Refuse terms that look inside teachers of which each answers for its own rows.

    Raises:
        RecipeError: Naming the key.
    """
    if recipe.ensemble.combine == "domain" and objective.parts:
        raise RecipeError(
            "objective.terms",
            "a term looks at layers, and each domain has a teacher of its own "
            "(ensemble.combine is domain)",
            "Use terms of kind hard, logits and exits.",
        )


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
