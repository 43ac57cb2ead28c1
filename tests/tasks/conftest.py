"""Makes splits as a task reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.texts import Texts, gather
from limbeck.tasks.task import Task


@pytest.fixture(scope="session")
def split_of() -> Callable[..., Texts]:
    """Makes a split of labels."""

    def make(task: Task, labels: Sequence[object], name: str = "train", **data: object) -> Texts:
        config = DataConfig.model_validate(data)
        rows = [{"text": f"text {place}", "label": one} for place, one in enumerate(labels)]
        return gather(name, rows, "memory", config, labels=task.form(config))

    return make
