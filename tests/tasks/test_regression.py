"""Numbers: read, learned, mixed and judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.texts import Texts
from limbeck.errors import DataError, TeacherError
from limbeck.tasks.regression import Regression
from limbeck.tasks.task import merit, says_one_thing, score

TASK = Regression()
Split = Callable[..., Texts]
_GENERATOR = np.random.default_rng(0)
TARGETS = _GENERATOR.integers(0, 6, 60).astype(np.float32)  # ties, as ratings have
OUTPUTS = (TARGETS + _GENERATOR.normal(size=60))[:, None].astype(np.float32)


def test_targets_are_the_numbers(split_of: Split) -> None:
    """A score that was counted as a class would have no order."""
    texts = split_of(TASK, [2.5, None, "0", 5])
    found = TASK.targets(texts, ["score"], source="f")
    np.testing.assert_array_equal(found, np.array([2.5, np.nan, 0, 5], dtype=np.float32))
    assert TASK.names(texts, DataConfig(), None, "f") == ["score"]
    assert TASK.names(texts, DataConfig(), ["LABEL_0"], "f") == ["LABEL_0"]


def test_refuses_scores_that_are_all_the_same() -> None:
    """An hour of training would end in a constant."""
    with pytest.raises(DataError, match="score 3"):
        TASK.refuse_unlearnable(np.array([3, 3, np.nan], dtype=np.float32), ["score"], "f")


@pytest.mark.parametrize("strange", [lambda x: x / 5, lambda x: 20 * x, lambda x: 5 - x])
def test_refuses_a_teacher_of_another_scale(strange: Callable[[np.ndarray], np.ndarray]) -> None:
    """Labels from 0 to 5 and a teacher from 0 to 1 pull every answer to two places."""
    with pytest.raises(TeacherError, match="different numbers"):
        TASK.refuse_stranger(strange(OUTPUTS), TARGETS, ["score"], where="t")


def test_a_weak_or_shifted_teacher_is_no_stranger() -> None:
    """A teacher that shrinks its answers, or knows little, is what distillation is given."""
    TASK.refuse_stranger(0.7 * OUTPUTS + 0.5, TARGETS, ["score"], where="t")
    noise = np.random.default_rng(1).normal(size=(60, 1))
    TASK.refuse_stranger(noise / 100, TARGETS, ["score"], where="t")
    TASK.refuse_stranger(np.ones((60, 1)), TARGETS, ["score"], where="t")


def test_score_is_scipys_spearman() -> None:
    """Scores must be those that others compute, ties included."""
    from scipy.stats import pearsonr, spearmanr

    assert score(TASK, OUTPUTS, TARGETS) == pytest.approx(spearmanr(OUTPUTS[:, 0], TARGETS)[0])
    metrics = TASK.measures(OUTPUTS, TARGETS, ["score"]).metrics
    assert metrics["pearson"] == pytest.approx(pearsonr(OUTPUTS[:, 0], TARGETS)[0])
    squares = (OUTPUTS[:, 0].astype(float) - TARGETS) ** 2
    assert metrics["root_mean_squared_error"] == pytest.approx(np.sqrt(squares.mean()))


def test_losses_are_squared_errors_in_the_scores_unit() -> None:
    """The temperature of a recipe's method must not scale numbers."""
    student = torch.tensor([[1.0], [2.0], [9.0]], requires_grad=True)
    hard = TASK.hard(student, torch.tensor([3.0, 2.5, torch.nan]))
    assert hard.item() == pytest.approx((4 + 0.25) / 2)
    hard.backward()
    assert student.grad is not None
    np.testing.assert_allclose(student.grad[:, 0], [-2.0, -0.5, 0.0])
    teacher = torch.tensor([[0.0], [2.0], [6.0]])
    for temperature in (1.0, 4.0):
        assert TASK.soft(student, teacher, temperature=temperature).item() == pytest.approx(10 / 3)


def test_mixed_teachers_are_their_weighted_mean() -> None:
    """What an ensemble of regressions predicts."""
    values = np.random.default_rng(2).normal(size=(3, 4, 1))
    weights = np.array([0.5, 0.3, 0.2])[:, None].repeat(4, 1)
    mixed = TASK.mixed(torch.tensor(values), torch.tensor(weights)).numpy()
    np.testing.assert_allclose(
        mixed, np.average(values, axis=0, weights=[0.5, 0.3, 0.2]), rtol=1e-6
    )


@pytest.mark.parametrize(
    "term",
    [{"divergence": "decoupled"}, {"divergence": "reverse_kl"}, {"standardize": True},
     {"examples": "student_entropy"}],
    ids=str,
)  # fmt: skip
def test_terms_about_classes_do_not_fit(term: Any) -> None:
    """A softmax over one number is always 1, and its loss always 0."""
    assert TASK.unfit(LogitsTerm.model_validate({"kind": "logits", "weight": 1.0} | term))
    assert not TASK.unfit(LogitsTerm(kind="logits", weight=1.0))


def test_an_answer_is_another_where_it_moves_by_a_tenth_of_the_spread() -> None:
    """Rounding is no flip, in whatever unit the scores are."""
    for unit in (1.0, 1000.0):
        others = unit * OUTPUTS
        moved = others + 0.11 * others.std() * (np.arange(60) == 7)[:, None]
        assert np.flatnonzero(TASK.changed(moved, others)).tolist() == [7]
        assert not TASK.changed(others + 0.09 * others.std(), others).any()
    assert TASK.distance(moved, others).argmax() == 7


def test_a_constant_is_found_out() -> None:
    """A teacher that was trained too short answers every row with the mean."""
    assert says_one_thing(TASK, np.full((5, 1), 2.8))
    assert not says_one_thing(TASK, OUTPUTS)


def test_numbers_are_said_without_a_probability() -> None:
    """A number is not sure of itself."""
    assert TASK.said(np.array([3.14159]), ["score"]).words == "3.14"
    assert TASK.said(np.array([3.14159]), ["score"]).probability is None
    assert TASK.wanted(np.float32(2.5), ["score"]) == "2.5"


def test_states_are_chosen_by_answers_that_lie_near_the_scores() -> None:
    """A state of the first steps ranks well while its answers hardly differ from each other."""
    targets = np.array([0.0, 1.0, 2.0, 3.0, 5.0], dtype=np.float32)
    early = (3 + targets[:, None] / 1000).astype(np.float32)
    late = np.array([[0.2], [1.4], [1.3], [3.1], [4.6]], dtype=np.float32)
    task = Regression()
    assert score(task, early, targets) > score(task, late, targets)
    assert merit(task, late, targets) > merit(task, early, targets)
