"""Weights of terms that adapt while training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.training.balance import EVERY, Balance


class _Joint(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(4, 3)
        self.layer = nn.Linear(3, 3, bias=False)


def _values(module: _Joint, *scales: float) -> dict[str, torch.Tensor]:
    """Terms whose gradients on the layer are these many times the same."""
    return {
        name: scale * module.layer.weight.sum() for name, scale in zip("ab", scales, strict=True)
    }


def test_gradients_of_all_terms_are_brought_to_one_norm() -> None:
    """A term in squared states would else drown one in nats."""
    balance, module = Balance("gradients", ["a", "b"]), _Joint()
    factors = balance.factors(1, _values(module, 1.0, 9.0), module)
    assert factors["a"] == pytest.approx(9 * factors["b"])
    assert sum(factors.values()) == pytest.approx(2.0)


def test_norms_are_measured_every_few_steps_alone() -> None:
    """A backward pass for each term in every step would double its cost."""
    balance, module = Balance("gradients", ["a", "b"]), _Joint()
    first = dict(balance.factors(1, _values(module, 1.0, 3.0), module))
    assert balance.factors(2, _values(module, 5.0, 1.0), module) == first
    assert balance.factors(EVERY + 1, _values(module, 5.0, 1.0), module) != first


def test_what_falls_slowly_counts_more() -> None:
    """After a window at (4, 4) and one at (1, 3), a has 1/4 left and b 3/4."""
    balance, module = Balance("progress", ["a", "b"]), _Joint()
    for a, b in [(4.0, 4.0)] * EVERY + [(1.0, 3.0)] * EVERY:
        balance.note({"a": torch.tensor(a), "b": torch.tensor(b)})
    factors = balance.factors(1, {}, module)
    assert factors["b"] == pytest.approx(3 * factors["a"])
    assert sum(factors.values()) == pytest.approx(2.0)


def test_without_a_mode_every_factor_is_one() -> None:
    """The recipe's weights must be what they say."""
    balance, module = Balance("none", ["a", "b"]), _Joint()
    for _ in range(2 * EVERY):
        balance.note({"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    assert balance.factors(1, _values(module, 1.0, 9.0), module) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize("mode", ["gradients", "progress"])
def test_a_saved_balance_goes_on_where_it_was(mode: str) -> None:
    """A resumed training must end like a straight one."""
    module = _Joint()
    straight, saved = Balance(mode, ["a", "b"]), Balance(mode, ["a", "b"])
    for number in range(1, 3 * EVERY):
        for balance in (straight, saved):
            balance.factors(number, _values(module, 1.0, 1.0 + number), module)
            balance.note({"a": torch.tensor(1.0 / number), "b": torch.tensor(2.0)})
        if number == EVERY + 7:
            again = Balance(mode, ["a", "b"])
            again.load(saved.state())
            saved = again
    assert saved.factors(2, {}, module) == straight.factors(2, {}, module)
