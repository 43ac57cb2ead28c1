"""The learning rate, what AdamW decays, and that its shortcuts change nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from limbeck.config.recipe import TrainingConfig
from limbeck.training.optimizer import AdamW, learning_rate, tables_by_row

ROWS, WIDTH = 3000, 8


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


class _Reader(nn.Module):
    """Reads a table, as an encoder does: a layer, a norm and a head above it."""

    def __init__(self, *, padding: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(ROWS, WIDTH, padding_idx=padding)
        self.linear = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(self.table(ids)).float())


def _ids(step: int) -> torch.Tensor:
    """A few frequent tokens and many rare ones, other ones in every step."""
    generator = torch.Generator().manual_seed(step)
    frequent = torch.randint(0, 20, (4, 6), generator=generator)
    rare = torch.randint(20, 400, (4, 4), generator=generator)
    return torch.cat([frequent, rare], dim=1)


def _loss(reader: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    target = torch.sin(ids.float())[..., None] * torch.arange(1, WIDTH + 1)
    return (reader(ids) - target).square().mean()


def _rate(step: int) -> float:
    return 1e-3 * min(1.0, (step + 1) / 20) * (1 - step / 400)


CONFIG = TrainingConfig(weight_decay=0.1, clip_norm=1.2)


def _dense(reader: nn.Module, steps: int) -> list[float]:
    """The authority: torch's own AdamW and clipping, nothing fused, nothing skipped."""
    matrices = [p for p in reader.parameters() if p.ndim >= 2]
    vectors = [p for p in reader.parameters() if p.ndim < 2]
    adamw = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": CONFIG.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        fused=False,
        foreach=False,
    )
    norms = []
    for step in range(steps):
        _loss(reader, _ids(step)).backward()
        norms.append(float(nn.utils.clip_grad_norm_(reader.parameters(), CONFIG.clip_norm)))
        for group in adamw.param_groups:
            group["lr"] = _rate(step)
        adamw.step()
        adamw.zero_grad()
    return norms


def _ours(reader: nn.Module, steps: int, *, parts: int = 1, **settings: Any) -> list[float]:
    optimizer = AdamW(reader, CONFIG, by_row=tables_by_row(reader), **settings)
    norms = []
    for step in range(steps):
        for part in _ids(step).chunk(parts):
            (_loss(reader, part) / parts).backward()
            optimizer.collect()
        norms.append(float(optimizer.step(_rate(step))))
    optimizer.release()
    return norms


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("padding", [None, 3])
def test_updating_by_row_is_the_dense_update(parts: int, padding: int | None) -> None:
    """A row that is skipped keeps its momentum and its decay in the dense optimizer."""
    dense, ours = _Reader(padding=padding), _Reader(padding=padding)
    start = dense.table.weight.detach().clone()
    expected = _dense(dense, 200)
    norms = _ours(ours, 200, parts=parts)
    assert max(norms) > CONFIG.clip_norm > min(norms)
    assert norms == pytest.approx(expected, rel=2e-3)
    moved = (dense.table.weight.detach() - start).abs().max()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(
            value, dense.state_dict()[name], atol=2e-3 * float(moved), rtol=1e-4, msg=name
        )


def test_a_row_left_alone_for_long_moves_as_in_the_dense_update() -> None:
    """The closed form must hold over one step and over a thousand, decay included."""
    for gap in (1, 2, 7, 60, 1500):
        readers = _Reader(), _Reader().double()
        ours = AdamW(readers[0], CONFIG, by_row=tables_by_row(readers[0]))
        dense = torch.optim.AdamW(readers[1].table.parameters(), weight_decay=0.1, foreach=False)
        for step in range(3 + gap):
            rate = 1e-2 / (1 + step)
            ids = torch.tensor([[5 if step < 3 else 6]])
            for reader in readers:
                reader.table(ids).mul(torch.arange(WIDTH) - 3.5).sum().mul(0.01).backward()
            for name in ("linear", "norm"):
                for parameter in getattr(readers[0], name).parameters():
                    parameter.grad = torch.zeros_like(parameter)
            ours.step(rate)
            dense.param_groups[0]["lr"] = rate
            dense.step()
            dense.zero_grad()
        weights = ours.weights()["table.weight"]
        exact = readers[1].table.weight.detach().float()
        torch.testing.assert_close(weights, exact, atol=5e-6, rtol=1e-6)
        ours.release()


