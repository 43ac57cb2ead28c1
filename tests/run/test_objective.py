"""What does not fit together is refused before anything is recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.load import load_recipe
from limbeck.config.recipe import TeacherConfig
from limbeck.errors import LimbeckError, RecipeError
from limbeck.run.objective import Objective, plan_objective
from limbeck.student.plan import plan_student
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.teacher.load import look_at
from limbeck.teacher.parts import Part


@pytest.fixture
def planned(random_teacher: Path) -> Callable[..., Objective]:
    """The objective of settings for the tiny teacher: 4 layers, 32 wide, 4 heads."""

    def make(*settings: str, method: str = "logits") -> Objective:
        recipe = load_recipe(
            None,
            ["student.layers=2", *settings],
            {"teacher.path": str(random_teacher), "method": method},
        )
        teacher = look_at(TeacherConfig(path=str(random_teacher)))
        return plan_objective(
            recipe, plan_student(recipe.student, teacher, 100), teacher, SINGLE_LABEL
        )

    return make


def test_parts_are_those_of_all_stages(planned: Callable[..., Objective]) -> None:
    """What an earlier stage needs must be recorded too."""
    found = planned(method="tinybert")
    assert set(found.parts) == {
        Part("hidden", 0), Part("hidden", 2), Part("hidden", 4), Part("queries", 2),
        Part("queries", 4), Part("keys", 2), Part("keys", 4),
    }  # fmt: skip
    assert found.needs_teacher
    assert not planned(method="labels").needs_teacher
    assert planned(method="theseus").parts == ()


@pytest.mark.parametrize(
    ("settings", "where", "found"),
    [
        (
            ["student.hidden=16", "student.heads=2",
             "objective.terms=[{kind: attention, heads: each}]"],
            "objective.terms[0].heads", "the student has 2 and the teacher 4",
        ),
        (
            ["student.hidden=16", "student.heads=2",
             "objective.terms=[{kind: hidden, projection: false}]"],
            "objective.terms[0].projection", "16 wide in the student and 32",
        ),
        (
            ["objective.terms=[{kind: relations, heads: 5}]"],
            "objective.terms[0].heads", "5 relation heads do not divide the student's 32",
        ),
        (
            ["objective.terms=[{kind: logits, standardize: true}]"],
            "objective.terms[0].standardize", "the teacher has 2 classes",
        ),
        (
            ["student.hidden=16", "student.heads=2",
             "stages=[{terms: [{kind: hard}], replacing: 0.5}]"],
            "stages[0].replacing", "cannot stand in",
        ),
        (
            ["student.architecture=albert",
             "stages=[{terms: [{kind: hidden}], layer_by_layer: true}]"],
            "stages[0].layer_by_layer", "share their weights",
        ),
        (
            ["stages=[{terms: [{kind: hidden, layer_map: {1: 9}}]}]"],
            "stages[0].terms[0].layer_map", "the teacher has 4 layers",
        ),
    ],
)  # fmt: skip
def test_refuses_what_does_not_fit(
    planned: Callable[..., Objective], settings: list[str], where: str, found: str
) -> None:
    """Each would fail after an hour of recording, or train towards something else."""
    with pytest.raises(RecipeError) as caught:
        planned(*settings)
    assert caught.value.where == where
    assert found in caught.value.found


def test_heads_that_differ_can_be_compared_by_their_mean(
    planned: Callable[..., Objective],
) -> None:
    """What the message advises must work, and a narrower student must not be refused for it."""
    narrow = ("student.hidden=16", "student.heads=2")
    for heads in ("mean", "auto"):
        term = f"objective.terms=[{{kind: attention, heads: {heads}}}]"
        found = planned(*narrow, term)
        assert Part("queries", 4) in found.parts


def test_refuses_attention_scores_of_families_that_have_none(
    planned: Callable[..., Objective], tmp_path: Path, write_tokenizer: Callable[..., Any]
) -> None:
    """MPNet adds relative positions inside: its queries and keys alone rank tokens otherwise."""
    from transformers import MPNetConfig, MPNetForSequenceClassification

    tokenizer = write_tokenizer(tmp_path)
    config = MPNetConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=66,
    )  # fmt: skip
    MPNetForSequenceClassification(config).save_pretrained(tmp_path)
    teacher = look_at(TeacherConfig(path=str(tmp_path)))
    for settings, allowed in (
        ("{kind: attention}", False),
        ("{kind: attention, distance: kl}", True),
    ):
        recipe = load_recipe(
            None,
            ["student.layers=2", f"objective.terms=[{settings}]"],
            {"teacher.path": str(tmp_path)},
        )
        student = plan_student(recipe.student, teacher, 100)
        if allowed:
            assert plan_objective(recipe, student, teacher, SINGLE_LABEL).parts == (
                Part("attention", 2), Part("attention", 4),
            )  # fmt: skip
            continue
        with pytest.raises(LimbeckError, match="relative positions"):
            plan_objective(recipe, student, teacher, SINGLE_LABEL)
