"""The tasks that there are, and which one a teacher or a file is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from limbeck.config.recipe import DataConfig
from limbeck.config.teacher import AnswerKind
from limbeck.data.columns import known
from limbeck.data.ranked_rows import holds_candidates
from limbeck.data.raw_labels import LABEL_COLUMNS, is_list
from limbeck.data.squad import holds_questions
from limbeck.data.tagged_rows import holds_tokens
from limbeck.errors import RecipeError, TeacherError
from limbeck.tasks.causal_language_modeling import CausalLanguageModeling
from limbeck.tasks.cross_encoder import tells_sigmoids
from limbeck.tasks.head import OF_TOKENS, Head, head_of
from limbeck.tasks.masked_language_modeling import MaskedLanguageModeling
from limbeck.tasks.multi_label import MultiLabel
from limbeck.tasks.question_answering import QuestionAnswering
from limbeck.tasks.regression import Regression
from limbeck.tasks.reranking import Reranking
from limbeck.tasks.sentence_embeddings import SentenceEmbeddings
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.tasks.task import Task
from limbeck.tasks.token_classification import TokenClassification

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from limbeck.data.read import Row

TASKS: tuple[Task, ...] = (
    SINGLE_LABEL,
    MultiLabel(),
    Regression(),
    TokenClassification(),
    QuestionAnswering(),
    SentenceEmbeddings(),
    Reranking(),
    CausalLanguageModeling(),
    MaskedLanguageModeling(),
)
"""Every task, in the order of the documentation."""


def task_named(name: str) -> Task:
    """The task of a name (`Task.name`)."""
    return next(task for task in TASKS if task.name == name)


def task_of_teacher(config: PreTrainedConfig, wished: str, *, where: str) -> Task:
    """The task that a teacher's head is for.

    Args:
        config: The teacher's.
        wished: The recipe's `task`.
        where: The teacher's path, for the message.

    Raises:
        TeacherError: If the recipe names a task that the head is not for: a softmax over labels
            that do not exclude each other, say, would train towards a wrong target.
    """
    head = head_of(config)
    problem = getattr(config, "problem_type", None) if head == "classifier" else None
    outputs = len(config.id2label or {})
    if problem is None and head == "classifier":
        problem = "regression" if outputs == 1 else "single_label_classification"
        if wished == "multi_label" and outputs > 1:  # many public checkpoints do not say
            problem = "multi_label_classification"
    found = next(
        (task for task in TASKS if (task.head, task.problem_type) == (head, problem)), None
    )
    if found is None:
        known_types = ", ".join(task.problem_type for task in TASKS if task.problem_type)
        raise TeacherError(
            f"{where}/config.json",
            f"its problem_type is {problem!r}, which is none of {known_types}",
            "Write the one that the head was trained for.",
        )
    if found.name == "regression" and outputs != 1:
        raise TeacherError(
            f"{where}/config.json",
            f"the head is for regression and has {outputs} outputs; only one number a text can be "
            "learned and judged",
            "Give a teacher with one output; if these are classes, mend problem_type.",
        )
    if wished == "reranking" and found.name == "regression":
        return Reranking(sigmoid=tells_sigmoids(config, where=where))
    if wished == "reranking" and head == "classifier" and outputs != 1:
        raise TeacherError(
            f"{where}/config.json",
            f"the recipe's task is reranking, but the head has {outputs} outputs: nothing says "
            "which of them candidates are ordered by",
            "Give a cross-encoder with one output (num_labels 1); `limbeck teach --task reranking` "
            "makes one.",
        )
    if wished == "sentence_embeddings" != found.name:
        raise TeacherError(
            where,
            "the recipe's task is sentence_embeddings, but nothing says how this checkpoint makes "
            "a vector of a text (no modules.json)",
            "Give a sentence-transformers folder, or set teacher.pooling (mean, cls or max).",
        )
    if wished == "auto" and head in OF_TOKENS:
        raise TeacherError(
            f"{where}/config.json",
            f"it is a language model ({_told_by(head, None, 0)}), and no task is named: most such "
            "models are given to be fine-tuned first",
            "Make a teacher of your task of it with `limbeck teach`; or, to distill the language "
            f"model itself, set task: {found.name} (--task {found.name}).",
        )
    if wished not in ("auto", found.name):
        raise TeacherError(
            f"{where}/config.json",
            f"the recipe's task is {wished}, but the model is for {found.name} "
            f"({_told_by(head, problem, outputs)})",
            "Delete task from the recipe, or give a teacher of this task.",
        )
    return found


def task_beside_rows(task: Task, config: PreTrainedConfig, row: Row, data: DataConfig) -> Task:
    """The task of a teacher that was found to be for regression, once its rows are seen.

    A head of one number scores a pair of texts or ranks candidates, and no config says which: it
    ranks where a row is a query with candidates, or a pair that names its query.

    Args:
        task: From `task_of_teacher`, where the recipe names none.
        config: The teacher's.
        row: The first one.
        data: The recipe's `data`.
    """
    if task.name != "regression" or not holds_candidates(row, data):
        return task
    return task_of_teacher(config, "reranking", where="config.json")


def _told_by(head: Head, problem: str | None, outputs: int) -> str:
    """What says for which task a model is."""
    if head == "vectors":
        return "it makes a vector of a text"
    if head in OF_TOKENS:
        return "its head foretells " + (
            "hidden tokens" if head == "masked_lm" else "the next token"
        )
    if head == "span":
        return "it has a head that finds answers in texts"
    return f"{outputs} output(s), " + (f"problem_type {problem}" if problem else "a head of words")


def task_of_rows(row: Mapping[str, Any], data: DataConfig, wished: str) -> Task:
    """The task that labelled rows are for, where there is no teacher yet.

    Args:
        row: The first one.
        data: The recipe's `data`.
        wished: The recipe's `task`.
    """
    if wished != "auto":
        return task_named(wished)
    if data.tokens_column is not None or (data.text_column is None and holds_tokens(row)):
        return task_named("token_classification")
    if data.text_column is None and holds_questions(row):
        return task_named("question_answering")
    if holds_candidates(row, data):
        return task_named("reranking")
    column = data.label_column or known(row, LABEL_COLUMNS)
    cell = row.get(column) if column is not None else None
    if data.label_separator is not None or isinstance(cell, list | tuple) or is_list(cell):
        return task_named("multi_label")
    scored = known({column: cell} if column is not None else row, ("score",)) is not None
    if data.score_range is not None or scored:
        return task_named("regression")
    return task_named("single_label")


def task_of_answers(
    kind: AnswerKind, row: Mapping[str, Any], data: DataConfig, wished: str
) -> Task:
    """The task of answers that lie in a file: what they are says it, or else the rows.

    Args:
        kind: Of the answers.
        row: The first one of the training rows.
        data: The recipe's `data`.
        wished: The recipe's `task`.

    Raises:
        RecipeError: If the task has no such answers: probabilities of no classes, say.
    """
    alone = {"scores": "regression", "vectors": "sentence_embeddings"}.get(kind)
    if alone is not None:
        found = task_named(alone if wished == "auto" else wished)
    else:
        found = task_of_rows(row, data, wished)
    if alone is not None and found.name != alone:
        raise RecipeError(
            "teacher.answers.kind",
            f"it is {kind}, which are answers of the task {alone}, but the task is {found.name}",
            "Delete task, or give answers of another kind.",
        )
    if alone is None and (found.head != "classifier" or found.name == "regression"):
        raise RecipeError(
            "teacher.answers.kind",
            f"it is {kind}, which are of the classes of a text, but the task is {found.name}",
            "Use kind: scores for numbers and kind: vectors for vectors; words and questions have "
            "no black box.",
        )
    return found
