"""What a task learns of the rows it is for, and what prediction must know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from limbeck.config.recipe import DataConfig
from limbeck.data.asked import Windowing
from limbeck.data.texts import Texts
from limbeck.tasks import question_answering
from limbeck.tasks.cross_encoder import set_activation
from limbeck.tasks.known import task_named
from limbeck.tasks.question_answering import QuestionAnswering
from limbeck.tasks.reranking import Reranking
from limbeck.tasks.task import Task

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def settled(task: Task, data: DataConfig, splits: Sequence[Texts]) -> Task:
    """The task as its rows want it.

    Args:
        task: As teacher or rows have named it.
        data: The recipe's `data`.
        splits: All rows with labels.
    """
    if isinstance(task, QuestionAnswering):
        return question_answering.settled(task, data, splits)
    return task


def facts_of(task: Task) -> dict[str, Any]:
    """The task as JSON, for `task_from`."""
    if isinstance(task, Reranking):
        return {"task": task.name, "sigmoid": task.sigmoid}
    if isinstance(task, QuestionAnswering):
        return {
            "task": task.name,
            "no_answer": task.no_answer,
            "windowing": asdict(task.windowing),
        }
    return {"task": task.name}


def task_from(facts: Mapping[str, Any]) -> Task:
    """The task of what `facts_of` gave; folders of old runs say nothing of it."""
    task = task_named(facts.get("task", "single_label"))
    if isinstance(task, QuestionAnswering):
        windowing = Windowing(**facts["windowing"])
        return QuestionAnswering(no_answer=facts["no_answer"], windowing=windowing)
    return Reranking(sigmoid=facts["sigmoid"]) if isinstance(task, Reranking) else task


def mark(config: PreTrainedConfig, task: Task) -> None:
    """Write into a config what other libraries must know to serve the task as limbeck does."""
    # Public teachers often leave it out, and pipelines then choose softmax or sigmoid themselves.
    config.problem_type = task.problem_type
    if isinstance(task, Reranking):
        set_activation(config, sigmoid=task.sigmoid)