def test_biases_and_norms_are_not_decayed() -> None:
    """Decay on a LayerNorm's scale pulls it away from 1."""
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimizer = AdamW(module, TrainingConfig(weight_decay=0.5))
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(0.1)
    for name, value in module.state_dict().items():
        shrunk = 0.95 if value.ndim == 2 else 1.0
        torch.testing.assert_close(value, before[name] * shrunk, msg=name)


def test_small_updates_reach_the_float32_masters() -> None:
    """In bfloat16 alone, a weight of 1 does not move by less than 0.004: training stands still."""
    linear = nn.Linear(4, 4)
    with torch.no_grad():
        linear.weight.fill_(1.0)
    optimizer = AdamW(linear, TrainingConfig(weight_decay=0.0, clip_norm=1e9), precision="bfloat16")
    assert linear.weight.dtype == torch.bfloat16
    for _ in range(100):
        linear(torch.ones(2, 4, dtype=torch.bfloat16)).float().sum().backward()
        optimizer.collect()
        optimizer.step(1e-4)
    optimizer.release()
    assert linear.weight.dtype == torch.float32
    torch.testing.assert_close(linear.weight, torch.full((4, 4), 0.99), atol=1e-4, rtol=0)


def test_bfloat16_layers_learn_what_float32_ones_learn() -> None:
    """The copies that compute must follow their masters in every step."""
    ours = [_Reader(), _Reader()]
    _ours(ours[0], 120)
    with torch.autocast("cpu", torch.bfloat16):
        _ours(ours[1], 120, precision="bfloat16")
    with torch.no_grad():
        losses = [float(_loss(reader, _ids(7))) for reader in ours]
        start = float(_loss(_Reader(), _ids(7)))
    assert losses[0] < 0.95 * start
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_state_that_is_loaded_goes_on_bit_for_bit(precision: str) -> None:
    """Rows that are late, masters and moments are all part of where a training stands."""

    def steps(reader: nn.Module, optimizer: AdamW, first: int, last: int) -> None:
        for step in range(first, last):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                _loss(reader, _ids(step)).backward()
            optimizer.collect()
            optimizer.step(_rate(step))

    straight = _Reader()
    optimizer = AdamW(straight, CONFIG, precision=precision, by_row=tables_by_row(straight))
    steps(straight, optimizer, 0, 30)
    saved = {name: value.clone() for name, value in optimizer.state().items()}
    steps(straight, optimizer, 30, 60)

    resumed = _Reader()
    again = AdamW(resumed, CONFIG, precision=precision, by_row=tables_by_row(resumed))
    again.load(saved)
    steps(resumed, again, 30, 60)
    for name, value in optimizer.weights().items():
        assert torch.equal(value, again.weights()[name]), name


def test_only_large_tables_of_ones_own_are_updated_by_row() -> None:
    """A tied or renormalized table has readers that the shortcut does not see."""
    own, small = nn.Embedding(4000, 4), nn.Embedding(10, 4)
    tied, head = nn.Embedding(4000, 4), nn.Linear(4, 4000, bias=False)
    head.weight = tied.weight
    limited, frozen = nn.Embedding(4000, 4, max_norm=1.0), nn.Embedding(4000, 4)
    frozen.weight.requires_grad_(False)
    module = nn.ModuleList([own, small, tied, head, limited, frozen])
    assert list(tables_by_row(module).values()) == [own]


def test_reading_the_table_outside_training_sees_every_row_up_to_date() -> None:
    """A look at validation between two steps must see the weights that would be saved."""
    reader = _Reader()
    optimizer = AdamW(reader, CONFIG, by_row=tables_by_row(reader))
    for step in range(10):
        _loss(reader, _ids(step)).backward()
        optimizer.step(1e-2)
    reader.eval()
    with torch.inference_mode():
        seen = reader.table(torch.arange(ROWS))
    assert torch.equal(seen, optimizer.weights()["table.weight"])
