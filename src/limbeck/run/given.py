"""Answers of a file, kept as knowledge: for any number of students, and to be read by others."""

from __future__ import annotations

from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.errors import RecipeError
from limbeck.knowledge.given import keep_given
from limbeck.progress import say
from limbeck.run.black_box import Answers, read_files
from limbeck.run.material import first_row
from limbeck.tasks.known import task_of_answers
from limbeck.tasks.reading import read_texts


def record_given(recipe: Recipe) -> Path:
    """Write what `teacher.answers.train` says of the texts of `data.train` into a folder.

    The folder is one like any other: shards with ids, text hashes and logits (or vectors), and a
    manifest. `teacher.answers` of a later run may name it; its answers are then found by text.

    Returns:
        The folder.

    Raises:
        DataError: For answers that cannot be read or joined to the texts.
    """
    config, data = recipe.teacher.answers, recipe.data
    assert config is not None
    if data.train is None:
        raise RecipeError("data.train", "this is missing", "Name the texts: --train texts.jsonl.")
    folder = Path(recipe.knowledge.folder)
    files = read_files(config)
    task = task_of_answers(config.kind, first_row(data, None), data, recipe.task)
    texts = read_texts("train", data.train, data, task, labels=False, folder=folder)
    names = _names(recipe, files.names, task.apart)
    answers = Answers.of(files, task, names, data, config, None)
    outputs = answers.about(texts)
    store = keep_given(outputs, texts, stamp=answers.stamp, settings=recipe.knowledge)
    told = len(answers.homes)
    say(f"  {told} of {len(texts)} texts have an answer of {outputs.shape[1]} numbers")
    return store.place


def _names(recipe: Recipe, told: tuple[str, ...] | None, apart: bool) -> list[str]:
    """The classes in the order in which they are kept."""
    kind = "" if recipe.teacher.answers is None else recipe.teacher.answers.kind
    if apart:
        return []
    if kind == "scores":
        return ["score"]
    names = recipe.data.labels or told
    if names is None:
        raise RecipeError(
            "data.labels",
            "this is missing, and the file does not name the classes of its numbers",
            "Say their order: --set 'data.labels=[negative, positive]'.",
        )
    return list(names)
