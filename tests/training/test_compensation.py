"""What is left of a layer, refitted, against least squares on the rows themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from limbeck.student.pruned import whole
from limbeck.teacher.ask import ask
from limbeck.teacher.family import layer_modules
from limbeck.teacher.thin import Kept, make_thin, matrices
from limbeck.training import compensation
from limbeck.training.compensation import least_squares, put_in, refits
from limbeck.training.importance import sampled

KEPT = np.array([0, 2, 5])


def _case(rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray, torch.Tensor]:
    generator = np.random.default_rng(5)
    inputs = generator.normal(size=(rows, 6)) + 0.7
    weight, bias = generator.normal(size=(4, 6)), generator.normal(size=4)
    joined = np.hstack([inputs, np.ones((rows, 1))])
    return inputs, weight, bias, torch.from_numpy(joined.T @ joined)


def test_it_is_least_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worse weights than the best would cost training to mend."""
    monkeypatch.setattr(compensation, "_RIDGE", 0.0)
    inputs, weight, bias, moments = _case()
    new = least_squares(torch.from_numpy(weight), torch.from_numpy(bias), moments, KEPT)
    design = np.hstack([inputs[:, KEPT], np.ones((len(inputs), 1))])
    expected, *_ = np.linalg.lstsq(design, inputs @ weight.T + bias, rcond=None)
    np.testing.assert_allclose(new.weight.numpy(), expected[:-1].T, atol=1e-9)
    np.testing.assert_allclose(new.bias.numpy(), expected[-1], atol=1e-9)


def test_what_follows_from_the_rest_goes_without_a_loss() -> None:
    """A copy of another neuron and a constant one are no loss at all."""
    inputs, weight, bias, _ = _case()
    inputs[:, 1], inputs[:, 3], inputs[:, 4] = inputs[:, 0], 0.25, 2 * inputs[:, 2] - inputs[:, 5]
    joined = np.hstack([inputs, np.ones((len(inputs), 1))])
    moments = torch.from_numpy(joined.T @ joined)
    new = least_squares(torch.from_numpy(weight), torch.from_numpy(bias), moments, KEPT)
    before = inputs @ weight.T + bias
    after = inputs[:, KEPT] @ new.weight.numpy().T + new.bias.numpy()
    cut = inputs[:, KEPT] @ weight[:, KEPT].T + bias
    assert np.abs(after - before).mean() < 0.01 * np.abs(cut - before).mean()


def test_nothing_moves_where_nothing_goes() -> None:
    """A ridge towards zero would shrink every matrix that is looked at."""
    _, weight, bias, moments = _case()
    new = least_squares(torch.from_numpy(weight), torch.from_numpy(bias), moments, np.arange(6))
    np.testing.assert_allclose(new.weight.numpy(), weight, atol=1e-9)
    np.testing.assert_allclose(new.bias.numpy(), bias, atol=1e-9)


def test_a_students_layers_stay_nearer_to_what_they_gave(bench: Any) -> None:
    """Refitted on padding, or on another matrix's inputs, they would be farther."""
    model = bench.student().eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    lessons, checkpoint = bench.lessons(), bench.checkpoint
    there = whole(model, checkpoint.family)
    kept = Kept(tuple(layer[:1] for layer in there.heads), tuple(k[::3] for k in there.neurons))
    batches = [lessons.batch(checkpoint, rows, 1) for rows in sampled(lessons, 0)]
    with torch.no_grad():
        before = [ask(model, batch, checkpoint.family).logits for batch in batches]
    new = refits(model, checkpoint, batches, kept)
    make_thin(model, checkpoint.family, kept)

    def distance() -> float:
        with torch.no_grad():
            now = [ask(model, batch, checkpoint.family).logits for batch in batches]
        return float(torch.cat([(a - b).abs() for a, b in zip(now, before, strict=True)]).mean())

    bare = distance()
    put_in(model, checkpoint, new)
    assert distance() < 0.7 * bare
    one = matrices(layer_modules(model, checkpoint.family)[0], model.config)
    assert one.down.weight.shape[1] == len(kept.neurons[0])
