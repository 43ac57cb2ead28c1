"""Parts that do not learn for a while do not, and do again afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.training.conftest import Bench

from limbeck.config.terms import HardTerm
from limbeck.teacher.family import layer_modules
from limbeck.training.frozen import only, without_learning


def test_nothing_but_the_named_modules_moves(bench: Bench, tmp_path: Path) -> None:
    """A layer that was done must not be undone by the next one's training."""
    model = bench.student(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layer = layer_modules(model, bench.checkpoint.family)[1]
    with only(model, [layer]):
        bench.train(model, (HardTerm(weight=1.0),), bench.lessons(), tmp_path)
    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert moved == {n for n in before if n.startswith("bert.encoder.layer.1.")}


def test_what_learned_before_learns_again(bench: Bench) -> None:
    """A stage that leaves weights frozen would cripple the next one in silence."""
    model = bench.student()
    model.classifier.bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    with only(model, [model.bert.embeddings]):
        assert {p.requires_grad for p in model.bert.embeddings.parameters()} == {True}
        assert not any(p.requires_grad for p in model.bert.encoder.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    with without_learning(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == before


def test_refuses_to_let_nothing_learn(bench: Bench) -> None:
    """A training in which nothing can move costs an hour and says nothing."""
    with pytest.raises(ValueError, match="nothing would be learned"), only(bench.student(), []):
        pass


def test_a_broken_training_leaves_nothing_frozen(bench: Bench) -> None:
    """The model may be trained on after an error or an interruption."""
    model = bench.student()

    def break_off() -> None:
        with only(model, [model.bert.embeddings]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert all(parameter.requires_grad for parameter in model.parameters())
