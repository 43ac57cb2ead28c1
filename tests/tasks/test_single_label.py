"""One class a row: what the task says of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from limbeck.data.texts import Texts
from limbeck.errors import DataError
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.tasks.task import agreement, score

_GENERATOR = np.random.default_rng(0)
OUTPUTS = _GENERATOR.normal(size=(50, 3))
LABELS = _GENERATOR.integers(0, 2, 50)  # the last class occurs nowhere


def test_score_and_figures_are_scikit_learns() -> None:
    """Scores must be those that others compute; a class without rows has no recall to average."""
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    answers = OUTPUTS.argmax(1)
    assert score(SINGLE_LABEL, OUTPUTS, LABELS) == pytest.approx(accuracy_score(LABELS, answers))
    found = SINGLE_LABEL.measures(OUTPUTS, LABELS, list("abc"))
    expected = precision_recall_fscore_support(
        LABELS, answers, labels=[0, 1], average="macro", zero_division=0.0
    )
    assert list(found.metrics.values()) == pytest.approx(expected[:3])
    assert np.sum(found.confusion) == 50
    assert found.per_class["c"]["support"] == 0


def test_mixed_teachers_are_the_logarithm_of_their_mean_distribution() -> None:
    """Its softmax must be what the ensemble predicts."""
    logits = np.random.default_rng(1).normal(scale=3, size=(2, 4, 3))
    weights = np.array([0.75, 0.25])[:, None].repeat(4, 1)
    mixed = SINGLE_LABEL.mixed(torch.tensor(logits), torch.tensor(weights)).double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(mixed), (weights[..., None] * shares).sum(0), rtol=1e-5)


def test_answers_are_alike_where_the_likeliest_class_is() -> None:
    """Agreement counts what users see."""
    others = OUTPUTS + 3.0  # a softmax does not see a shift
    assert agreement(SINGLE_LABEL, OUTPUTS, others) == 1
    assert not SINGLE_LABEL.distance(OUTPUTS, others).any()
    others[0] = np.roll(OUTPUTS[0], 1)
    assert agreement(SINGLE_LABEL, OUTPUTS, others) == pytest.approx(0.98)


def test_refuses_one_class_alone(split_of: Callable[..., Texts]) -> None:
    """There is nothing to tell apart."""
    texts = split_of(SINGLE_LABEL, ["a", "a"])
    targets = SINGLE_LABEL.targets(texts, ["a", "b"], source="f")
    with pytest.raises(DataError, match="'a'"):
        SINGLE_LABEL.refuse_unlearnable(targets, ["a", "b"], "f")
