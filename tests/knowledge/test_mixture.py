"""Several teachers as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.stages import EnsembleConfig
from limbeck.knowledge.mixture import Mixture, Voice
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.teacher.parts import Part

ROWS = np.array([2, 0, 1])
LABELS = np.array([0, 2, -100])


class _Said:
    """Answers that were written down, [rows, classes]."""

    def __init__(self, seed: int, order: list[int]) -> None:
        self.all = np.random.default_rng(seed).normal(size=(3, 3)).astype(np.float32)[:, order]

    def logits(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self.all[rows])

    def states(self, part: Part, rows: np.ndarray, **_: Any) -> torch.Tensor:
        return torch.full((len(rows), 1), float(self.all[0, 0]))


def _softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def _mixture(**config: Any) -> tuple[Mixture, np.ndarray]:
    """A mixture of two, the second with its classes in another order; both in the first's."""
    first, second = _Said(0, [0, 1, 2]), _Said(1, [2, 0, 1])
    voices = [Voice(first, np.arange(3)), Voice(second, np.array([1, 2, 0]))]
    own = np.stack([first.all, second.all[:, [1, 2, 0]]]).astype(np.float64)
    return Mixture(voices, EnsembleConfig.model_validate(config), LABELS, SINGLE_LABEL), own


def test_the_mean_is_that_of_probabilities_in_the_first_teachers_order() -> None:
    """A class of the one added to another class of the other teaches nonsense."""
    mixture, own = _mixture()
    expected = np.log(_softmax(own).mean(0))[ROWS]
    np.testing.assert_allclose(mixture.logits(ROWS).numpy(), expected, rtol=1e-5)


def test_weights_are_shares() -> None:
    """Weights of 3 and 1 are 75 % and 25 %."""
    mixture, own = _mixture(combine="weighted", weights=(3, 1))
    p, q = _softmax(own)
    expected = np.log(0.75 * p + 0.25 * q)[ROWS]
    np.testing.assert_allclose(mixture.logits(ROWS).numpy(), expected, rtol=1e-5)


def test_confidence_hears_the_teacher_that_is_right_about_the_row() -> None:
    """From CA-MKD: the share is 1 - softmax of the cross entropies; of entropies without label."""
    mixture, own = _mixture(combine="confidence")
    p = _softmax(own)
    cost = np.stack([-np.log(p[:, 0, 0]), -np.log(p[:, 1, 2]), -(p * np.log(p)).sum(-1)[:, 2]], 1)
    shares = 1 - np.exp(cost) / np.exp(cost).sum(0)
    expected = np.log((shares[..., None] * p).sum(0))[ROWS]
    np.testing.assert_allclose(mixture.logits(ROWS).numpy(), expected, rtol=1e-4)


def test_states_are_those_of_the_first_teacher() -> None:
    """Layers of two teachers have nothing in common to mix."""
    mixture, own = _mixture()
    found = mixture.states(Part("hidden", 1), ROWS, width=1, left=False)
    assert found[0, 0] == pytest.approx(own[0, 0, 0])
