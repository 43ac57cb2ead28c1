"""What does not fit a language model: one message each, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.load import load_recipe
from limbeck.data.per_word import WordOutputs
from limbeck.distill import distill
from limbeck.errors import LimbeckError, RecipeError, TeacherError
from limbeck.tasks.known import task_named

CAUSAL, MASKED = "causal_language_modeling", "masked_language_modeling"
Make = Callable[..., Any]


def _logits(**settings: Any) -> dict[str, Any]:
    return {"objective.terms": [{"kind": "logits", **settings}]}


@pytest.mark.parametrize(
    ("settings", "kind", "found"),
    [
        ({"task": "auto"}, TeacherError, "no task is named"),
        ({"task": "single_label"}, TeacherError, "foretells the next token"),
        ({"task": MASKED}, TeacherError, "foretells the next token"),
        (_logits(divergence="decoupled"), RecipeError, "the same classes at every place"),
        (_logits(divergence="correlation"), RecipeError, "the same classes at every place"),
        (_logits(standardize=True), RecipeError, "nothing of the rest"),
        (_logits(temperature="adaptive"), RecipeError, "adaptive temperature"),
        (_logits(examples="teacher_correctness"), RecipeError, "among the rest"),
        ({"objective.terms": [{"kind": "exits"}]}, RecipeError, "exits answer whole texts"),
        ({"student.budget": "size<=1MB"}, RecipeError, "student.budget"),
        ({"knowledge.source": "mutual"}, RecipeError, "knowledge.source"),
        ({"data.augment.copies": 1}, RecipeError, "data.augment.copies"),
        ({"data.label_column": "label"}, RecipeError, "data.label_column"),
        ({"objective.on_policy.share": 0.5}, RecipeError, "more than the 24 of a block"),
        (
            {"objective.on_policy.share": 0.5, "objective.terms": [{"kind": "hidden"}]},
            RecipeError,
            "nobody would judge",
        ),
        (
            {"objective.on_policy.share": 0.5, "student.vocabulary": "trim"},
            RecipeError,
            "under other numbers",
        ),
    ],
)
def test_refuses_settings_that_do_not_fit(
    causal: Path,
    make: Make,
    tmp_path: Path,
    settings: dict[str, Any],
    kind: type[LimbeckError],
    found: str,
) -> None:
    """Each would train towards something else, or change nothing, unnoticed."""
    with pytest.raises(kind, match=found):
        distill(make(causal, settings.get("task", CAUSAL), tmp_path, **_others(settings)))


def _others(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "task"}


def test_a_student_that_cannot_write_takes_no_steps_on_its_own_texts(
    masked: Path, make: Make, tmp_path: Path
) -> None:
    """A masked language model has no next token."""
    with pytest.raises(RecipeError, match="writes no texts"):
        distill(make(masked, MASKED, tmp_path, **{"objective.on_policy.share": 0.5}))


def test_refuses_outside_texts(causal: Path, make: Make, texts: dict, tmp_path: Path) -> None:
    """No token's probability says that a text belongs to no class."""
    with pytest.raises(RecipeError, match=r"data\.outside"):
        distill(make(causal, CAUSAL, tmp_path, **{"data.outside": texts["test"]}))


def test_a_named_task_wants_its_head(random_teacher: Path, texts: dict, tmp_path: Path) -> None:
    """A classifier foretells nothing; a head of chance on top would be recorded all the same."""
    values = {
        "teacher.path": str(random_teacher), "task": MASKED, "data.train": texts["train"],
        "output": str(tmp_path / "run"),
    }  # fmt: skip
    with pytest.raises(TeacherError, match=f"task is {MASKED}, but the model is for single_label"):
        distill(load_recipe(None, values=values))


def test_refuses_a_student_of_other_tokens(
    causal: Path,
    causal_base: Path,
    make: Make,
    write_bytes_tokenizer: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """The teacher's ids would name other tokens."""
    from transformers import GPT2LMHeadModel

    other = tmp_path / "other"
    GPT2LMHeadModel.from_pretrained(causal_base).save_pretrained(other)
    write_bytes_tokenizer(other, ["xyz " * 50])
    settings = {"student.checkpoint": str(other), "student.layers": None}
    with pytest.raises(RecipeError, match="has another tokenizer"):
        distill(make(causal, CAUSAL, tmp_path, **settings))
    fits = make(causal, CAUSAL, tmp_path, **{**settings, "student.checkpoint": str(causal_base)})
    from limbeck.run.plan import make_plan

    assert make_plan(fits, cache=tmp_path / "tokens").student.init == "checkpoint"


def test_refuses_a_student_of_shorter_blocks(
    causal: Path, causal_base: Path, make: Make, tmp_path: Path
) -> None:
    """Its blocks end elsewhere, so it is asked about other places than the teacher answered."""
    import shutil

    from transformers import GPT2Config, GPT2LMHeadModel

    shutil.copytree(causal_base, tmp_path / "short")
    config = GPT2Config.from_pretrained(causal_base)
    config.n_positions = 16
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "short")
    settings = {"student.checkpoint": str(tmp_path / "short"), "student.layers": None}
    with pytest.raises(RecipeError, match="takes 16 tokens of 24"):
        distill(make(causal, CAUSAL, tmp_path, **settings))


def _said(log_p: list[float], best: list[int], offsets: list[int]) -> WordOutputs:
    values = np.array([[p, token, -0.5] for p, token in zip(log_p, best, strict=True)])
    return WordOutputs(values.astype(np.float32), np.array(offsets), np.arange(len(log_p)))


@pytest.mark.parametrize("name", [CAUSAL, MASKED])
def test_the_score_is_one_over_the_perplexity_of_all_tokens(name: str) -> None:
    """A mean over texts would let short texts count as much as long ones."""
    from limbeck.tasks.task import agreement, score

    task = task_named(name)
    outputs = _said([-1.0, -2.0, -6.0], [3, 4, 5], [0, 2, 3])
    others = _said([-1.0, -2.0, -6.0], [3, 4, 6], [0, 2, 3])
    assert score(task, outputs, np.zeros(2)) == pytest.approx(np.exp(-3))
    found = task.measures(outputs, np.zeros(2), []).metrics
    assert found["nats_a_token"] == pytest.approx(3)
    assert agreement(task, outputs, others) == pytest.approx(2 / 3)
    np.testing.assert_allclose(task.changed(outputs, others), [0, 1])
    np.testing.assert_allclose(task.distance(outputs, _said([-1, -1, -6], [0] * 3, [0, 2, 3])),
                               [0.5, 0])  # fmt: skip
    assert task.alike(_said([-1, -2], [7, 7], [0, 1, 2]))
    assert not task.alike(outputs)
    with pytest.raises(ValueError, match="the same tokenizer"):
        task.changed(outputs, _said([-1.0], [3], [0, 1]))
