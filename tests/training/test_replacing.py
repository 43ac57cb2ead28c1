"""BERT-of-Theseus: student layers stand in for teacher layers, and for nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import ROWS, Bench, Killed, kill_after

from limbeck.config.schedule import Ramp, number_at
from limbeck.config.terms import HardTerm
from limbeck.errors import TrainingError
from limbeck.teacher.ask import ask, predict_logits
from limbeck.teacher.family import layer_modules
from limbeck.training.frozen import only
from limbeck.training.replacing import standing_in

TERMS = (HardTerm(weight=1.0),)


def _asked(bench: Bench, model: Any, *, training: bool = True) -> torch.Tensor:
    """What `ask`, through which training and evaluation go, gives for the first rows."""
    model.train(training)
    batch = bench.checkpoint.batch(bench.encoded, np.arange(12))
    return ask(model, batch, bench.checkpoint.family).logits


def _changed(bench: Bench, layers: int = 2) -> Any:
    """A student whose layers are not the teacher's any more."""
    model = bench.student(layers)
    with torch.no_grad():
        for layer in layer_modules(model, bench.checkpoint.family):
            for parameter in layer.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_with_probability_0_the_teacher_answers(bench: Bench, layers: int) -> None:
    """All of its layers, each once and in order, whatever the student's number of layers."""
    model = _changed(bench, layers)
    with standing_in(model, bench.teacher, bench.checkpoint.family) as replacing:
        replacing.probability = 0.0
        for _ in range(3):
            expected = _asked(bench, bench.teacher, training=False)
            torch.testing.assert_close(_asked(bench, model), expected, atol=1e-5, rtol=1e-5)


def test_with_probability_1_the_student_answers(bench: Bench) -> None:
    """At the end of the schedule nothing of the teacher may be left."""
    model = _changed(bench)
    alone = _asked(bench, model)
    with standing_in(model, bench.teacher, bench.checkpoint.family) as replacing:
        replacing.probability = 1.0
        for _ in range(3):
            torch.testing.assert_close(_asked(bench, model), alone, atol=1e-5, rtol=1e-5)
    assert all("forward" not in vars(module) for module in model.modules())


def test_each_layer_decides_for_itself_in_every_pass(bench: Bench) -> None:
    """Two layers give four mixtures, each as often as chance has it; the last layer too."""
    model = _changed(bench)
    family = bench.checkpoint.family
    own, others = layer_modules(model, family), layer_modules(bench.teacher, family)
    used: list[str] = []
    for name, layers in (("S", own), ("T", others)):
        for place, layer in enumerate(layers, start=1):
            tag = f"{name}{place}"
            layer.register_forward_pre_hook(lambda *_, tag=tag: used.append(tag))
    counts: dict[tuple[str, ...], int] = {}
    with standing_in(model, bench.teacher, family) as replacing, torch.random.fork_rng():
        torch.manual_seed(0)
        replacing.probability = 0.5
        for _ in range(200):
            used.clear()
            _asked(bench, model)
            # The student's layer is called either way; its hook comes before the teacher's.
            kinds = tuple(tag for tag in used if tag[0] == "T")
            counts[kinds] = counts.get(kinds, 0) + 1
    assert set(counts) == {(), ("T1", "T2"), ("T3", "T4"), ("T1", "T2", "T3", "T4")}
    assert all(25 < count < 75 for count in counts.values())


def test_evaluation_is_the_student_alone(bench: Bench) -> None:
    """A look at validation with the teacher's layers inside would choose a state that is none."""
    model = _changed(bench)
    alone = predict_logits(model, bench.checkpoint, bench.exam.encoded)
    with standing_in(model, bench.teacher, bench.checkpoint.family) as replacing:
        replacing.probability = 0.0
        inside = predict_logits(model, bench.checkpoint, bench.exam.encoded)
    np.testing.assert_allclose(inside, alone, atol=1e-5)


def test_the_teacher_is_no_part_of_the_student(bench: Bench) -> None:
    """Checkpoints and the saved student hold the student's weights and no others."""
    model = bench.student()
    names, count = set(model.state_dict()), sum(1 for _ in model.parameters())
    with standing_in(model, bench.teacher, bench.checkpoint.family):
        assert set(model.state_dict()) == names
        assert sum(1 for _ in model.parameters()) == count


