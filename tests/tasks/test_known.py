"""Which task a teacher's head or a file's labels are for."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import BertConfig

from limbeck.config.recipe import DataConfig, TaskName
from limbeck.errors import TeacherError
from limbeck.tasks.known import TASKS, task_named, task_of_rows, task_of_teacher
from limbeck.teacher.pooling import Vectors, set_vectors


def _teacher(outputs: int, problem: str | None = None) -> BertConfig:
    config = BertConfig(num_labels=outputs)
    config.problem_type = problem
    return config


def test_every_task_can_be_named_in_a_recipe() -> None:
    """A task that no recipe can name is dead code; a name without a task crashes."""
    assert {"auto", *(task.name for task in TASKS)} == set(TaskName.__args__)  # type: ignore[attr-defined]
    assert all(task_named(task.name) is task for task in TASKS)


@pytest.mark.parametrize(
    ("outputs", "problem", "wished", "found"),
    [
        (2, None, "auto", "single_label"),
        (1, None, "auto", "regression"),
        (3, "multi_label_classification", "auto", "multi_label"),
        (1, "multi_label_classification", "auto", "multi_label"),
        (3, None, "multi_label", "multi_label"),
        (3, "single_label_classification", "single_label", "single_label"),
        (1, "regression", "regression", "regression"),
    ],
)
def test_the_head_says_its_task(outputs: int, problem: str | None, wished: str, found: str) -> None:
    """Many public checkpoints leave problem_type out; the recipe may say it for them."""
    assert task_of_teacher(_teacher(outputs, problem), wished, where="t").name == found


@pytest.mark.parametrize(
    ("outputs", "problem", "wished"),
    [
        (3, "single_label_classification", "multi_label"),
        (3, "multi_label_classification", "single_label"),
        (2, None, "regression"),
        (1, None, "multi_label"),
    ],
)
def test_refuses_a_task_that_the_head_is_not_for(
    outputs: int, problem: str | None, wished: str
) -> None:
    """The loss would be another than the teacher's, and plausible."""
    with pytest.raises(TeacherError, match=f"task is {wished}"):
        task_of_teacher(_teacher(outputs, problem), wished, where="t")


def test_a_pooling_says_the_task_whatever_the_config_was_made_for() -> None:
    """A sentence encoder tuned from a classifier would be read as one, with a head of chance."""
    config = _teacher(3, "single_label_classification")
    set_vectors(config, Vectors("mean", normalize=True))
    assert task_of_teacher(config, "auto", where="t").name == "sentence_embeddings"
    with pytest.raises(TeacherError, match="a vector of a text"):
        task_of_teacher(config, "token_classification", where="t")


def test_refuses_a_regression_of_several_numbers() -> None:
    """All but the first would never be judged."""
    with pytest.raises(TeacherError, match="3 outputs"):
        task_of_teacher(_teacher(3, "regression"), "auto", where="t")


@pytest.mark.parametrize(
    ("row", "data", "found"),
    [
        ({"label": "a"}, {}, "single_label"),
        ({"label": 3}, {}, "single_label"),
        ({"labels": ["a"]}, {}, "multi_label"),
        ({"labels": '["a", "b"]'}, {}, "multi_label"),
        ({"label": "a#b"}, {"label_separator": "#"}, "multi_label"),
        ({"score": 2.5}, {}, "regression"),
        ({"score": 2.5}, {"label_column": "score"}, "regression"),
        ({"Score": 2.5, "id": 1}, {}, "regression"),
        ({"label": 2.5}, {"score_range": (0, 5)}, "regression"),
        ({"label": "a", "score": 0.9}, {}, "single_label"),  # how sure the annotators were
        ({}, {}, "single_label"),
    ],
)
def test_labels_say_the_task_of_a_new_teacher(
    row: dict[str, Any], data: dict[str, Any], found: str
) -> None:
    """Scores counted as classes would make a class of every number."""
    assert task_of_rows(row, DataConfig.model_validate(data), "auto").name == found
    assert task_of_rows(row, DataConfig.model_validate(data), "regression").name == "regression"
