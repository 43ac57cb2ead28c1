"""What the loss hangs on, against the loss itself."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from limbeck.student.pruned import whole
from limbeck.teacher.family import layer_modules, remove_layer
from limbeck.teacher.thin import matrices
from limbeck.training import importance as module
from limbeck.training.importance import (
    importance_of,
    losses_without_layers,
    mean_loss,
    sampled,
)


def _gated(model: Any, family: Any, layer: int, columns: slice, gate: float, of: str) -> None:
    weight = getattr(matrices(layer_modules(model, family)[layer], model.config), of).weight
    with torch.no_grad():
        weight[:, columns] *= gate


def test_it_is_the_derivative_of_the_loss_by_a_gate(bench: Any, monkeypatch: Any) -> None:
    """A wrong block of columns would take out the heads that matter."""
    monkeypatch.setattr(module, "_BATCH", 64)  # one batch: its mean is the loss's own derivative
    model = bench.student().double().eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())
        )
    lessons = bench.lessons()
    checkpoint, family = bench.checkpoint, bench.checkpoint.family
    found = importance_of(model, checkpoint, lessons, sampled(lessons, 0), temperature=1.0)
    batches = sampled(lessons, 0)
    assert len(batches) == 1
    size = matrices(layer_modules(model, family)[0], model.config).head_size
    for of, layer, place, columns in (
        ("writes", 0, 1, slice(size, 2 * size)),
        ("writes", 1, 0, slice(0, size)),
        ("down", 1, 7, slice(7, 8)),
    ):
        losses = []
        for gate in (1.01, 0.99):
            _gated(model, family, layer, columns, gate, of)
            loss = module._loss(model, checkpoint, lessons, batches[0], 1.0)
            losses.append(float(loss.detach()))
            _gated(model, family, layer, columns, 1 / gate, of)
        derivative = abs(losses[0] - losses[1]) / 2e-2
        told = (found.heads if of == "writes" else found.neurons)[layer][place]
        np.testing.assert_allclose(told, derivative, rtol=1e-2, atol=1e-5)
    assert whole(model, family).heads[0] == tuple(range(len(found.heads[0])))


def test_a_layer_that_is_passed_over_is_as_good_as_gone(bench: Any) -> None:
    """A layer that were only damped would be missed more than it is, and another one would go."""
    model = bench.student().eval()
    lessons, checkpoint = bench.lessons(), bench.checkpoint
    sample = sampled(lessons, 0)
    told = losses_without_layers(model, checkpoint, lessons, sample, temperature=2.0)
    layers = layer_modules(model, checkpoint.family)
    assert len(told) == len(layers)
    for place in range(len(layers)):
        shorter = copy.deepcopy(model)
        remove_layer(shorter, checkpoint.family, place)
        shorter.config.num_hidden_layers -= 1
        loss = mean_loss(shorter, checkpoint, lessons, sample, temperature=2.0)
        np.testing.assert_allclose(told[place], loss, rtol=1e-5)
    assert len(set(np.round(told, 6))) == len(told)


def test_the_student_stays_as_it_is(bench: Any) -> None:
    """Looking must not train."""
    model = bench.student().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lessons = bench.lessons()
    importance_of(model, bench.checkpoint, lessons, sampled(lessons, 0), temperature=1.0)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
