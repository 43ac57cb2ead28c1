"""Sets of labels: read, learned, mixed and judged class by class."""

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
from limbeck.objective import logit_kl
from limbeck.tasks.multi_label import MultiLabel
from limbeck.tasks.task import agreement, says_one_thing, score

TASK = MultiLabel()
Split = Callable[..., Texts]
_GENERATOR = np.random.default_rng(0)
OUTPUTS = _GENERATOR.normal(size=(40, 4)).astype(np.float32)
TARGETS = (_GENERATOR.random((40, 4)) < [0.6, 0.4, 0.2, 0.0]).astype(np.int8)


def _targets(split: Split, labels: list[Any], names: list[str], **data: Any) -> np.ndarray:
    return TASK.targets(split(TASK, labels, **data), names, source="f")


def test_targets_are_zeros_and_ones_in_the_teachers_order(split_of: Split) -> None:
    """One column further, every class would be taught as its neighbor."""
    found = _targets(split_of, [["b"], [], ["C", "a"], None], ["a", "b", "c"])
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0], [1, 0, 1], [-100, -100, -100]])
    assert found.dtype == np.int8


def test_integers_are_indices_unless_all_are_names(split_of: Split) -> None:
    """Where classes are called 1, 2, 3, some labels would else be names and others indices."""
    names = ["1", "2", "3"]
    np.testing.assert_array_equal(_targets(split_of, [[1], [3]], names), [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(_targets(split_of, [[0], [2]], names), [[1, 0, 0], [0, 0, 1]])


def test_splits_are_numbered_alike(split_of: Split) -> None:
    """A validation file that happens to lack class 0 must not be read by another rule."""
    train = split_of(TASK, [[0], [1, 2]])
    validation = split_of(TASK, [[1], [2]], name="validation")
    names = ["1", "2", "3"]
    found = TASK.targets(validation, names, source="f", beside=[train, validation])
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 1]])


def test_names_of_the_data_are_sorted_as_what_they_are(split_of: Split) -> None:
    """Class 10 between 1 and 2 would move all that follow."""
    names = TASK.names(split_of(TASK, [[10, 2], [1]]), DataConfig(), None, "f")
    assert names == ["1", "2", "10"]
    joined = split_of(TASK, ["b#a", "c"], label_separator="#")
    assert TASK.names(joined, DataConfig(), None, "f") == ["a", "b", "c"]
    assert TASK.names(joined, DataConfig(labels=("c", "b", "a")), None, "f") == ["c", "b", "a"]


def test_refuses_labels_that_are_no_class(split_of: Split) -> None:
    """The message names the row and the nearest class."""
    with pytest.raises(TeacherError, match=r"train/2.*'prise'.*praise"):
        _targets(split_of, [["praise"], ["prise"]], ["praise", "blame"])
    with pytest.raises(TeacherError, match="'7'"):
        _targets(split_of, [[0], [7]], ["a", "b"])


def test_refuses_classes_of_the_same_name(split_of: Split) -> None:
    """One of them would never be learned."""
    with pytest.raises(TeacherError, match="same name"):
        _targets(split_of, [["a"]], ["a b", "a_b"])


def test_refuses_labels_that_leave_nothing_to_learn(split_of: Split) -> None:
    """An hour of training would end in a constant."""
    same = np.array([[1, 0], [1, 0], [-100, -100]], dtype=np.int8)
    with pytest.raises(DataError, match="same labels"):
        TASK.refuse_unlearnable(same, ["a", "b"], "f")
    TASK.refuse_unlearnable(same[2:], ["a", "b"], "f")  # no label at all is the teacher's to answer
    with pytest.raises(DataError, match="no row has a label"):
        TASK.names(split_of(TASK, [None, []]), DataConfig(), None, "f")


def test_refuses_a_teacher_with_its_classes_in_another_order() -> None:
    """Every label would train towards another class, at a plausible loss."""
    outputs = np.where(TARGETS > 0, 2.0, -2.0)
    TASK.refuse_stranger(outputs, TARGETS, list("abcd"), where="t")
    with pytest.raises(TeacherError, match="label order"):
        TASK.refuse_stranger(outputs[:, [1, 0, 2, 3]], TARGETS, list("abcd"), where="t")
    nothing = np.zeros_like(TARGETS)
    TASK.refuse_stranger(outputs, nothing, list("abcd"), where="t")  # nothing tells the order