def test_gradients_reach_the_students_layers_and_nothing_else(bench: Bench) -> None:
    """The teacher's layers pass the gradient on and stay what they are."""
    model, family = _changed(bench), bench.checkpoint.family
    layers = layer_modules(model, family)
    with only(model, layers), standing_in(model, bench.teacher, family) as replacing:
        replacing.probability = 1.0
        first = layers[0].forward

        def through_both(*inputs: Any, **named: Any) -> Any:
            """The first layer stands in, the second is passed over."""
            replacing.probability = 1.0
            result = first(*inputs, **named)
            replacing.probability = 0.0
            return result

        layers[0].forward = through_both
        _asked(bench, model).square().sum().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in model.named_parameters() if "encoder.layer.0." in n}
    assert all(parameter.grad is None for parameter in bench.teacher.parameters())
    assert all(parameter.requires_grad for parameter in bench.teacher.parameters())


def _replaced(bench: Bench, folder: Path, probability: Any, **settings: Any) -> Any:
    bench.exam = None  # as in a stage: the last state is kept
    model, family = bench.student(), bench.checkpoint.family
    told: list[tuple[float, float]] = []
    with (
        only(model, layer_modules(model, family)),
        standing_in(model, bench.teacher, family) as replacing,
    ):

        def before_step(share: float) -> None:
            replacing.probability = number_at(probability, share)
            told.append((share, replacing.probability))

        bench.train(model, TERMS, bench.lessons(), folder, before_step=before_step, **settings)
    return model, told


def test_the_layers_learn_and_embeddings_and_head_are_the_teachers(
    bench: Bench, tmp_path: Path
) -> None:
    """What stands in must fit between what the teacher has."""
    before = {name: value.clone() for name, value in bench.teacher.state_dict().items()}
    model, _ = _replaced(bench, tmp_path, 0.5, epochs=4)
    for name, value in bench.teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    start = bench.student().state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, start[name]) == ("encoder.layer" not in name), name


def test_the_schedule_goes_from_the_first_step_to_the_last(bench: Bench, tmp_path: Path) -> None:
    """The probability of a step is the schedule's number at the share that is behind."""
    ramp = Ramp(shape="linear", start=0.2, stop=1.0)
    _, told = _replaced(bench, tmp_path, ramp, epochs=2)
    steps = len(told)
    assert steps == 4  # 32 labelled rows in batches of 16, twice
    assert [share for share, _ in told] == pytest.approx([n / (steps - 1) for n in range(steps)])
    assert [p for _, p in told] == pytest.approx([0.2 + 0.8 * n / (steps - 1) for n in range(4)])


def test_a_step_in_which_nobody_stands_in_moves_nothing(bench: Bench, tmp_path: Path) -> None:
    """Then the loss depends on no weight that learns; that is no error, and no update."""
    model, told = _replaced(bench, tmp_path, 0.0)
    assert len(told) == 4
    for name, value in model.state_dict().items():
        assert torch.equal(value, bench.student().state_dict()[name]), name


def test_a_killed_training_ends_like_a_straight_one(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers that stand in are drawn: a resumed training must draw what a straight one does."""
    ramp = Ramp(shape="linear", start=0.3, stop=0.9)
    straight, _ = _replaced(bench, tmp_path / "straight", ramp, epochs=4, checkpoint_steps=3)
    for steps in (2, 4, 7):
        folder = tmp_path / f"killed{steps}"
        kill_after(steps, monkeypatch)
        with pytest.raises(Killed):
            _replaced(bench, folder, ramp, epochs=4, checkpoint_steps=3)
        monkeypatch.undo()
        resumed, _ = _replaced(bench, folder, ramp, epochs=4, checkpoint_steps=3)
        for left, right in zip(straight.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(left, right)


def test_rows_are_those_with_a_label(bench: Bench) -> None:
    """The figures above count on it."""
    assert (bench.labels >= 0).sum() == 32
    assert len(bench.labels) == ROWS


def test_refuses_several_processes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would replace other layers, and wait for ever for gradients that another never had."""
    from accelerate import PartialState

    PartialState()
    monkeypatch.setitem(PartialState._shared_state, "num_processes", 2)
    model = bench.student()
    with (
        pytest.raises(TrainingError, match="are trained by one process, and there are 2"),
        standing_in(model, bench.teacher, bench.checkpoint.family),
    ):
        pass
    assert all("forward" not in vars(module) for module in model.modules())
    assert all(parameter.requires_grad for parameter in bench.teacher.parameters())
