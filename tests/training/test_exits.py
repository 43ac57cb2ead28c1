"""Self-distillation: the last layer teaches the exits, and the exits are thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import Bench

from limbeck.config.terms import ExitsTerm, HardTerm
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.training.choice import Machine
from limbeck.training.inputs import Inputs, Sides
from limbeck.training.layer_maps import Depths
from limbeck.training.log import read_log
from limbeck.training.losses import label_share, term_value

EXITS = ExitsTerm(weight=0.5, layers=(1, 2), temperature=3.0, hard=0.25)
SIDES = Sides(Depths(2, 2), 1, 1, first_token=0, seed=0, task=SINGLE_LABEL)


def _inputs(own: torch.Tensor, exits: dict[int, torch.Tensor], labels: torch.Tensor) -> Inputs:
    return Inputs(
        student_logits=own,
        student_states={},
        projected={},
        exit_logits=exits,
        labels=labels,
        attention_mask=torch.ones(len(own), 3),
        teacher_logits=None,
        teacher_states={},
        number=1,
        share=0.0,
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def test_an_exit_learns_from_the_last_layer_and_the_labels() -> None:
    """Mean over exits of  h CE(exit, label) + (1 - h) T^2 KL(last_T || exit_T); last is fixed."""
    draw = np.random.default_rng(0)
    last, one, two = draw.normal(size=(3, 5, 3)) * 2
    labels = np.array([0, -100, 2, 1, -100])
    own = torch.tensor(last, requires_grad=True)
    exits = {1: torch.tensor(one, requires_grad=True), 2: torch.tensor(two, requires_grad=True)}
    value = term_value(EXITS, _inputs(own, exits, torch.tensor(labels)), SIDES)
    value.backward()
    assert own.grad is None
    expected, known, target = 0.0, labels >= 0, _softmax(last / 3)
    for logits, layer in ((one, 1), (two, 2)):
        plain, warm = _softmax(logits), _softmax(logits / 3)
        hard = -np.log(plain[known, labels[known]]).mean()
        soft = 9 * (target * np.log(target / warm)).sum(1).mean()
        expected += (0.25 * hard + 0.75 * soft) / 2
        slope = 0.75 * 3 * (warm - target) / 5 / 2
        slope[known] += 0.25 * (plain[known] - np.eye(3)[labels[known]]) / 3 / 2
        grad = exits[layer].grad
        assert grad is not None
        np.testing.assert_allclose(grad.numpy(), slope, rtol=1e-4, atol=1e-6)
    assert float(value.detach()) == pytest.approx(expected, rel=1e-5)


def _train(bench: Bench, folder: Path, terms: Any, **settings: Any) -> tuple[Any, list[float]]:
    model = bench.student(3)
    bench.train(model, terms, bench.lessons(), folder, **settings)
    lines = read_log(folder / "log.jsonl")
    return model, [line["exits"] for line in lines if "exits" in line]


def test_exits_train_the_student_and_leave_no_trace(bench: Bench, tmp_path: Path) -> None:
    """The saved student must load where nobody knows of exits."""
    terms = (HardTerm(weight=1.0), EXITS)
    model, values = _train(bench, tmp_path, terms, epochs=6)
    assert set(model.state_dict()) == set(bench.student(3).state_dict())
    assert values[-1] < values[0]
    plain = bench.student(3)
    bench.train(plain, terms[:1], bench.lessons(), tmp_path / "plain", epochs=6)
    pairs = zip(model.parameters(), plain.parameters(), strict=True)
    assert not all(torch.equal(left, right) for left, right in pairs)


def test_an_exit_moves_only_what_is_below_it(bench: Bench) -> None:
    """The last layer is the teacher: it must not come down to its pupils."""
    from accelerate import Accelerator

    from limbeck.training.step import Stepper

    model = bench.student(3)
    stepper = Stepper(
        model,
        bench.checkpoint,
        (ExitsTerm(weight=1.0, layers=(2,)),),
        bench.lessons(),
        config=bench.config(weight_decay=0.0),
        machine=Machine("float32", "eager", 1),
        balance="none",
        seed=0,
        accelerator=Accelerator(mixed_precision="no", cpu=True),
    )
    before = {name: value.clone() for name, value in stepper.joint.state_dict().items()}
    stepper.take(np.arange(16), 1, 1e-3, share=0.0)
    after = stepper.optimizer.weights()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert "exits.2.weight" in moved
    assert any("encoder.layer.0." in name for name in moved)
    assert any("encoder.layer.1." in name for name in moved)
    above = ("encoder.layer.2.", "pooler.", "classifier.")
    assert not [name for name in moved if any(part in name for part in above)]


def test_two_parts_train_like_one(bench: Bench, tmp_path: Path) -> None:
    """Parts with few labels and many rows must not count as if all rows had one."""
    bench.labels[8:24] = -100
    terms = (HardTerm(weight=0.5), EXITS)
    one, values = _train(bench, tmp_path / "one", terms)
    two, parted = _train(bench, tmp_path / "two", terms, accumulate=2)
    assert parted == pytest.approx(values, rel=1e-4)
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(left, right, atol=2e-4, rtol=1e-3)


def test_the_share_of_labels_is_measured_against_that_of_rows(bench: Bench) -> None:
    """A part with half the rows and all the labels counts each label twice as much."""
    lessons = bench.lessons()
    whole = np.array([0, 1, 2, 3, 4, 5])  # rows 0 and 3 have no label
    half = np.array([1, 2, 4])
    assert label_share(lessons.count(half, 1), lessons.count(whole, 1)) == pytest.approx(1.5)
    assert label_share(lessons.count(np.array([0]), 1), lessons.count(whole, 1)) == 0.0
    assert label_share(lessons.count(np.array([0]), 1), lessons.count(np.array([0, 3]), 1)) == 0.0