def test_score_is_scikit_learns_micro_f1() -> None:
    """Scores must be those that others compute."""
    from sklearn.metrics import average_precision_score, f1_score

    assert score(TASK, OUTPUTS, TARGETS) == pytest.approx(
        f1_score(TARGETS, OUTPUTS > 0, average="micro")
    )
    found = TASK.measures(OUTPUTS, TARGETS, list("abcd"))
    assert found.metrics["macro_f1"] == pytest.approx(
        f1_score(TARGETS[:, :3], OUTPUTS[:, :3] > 0, average="macro")  # the last occurs nowhere
    )
    assert found.metrics["mean_average_precision"] == pytest.approx(
        average_precision_score(TARGETS[:, :3], OUTPUTS[:, :3], average="macro")
    )
    exact = ((OUTPUTS > 0) == TARGETS).all(1).mean()
    assert found.metrics["exact_match"] == pytest.approx(exact)
    assert found.per_class["b"]["support"] == TARGETS[:, 1].sum()
    assert found.confusion == []


def test_nothing_to_find_scores_zero_and_does_not_fail() -> None:
    """A test set of rows to which no class applies is judged, not crashed on."""
    nothing = np.zeros_like(TARGETS)
    assert score(TASK, OUTPUTS, nothing) == 0
    assert TASK.measures(OUTPUTS, nothing, list("abcd")).metrics["mean_average_precision"] == 0


def test_losses_are_binary() -> None:
    """A softmax would make the student choose between labels that apply together."""
    student = torch.zeros(1, 2)
    both = torch.full((1, 2), 8.0)
    assert logit_kl(student, both, temperature=1.0) == pytest.approx(0, abs=1e-6)
    sure = torch.sigmoid(both).double().numpy()
    expected = (sure * np.log(2 * sure) + (1 - sure) * np.log(2 * (1 - sure))).mean()
    assert TASK.soft(student, both, temperature=1.0).item() == pytest.approx(expected, rel=1e-5)
    hard = TASK.hard(student, torch.tensor([[1, 1]], dtype=torch.int8))
    assert hard.item() == pytest.approx(np.log(2))


def test_mixed_teachers_are_the_mean_of_their_probabilities() -> None:
    """A mean of logits lets one very sure teacher speak for all."""
    logits = np.random.default_rng(1).normal(scale=4, size=(3, 5, 4))
    weights = np.array([0.5, 0.3, 0.2])[:, None].repeat(5, 1)
    mixed = TASK.mixed(torch.tensor(logits), torch.tensor(weights)).double().numpy()
    expected = (weights[..., None] / (1 + np.exp(-logits))).sum(0)
    np.testing.assert_allclose(1 / (1 + np.exp(-mixed)), expected, rtol=1e-5)
    same = np.full((2, 1, 2), [90.0, -90.0])  # where a probability is 1 or 0 in float32
    found = TASK.mixed(torch.tensor(same), torch.full((2, 1), 0.5)).numpy()
    np.testing.assert_allclose(found, same[0], rtol=1e-5)


@pytest.mark.parametrize(
    "term",
    [
        *({"divergence": name} for name in ("decoupled", "correlation", "reverse_kl", "skewed_kl")),
        {"standardize": True}, {"examples": "teacher_entropy"},
    ],
    ids=str,
)  # fmt: skip
def test_terms_about_exclusive_classes_do_not_fit(term: Any) -> None:
    """They would be computed by a softmax that the head was never trained for."""
    assert TASK.unfit(LogitsTerm.model_validate({"kind": "logits", "weight": 1.0} | term))
    assert not TASK.unfit(LogitsTerm(kind="logits", weight=1.0))


def test_answers_differ_where_any_class_does() -> None:
    """A row that gains a label is another answer, though its surest label stays."""
    outputs = np.array([[2.0, -1.0], [2.0, 1.0], [-1.0, -1.0]])
    others = np.array([[3.0, -2.0], [2.0, -1.0], [-2.0, -0.5]])
    np.testing.assert_array_equal(TASK.changed(outputs, others), [False, True, False])
    assert agreement(TASK, outputs, others) == pytest.approx(2 / 3)
    apart = TASK.distance(outputs, others)
    assert apart[1] == pytest.approx(1 / (1 + np.exp(-1)) - 1 / (1 + np.exp(1)))
    assert apart[0] == apart[2] == 0


def test_the_same_answer_to_every_row_is_found_out() -> None:
    """Its micro F1 looks fine where one label is frequent."""
    frequent = np.array([[3.0, -2.0], [1.0, -4.0]])
    assert says_one_thing(TASK, frequent)
    assert not says_one_thing(TASK, OUTPUTS)


def test_answers_are_said_as_sets() -> None:
    """One label out of several is half an answer, and none is an answer too."""
    names = ["a", "b", "c"]
    said = TASK.said(np.array([0.9, 0.2, 0.6]), names)
    assert (said.words, said.probability) == ("a, c", pytest.approx(0.6))
    assert TASK.said(np.array([0.1, 0.2, 0.3]), names).words == "none"
    assert TASK.wanted(np.array([0, 1, 1]), names) == "b, c"
    assert TASK.wanted(np.array([0, 0, 0]), names) == "none"
