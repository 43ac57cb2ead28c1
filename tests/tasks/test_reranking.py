"""Rankings: learned, told and judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from sklearn.metrics import ndcg_score
from transformers import BertConfig

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.candidates import Candidates
from limbeck.data.layout import Layout
from limbeck.data.per_query import RankOutputs, RankTargets
from limbeck.errors import DataError, TeacherError
from limbeck.objective import listwise_cross_entropy, listwise_kl
from limbeck.tasks.cross_encoder import set_activation, tells_sigmoids
from limbeck.tasks.known import TASKS, task_beside_rows, task_of_rows, task_of_teacher
from limbeck.tasks.reranking import Reranking
from limbeck.tasks.settling import facts_of, mark, task_from
from limbeck.tasks.task import agreement, merit, says_one_thing, score

TASK = Reranking()
CHANCE = np.random.default_rng(0)
SIZES = CHANCE.integers(2, 15, 40)
OFFSETS = np.concatenate([[0], np.cumsum(SIZES)])
GRADES = CHANCE.integers(0, 4, OFFSETS[-1]).astype(np.float32)
GRADES[: OFFSETS[1]] = 1  # the first query says nothing
SCORES = (GRADES + CHANCE.normal(size=OFFSETS[-1])).astype(np.float32)
OUTPUTS, TARGETS = RankOutputs(SCORES, OFFSETS), RankTargets(GRADES, OFFSETS)


def _of(*queries: list[float]) -> Any:
    offsets = np.cumsum([0, *map(len, queries)])
    return np.concatenate(queries).astype(np.float32), offsets


def _teacher(outputs: int = 1, **settings: Any) -> BertConfig:
    return BertConfig(num_labels=outputs, **settings)


def test_the_score_is_scikit_learns_ndcg() -> None:
    """Scores must be those that others compute."""
    judged = [g for g in TARGETS.each() if len(set(g.tolist())) > 1]
    told = [
        s for s, g in zip(OUTPUTS.each(), TARGETS.each(), strict=True) if len(set(g.tolist())) > 1
    ]
    expected = [ndcg_score([g], [s], k=10) for g, s in zip(judged, told, strict=True)]
    np.testing.assert_allclose(TASK.parts(OUTPUTS, TARGETS), expected)
    assert score(TASK, OUTPUTS, TARGETS) == pytest.approx(np.mean(expected))
    assert merit(TASK, OUTPUTS, TARGETS) == score(TASK, OUTPUTS, TARGETS)


def test_queries_whose_labels_are_alike_do_not_count() -> None:
    """Any order of theirs scores 1, or 0: both would dilute what the models differ in."""
    outputs, targets = (
        RankOutputs(*_of([3, 1], [1, 2], [0, 1])),
        RankTargets(*_of([1, 0], [1, 1], [0, 0])),
    )
    assert TASK.parts(outputs, targets).tolist() == [1.0]


def test_the_other_figures_are_those_of_the_first_relevant_place() -> None:
    """MRR is what papers on rerankers report beside nDCG."""
    outputs, targets = (
        RankOutputs(*_of([3, 1, 2], [1, 2, 3])),
        RankTargets(*_of([1, 0, 0], [0, 1, 0])),
    )
    found = TASK.measures(outputs, targets, ["score"]).metrics
    assert found == {"mrr_at_10": 0.75, "relevant_first": 0.5}


def test_another_first_candidate_is_another_answer() -> None:
    """It is what the user of a search sees."""
    mine, other = RankOutputs(*_of([3, 2, 1], [3, 2, 1])), RankOutputs(*_of([2, 3, 1], [9, 8, 7]))
    assert TASK.changed(mine, other).tolist() == [True, False]
    assert agreement(TASK, mine, other) == 0.5


def test_an_order_that_is_upset_behind_the_first_is_another_answer_too() -> None:
    """An export that shuffles all but the best would pass the gate."""
    mine = RankOutputs(*_of([9, 5, 4, 3, 2], [9, 5, 4, 3, 2]))
    other = RankOutputs(*_of([9, 2, 3, 4, 5], [9, 4, 5, 3, 2]))
    assert TASK.changed(mine, other).tolist() == [True, False]


def test_the_distance_is_that_of_kendalls_tau() -> None:
    """The worst disagreements are shown first."""
    other = RankOutputs(CHANCE.normal(size=len(SCORES)), OFFSETS)
    expected = [
        (1 - kendalltau(one, two).statistic) / 2
        for one, two in zip(OUTPUTS.each(), other.each(), strict=True)
    ]
    np.testing.assert_allclose(TASK.distance(OUTPUTS, other), expected)


def test_a_model_that_scores_all_alike_says_one_thing() -> None:
    """It has learned nothing, whatever its loss is."""
    assert says_one_thing(TASK, RankOutputs(*_of([1, 1], [2, 2, 2])))
    assert not says_one_thing(TASK, OUTPUTS)


def test_losses_are_of_the_queries_of_a_batch() -> None:
    """Candidates of several queries in one softmax would be compared across them."""
    student, teacher = torch.randn(5, 1), torch.randn(5, 1)
    grades = torch.tensor([1.0, 0, 0, 1, 0])
    layout = Layout(torch.tensor([0, 1, 3, 4, 5]), 2, 3)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])

    def apart(values: torch.Tensor) -> torch.Tensor:
        flat = values.flatten()
        return torch.stack([torch.cat([flat[:2], torch.zeros(1)]), flat[2:]])

    expected = listwise_kl(apart(student), apart(teacher), mask, temperature=2.0)
    torch.testing.assert_close(TASK.soft(student, teacher, layout, temperature=2.0), expected)
    expected = listwise_cross_entropy(apart(student), apart(grades), mask)
    torch.testing.assert_close(TASK.hard(student, grades, layout), expected)


@pytest.mark.parametrize("divergence", ["kl", "cross_entropy", "margin_mse"])
def test_fits_what_compares_candidates(divergence: str) -> None:
    """What the recipes of rerankers use must not be refused."""
    assert TASK.unfit(LogitsTerm.model_validate({"divergence": divergence})) == ""


@pytest.mark.parametrize(
    "settings",
    [{"divergence": "decoupled"}, {"standardize": True}, {"examples": "teacher_entropy"}],
)
def test_unfit_is_what_compares_classes(settings: dict[str, Any]) -> None:
    """Candidates of a query are no classes: there are others of each."""
    assert TASK.unfit(LogitsTerm.model_validate(settings))


def test_refuses_what_cannot_be_ranked() -> None:
    """An hour of training would end in a loss of 0 that says nothing."""
    with pytest.raises(DataError, match="no query of it has two candidates"):
        TASK.refuse_unlearnable(RankTargets(*_of([1], [0])), ["score"], "f")
    with pytest.raises(DataError, match="the same label, in every query"):
        TASK.refuse_unlearnable(RankTargets(*_of([1, 1], [0, 0])), ["score"], "f")
    bare = RankTargets(*_of([np.nan, np.nan]))
    TASK.refuse_unlearnable(bare, ["score"], "f")  # the teacher's scores suffice


def test_refuses_labels_that_fall_where_the_teacher_rises() -> None:
    """Of places in a list the best is the lowest: the best student would look the worst."""
    with pytest.raises(TeacherError, match="labels and teacher pull apart"):
        TASK.refuse_stranger(RankOutputs(-SCORES, OFFSETS), TARGETS, ["score"], where="t")
    TASK.refuse_stranger(OUTPUTS, TARGETS, ["score"], where="t")
    noise = RankOutputs(CHANCE.normal(size=len(SCORES)), OFFSETS)
    TASK.refuse_stranger(noise, TARGETS, ["score"], where="t")
    TASK.refuse_stranger(RankOutputs(0 * SCORES, OFFSETS), TARGETS, ["score"], where="t")


def test_an_answer_is_told_by_its_first_candidate() -> None:
    """Numbers alone mean nothing to a reader of the report."""
    answers = TASK.answers(RankOutputs(*_of([1, 5, 2])))
    item = Candidates("q", ("a", "b" * 100, "c"))
    assert TASK.said(answers[0], ["score"], item).words == f"2: {'b' * 80}…"
    assert TASK.said(answers[0], ["score"]).words == "2"
    assert TASK.wanted(RankTargets(*_of([0, 2, 2]))[0], ["score"]) == "2, 3"


def test_scores_are_told_as_the_checkpoint_says() -> None:
    """A service that compares scores with a threshold would get another scale."""
    outputs = RankOutputs(*_of([0, -800, 800]))
    assert TASK.answers(outputs).values.tolist() == [0, -800, 800]
    assert Reranking(sigmoid=True).answers(outputs).values.tolist() == [0.5, 0, 1]


@pytest.mark.parametrize(
    ("settings", "sigmoid"),
    [
        ({}, False),
        ({"sentence_transformers": {"version": "5"}}, False),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, False),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}, True),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid"}, True),
    ],
)
def test_the_activation_goes_along(settings: dict[str, Any], sigmoid: bool) -> None:
    """sentence-transformers takes a sigmoid where a config is silent, whatever the teacher had."""
    task = task_of_teacher(_teacher(**settings), "reranking", where="t")
    assert isinstance(task, Reranking)
    assert task.sigmoid is sigmoid
    again = task_from(facts_of(task))
    assert isinstance(again, Reranking)
    assert again.sigmoid is sigmoid
    config = _teacher(**settings)
    mark(config, task)
    assert config.problem_type is None
    assert tells_sigmoids(config, where="t") is sigmoid
    assert "activation_fn" in config.to_dict()["sentence_transformers"]
    assert not hasattr(config, "sbert_ce_default_activation_function")


def test_refuses_an_activation_that_nobody_knows() -> None:
    """Scores would be told on a scale of our own making."""
    config = _teacher()
    set_activation(config, sigmoid=False)
    config.sentence_transformers["activation_fn"] = "torch.nn.modules.activation.Tanh"
    with pytest.raises(TeacherError, match="Tanh"):
        task_of_teacher(config, "reranking", where="t")


def test_refuses_a_head_of_two_outputs() -> None:
    """Nothing says which of them orders candidates, and half the guesses turn the order round."""
    with pytest.raises(TeacherError, match="2 outputs: nothing says which"):
        task_of_teacher(_teacher(2), "reranking", where="t")
    with pytest.raises(TeacherError, match="task is reranking"):
        task_of_teacher(
            _teacher(1, problem_type="multi_label_classification"), "reranking", where="t"
        )


LISTS = {"query": "q", "passages": ["a", "b"], "labels": [1, 0]}
PAIR = {"query": "q", "passage": "a", "label": 1.0}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (LISTS, "reranking"),
        (PAIR | {"qid": 3}, "reranking"),
        (PAIR, "regression"),
        ({}, "regression"),
    ],
)
def test_rows_say_whether_one_number_ranks(row: dict[str, Any], found: str) -> None:
    """A head of one number is that of both tasks, and a wrong guess trains towards a wrong loss."""
    config = _teacher()
    task = task_of_teacher(config, "auto", where="t")
    assert task.name == "regression"
    assert task_beside_rows(task, config, row, DataConfig()).name == found


def test_rows_never_turn_another_head_into_one_that_ranks() -> None:
    """Classes of pairs that happen to name their query stay classes."""
    config = _teacher(2)
    task = task_of_teacher(config, "auto", where="t")
    assert task_beside_rows(task, config, LISTS, DataConfig()) is task


def test_rows_say_the_task_of_a_new_teacher() -> None:
    """`teach` has no head to look at."""
    assert task_of_rows(LISTS, DataConfig(), "auto").name == "reranking"
    assert task_of_rows(PAIR | {"query_id": "7"}, DataConfig(), "auto").name == "reranking"
    assert task_of_rows(PAIR, DataConfig(), "reranking").name == "reranking"
    assert task_of_rows(PAIR, DataConfig(), "auto").name == "single_label"
    assert [task.name for task in TASKS].count("reranking") == 1
