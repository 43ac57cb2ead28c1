"""Recipes that train the teacher along: what is kept apart, refused and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.load import load_recipe
from limbeck.errors import RecipeError
from limbeck.run.describe import describe
from limbeck.run.plan import Plan, make_plan

Make = Callable[..., Plan]


@pytest.fixture
def plan(random_teacher: Path, files: dict[str, Path], tmp_path: Path) -> Make:
    """Plans a run of the random teacher."""

    def make(**settings: Any) -> Plan:
        values = {
            "teacher.path": str(random_teacher),
            "data.train": str(files["train"]),
            "data.validation": str(files["validation"]),
            "data.max_tokens": 32,
            "student.layers": 2,
            "knowledge.folder": str(tmp_path / "knowledge"),
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        return make_plan(load_recipe(None, values=values), cache=tmp_path / "tokens")

    return make


def test_the_quiz_is_a_stratified_share_of_the_labelled_rows(plan: Make) -> None:
    """The student's loss must be that on texts of every class that it has not learned."""
    made = plan(method="feedback", knowledge__quiz_share=0.2)
    assert made.quiz is not None
    labels = made.material.train.labels
    quiz, lessons = made.quiz.rows, made.quiz.lessons
    assert not set(quiz) & set(lessons)
    for label in (0, 1):
        assert (labels[quiz] == label).sum() == pytest.approx(0.2 * (labels == label).sum(), abs=1)
    texts = np.array(list(made.material.train.texts.texts))
    assert not set(texts[quiz]) & set(texts[lessons])
    again = plan(method="feedback", knowledge__quiz_share=0.2).quiz
    assert again is not None
    assert np.array_equal(again.rows, quiz)
    other = plan(method="feedback", knowledge__quiz_share=0.2, seed=1).quiz
    assert other is not None
    assert not np.array_equal(other.rows, quiz)


def test_altered_copies_of_the_quiz_are_kept_apart_too(plan: Make) -> None:
    """A copy with one word changed gives the answer away."""
    made = plan(method="feedback", data__augment__copies=2)
    assert made.quiz is not None
    ids = made.material.train.texts.ids
    quiz = {ids[row] for row in made.quiz.rows}
    learned = {ids[row].partition("~")[0] for row in made.quiz.lessons}
    assert not quiz & learned
    assert any("~" in ids[row] for row in made.quiz.lessons)
    assert len(quiz) == pytest.approx(40, abs=4)


def test_other_sources_keep_nothing_apart(plan: Make) -> None:
    """Labels are dear."""
    for method in ("logits", "mutual"):
        assert plan(method=method).quiz is None


def test_the_plan_tells_what_it_costs(plan: Make) -> None:
    """Memory that is not expected ends a run."""
    made = plan(method="feedback")
    lines = "\n".join(describe(made))
    assert made.quiz is not None
    assert f"{len(made.quiz.rows)} labelled rows of train are kept for the student's quiz" in lines
    assert f"{4 * made.teacher_counts.float32_mb:,.0f} MB more memory" in lines
    assert "trained along (mutual, at 1e-05)" in "\n".join(describe(plan(method="mutual")))
    assert "trained along" not in "\n".join(describe(plan()))
    steps = -(-len(made.quiz.lessons) // 64) * 3
    assert made.steps == pytest.approx(steps, abs=3)
    assert made.steps < plan().steps or steps == plan().steps


def test_feedback_is_computed_in_float32(plan: Make) -> None:
    """Two sets of weights that bfloat16 cannot tell apart have no difference."""
    assert plan(method="feedback").recipe.training.precision == "float32"
    assert plan(method="mutual").recipe.training.precision == "auto"
    with pytest.raises(RecipeError, match=r"training\.precision.*bfloat16"):
        plan(method="feedback", training__precision="bfloat16")


HARD = {"kind": "hard", "weight": 1.0}
SOFT = {"kind": "logits", "weight": 1.0}


@pytest.mark.parametrize("source", ["mutual", "feedback"])
def test_refuses_several_teachers(plan: Make, random_teacher: Path, source: str) -> None:
    """Which of them would learn?"""
    with pytest.raises(RecipeError, match=r"ensemble\.teachers names 1 more"):
        plan(method=source, ensemble__teachers=[str(random_teacher)])


@pytest.mark.parametrize("source", ["mutual", "feedback"])
def test_refuses_an_objective_in_which_nothing_is_told(plan: Make, source: str) -> None:
    """Two trainings side by side are not one method."""
    with pytest.raises(RecipeError, match="no term of the objective has the kind logits"):
        plan(knowledge__source=source, objective__terms=[HARD, {**SOFT, "weight": 0.0}])


@pytest.mark.parametrize("source", ["mutual", "feedback"])
def test_refuses_texts_without_labels(
    plan: Make, files: dict[str, Path], tmp_path: Path, source: str
) -> None:
    """A teacher that learns from its own student alone forgets what it knew."""
    rows = [json.loads(line) for line in files["train"].read_text().splitlines()]
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    with pytest.raises(RecipeError, match="no training row has a label"):
        plan(method=source, data__train=str(bare))


@pytest.mark.parametrize(
    "term",
    [
        {"divergence": "reverse_kl"},
        {"divergence": "decoupled"},
        {"temperature": "adaptive"},
        {"examples": "student_entropy"},
    ],
)
def test_feedback_refuses_terms_that_it_cannot_differentiate(
    plan: Make, term: dict[str, Any]
) -> None:
    """Their derivative is another; with the wrong one the teacher would learn to mislead."""
    terms = [HARD, {**SOFT, **term}]
    assert plan(knowledge__source="mutual", objective__terms=terms).terms
    with pytest.raises(RecipeError, match="feedback"):
        plan(knowledge__source="feedback", objective__terms=terms)
