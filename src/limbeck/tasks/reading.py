"""Rows of files as texts of a task."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from limbeck.config.recipe import DataConfig
from limbeck.data.conll import token_rows
from limbeck.data.passages import gather_prose
from limbeck.data.queries import gather_queries
from limbeck.data.questions import gather_questions
from limbeck.data.ranked_rows import read_queries
from limbeck.data.read import Row, read_rows
from limbeck.data.squad import questions_of, read_questions
from limbeck.data.tagged_rows import untagged
from limbeck.data.texts import Texts, gather
from limbeck.data.words import gather_words, with_tokens
from limbeck.errors import RecipeError
from limbeck.tasks.language_modeling import LanguageModeling
from limbeck.tasks.question_answering import windowing_of
from limbeck.tasks.task import Task


def read_texts(
    name: str,
    source: str,
    data: DataConfig,
    task: Task,
    *,
    labels: bool,
    rows: Generator[Row] | None = None,
    folder: Path | None = None,
    before: int = 0,
) -> Texts:
    """A split's texts, with their words, or as questions or queries if the task is about those.

    Args:
        name: The split's.
        source: The file, or the name of the rows for messages.
        data: Columns and cleaning.
        task: How its labels stand in the rows.
        labels: Whether to read labels.
        rows: Those of a dataset, in place of the file's.
        folder: On whose disk the texts are kept.
        before: Rows that have this split's ids already.

    Raises:
        DataError: For what cannot be read, or is of another task.
    """
    if task.reads == "queries":
        with closing(read_rows(source) if rows is None else rows) as found:
            queries = read_queries(found, source, data, before=before)
        return gather_queries(name, queries, labels=labels, folder=folder)
    if isinstance(task, LanguageModeling):
        return gather_prose(
            name, source, data, task.reading(data), rows=rows, folder=folder, before=before
        )
    if task.reads == "questions":
        return _questions(name, source, data, labels=labels, rows=rows, folder=folder)
    of_words = task.reads == "words"
    if rows is None:
        rows = token_rows(source) if of_words else read_rows(source)
    with closing(rows):
        if not of_words:
            return gather(
                name,
                untagged(rows, data, source),
                source,
                data,
                labels=task.form(data) if labels else None,
                folder=folder,
                before=before,
            )
        texts, _ = gather_words(
            name,
            rows if labels else with_tokens(rows, data.tokens_column),
            source,
            tokens_column=data.tokens_column,
            tags_column=data.tags_column,
            scheme=data.tags,
            names=data.labels,
            clean=data.clean,
            labels=labels,
            folder=folder,
            before=before,
        )
        return texts


def _questions(
    name: str,
    source: str,
    data: DataConfig,
    *,
    labels: bool,
    rows: Generator[Row] | None,
    folder: Path | None,
) -> Texts:
    refuse_columns(data)
    used = [kind for kind, on in data.clean.model_dump().items() if on]
    if used:
        raise RecipeError(
            f"data.clean.{used[0]}",
            "it is true, but answers are told by their characters in the context, which cleaning "
            "would move",
            "Leave it out; clean the file, and its answers with it, beforehand.",
        )
    if rows is None:
        questions = read_questions(source)
    else:
        with closing(rows):
            questions = questions_of(rows, source)
    windowing = windowing_of(data)
    return gather_questions(
        name, questions, source, windowing=windowing, labels=labels, folder=folder
    )


def refuse_columns(data: DataConfig) -> None:
    """Refuse names of columns where rows are questions.

    Raises:
        RecipeError: If one is named: it would change nothing, unnoticed.
    """
    for key in ("text_column", "pair_column", "label_column"):
        if getattr(data, key) is not None:
            raise RecipeError(
                f"data.{key}",
                f"it is {getattr(data, key)!r}, but the columns of questions are called id, "
                "question, context and answers",
                "Leave it out, and rename the columns of the file.",
            )
