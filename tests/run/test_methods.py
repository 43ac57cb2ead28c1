"""Every method trains, and several teachers and chains of them teach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.catalog import METHODS
from limbeck.config.load import load_recipe
from limbeck.config.stages import AssistantConfig
from limbeck.errors import TeacherError
from limbeck.run.chain import assistant_layers
from limbeck.run.folder import RunFolder
from limbeck.run.trial import Trial, trial
from limbeck.training.log import read_log

METHOD_NAMES = [method.name for method in METHODS]


@pytest.fixture
def tried(
    teacher: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Callable[..., Trial]:
    """A trial of a method on the tiny teacher; knowledge is shared by all tests."""
    shared = tmp_path_factory.getbasetemp() / "methods-knowledge"

    def make(method: str, *settings: str) -> Trial:
        recipe = load_recipe(
            None,
            [
                "student.layers=2", "data.max_tokens=32", "training.epochs=2",
                "training.learning_rate=2.0e-3", "training.batch_rows=32",
                "training.precision=float32", "training.attention=eager", "training.log_steps=5",
                *settings,
            ],
            {
                "teacher.path": str(teacher),
                "data.train": str(files["train"]),
                "data.validation": str(files["validation"]),
                "data.test": str(files["test"]),
                "knowledge.folder": str(shared),
                "method": method,
            },
        )  # fmt: skip
        return trial(recipe, folder=tmp_path / "run")

    return make


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_every_method_makes_a_student_that_learned(
    tried: Callable[..., Trial], method: str, tmp_path: Path
) -> None:
    """A recipe that runs and learns nothing is worse than none: its log looks like training."""
    done = tried(method, *(["training.epochs=5"] if method in ("albert", "mobilebert") else []))
    labels = done.plan.material.test.labels
    assert (done.student_logits.argmax(1) == labels).mean() > 0.8
    lines = [line for line in read_log(RunFolder(str(tmp_path / "run")).log) if "loss" in line]
    arms = {line["arm"] for line in lines}
    assert "student" in arms
    assert len(arms) == 1 + (
        2 * len(done.plan.stages) if method == "mobilebert" else len(done.plan.stages)
    ) + len(done.plan.recipe.assistants)


def test_several_teachers_teach_whatever_the_order_of_their_labels(
    tried: Callable[..., Trial], teacher: Path, tmp_path: Path
) -> None:
    """A second teacher whose classes are read in the first one's order teaches the opposite."""
    turned = _with_turned_labels(teacher, tmp_path / "turned")
    alone = tried("logits")
    both = tried("logits", f"ensemble.teachers=[{turned}]")
    labels = both.plan.material.test.labels
    assert (both.student_logits.argmax(1) == labels).mean() > 0.9
    # The same teacher twice says what it says once.
    np.testing.assert_allclose(both.student_logits, alone.student_logits, atol=0.05)


def test_refuses_teachers_that_disagree_on_labels(
    tried: Callable[..., Trial], teacher: Path, tmp_path: Path
) -> None:
    """Labels that only one of them knows cannot be mixed."""
    other = _with_turned_labels(teacher, tmp_path / "other", names=["good", "bad"])
    with pytest.raises(TeacherError, match="are known to one of them alone"):
        tried("logits", f"ensemble.teachers=[{other}]")


def _with_turned_labels(teacher: Path, folder: Path, names: list[str] | None = None) -> Path:
    """The same classifier with its two classes in the other order."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model: Any = AutoModelForSequenceClassification.from_pretrained(teacher)
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.copy_(parameter.flip(0))
    names = names or [model.config.id2label[1], model.config.id2label[0]]
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(teacher).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("wanted", "left", "expected"),
    [("between", 1, 8), ("between", 2, 9), ("all", 1, 12), (7, 1, 7)],
)
def test_assistants_divide_the_way_evenly(wanted: Any, left: int, expected: int) -> None:
    """From 12 layers to 3: one assistant has 7.5, the first of two has 9."""
    config = AssistantConfig(layers=wanted)
    assert assistant_layers(config, 12, 3, left) == expected


def test_an_assistant_that_was_finished_is_not_made_again(
    tried: Callable[..., Trial], tmp_path: Path
) -> None:
    """Each costs a training."""
    first = tried("assistant")
    place = tmp_path / "run" / "assistants" / "1" / "model.safetensors"
    made = place.stat().st_mtime_ns
    again = tried("assistant")
    assert place.stat().st_mtime_ns == made
    np.testing.assert_array_equal(first.student_logits, again.student_logits)
