"""The learning rate and what AdamW decays."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from limbeck.config.recipe import TrainingConfig
from limbeck.training.optimizer import adamw, learning_rate


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    """A rate of 0 in the first step would waste it; one that stays high ends unsettled."""
    config = TrainingConfig(learning_rate=1e-3, warmup_share=0.1)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) == 9
    assert rates[-1] == pytest.approx(1e-3 / 90)
    assert all(a > b for a, b in pairwise(rates[10:]))


@pytest.mark.parametrize("total", [1, 2, 3])
def test_short_trainings_have_a_rate_too(total: int) -> None:
    """Three steps are what a test, or a dozen rows, have."""
    rates = [learning_rate(step, total, TrainingConfig()) for step in range(total)]
    assert all(rate > 0 for rate in rates)


def test_biases_and_norms_are_not_decayed() -> None:
    """Decay on a LayerNorm's scale pulls it away from 1."""
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    optimizer = adamw(module, TrainingConfig(weight_decay=0.5), fused=False)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decay[id(module[0].weight)] == 0.5
    assert decay[id(module[0].bias)] == decay[id(module[1].weight)] == 0.0


def test_fused_and_plain_adamw_agree() -> None:
    """The fast one must be the same method."""
    steps = []
    for fused in (False, True):
        torch.manual_seed(0)
        linear = nn.Linear(8, 8)
        optimizer = adamw(linear, TrainingConfig(learning_rate=0.1), fused=fused)
        for _ in range(3):
            linear(torch.ones(2, 8)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        steps.append(linear.weight.detach().clone())
    torch.testing.assert_close(steps[0], steps[1])
