"""Broken steps are refused at once on a CPU, and at the next check on an accelerator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.errors import TrainingError
from limbeck.teacher.parts import Part
from limbeck.training.inputs import Inputs
from limbeck.training.watch import Watch

IDS = [f"train/{n}" for n in range(1, 100)]


def _inputs() -> Inputs:
    return Inputs(
        student_logits=torch.zeros(2, 2),
        student_states={},
        projected={},
        exit_logits={},
        labels=torch.zeros(2),
        attention_mask=torch.ones(2, 3),
        teacher_logits=None,
        teacher_states={},
        number=1,
        share=0.0,
    )


def _see(watch: Watch, step: int, rows: list[int], loss: float) -> None:
    values = {"hard": torch.tensor(1.0), "logits_kl": torch.tensor(loss)}
    watch.see(step, np.array(rows), torch.tensor(loss), values, _inputs())


def test_on_a_cpu_a_broken_step_ends_before_its_update() -> None:
    """One NaN update destroys every weight."""
    watch = Watch(IDS, late=False)
    _see(watch, 1, [3, 4], 0.5)
    with pytest.raises(TrainingError, match=r"(?s)logits_kl.*train/6"):
        _see(watch, 2, [5, 6], float("nan"))


def test_on_an_accelerator_the_first_broken_step_is_named_at_the_check() -> None:
    """Every later step is broken too; only the first leads to the rows."""
    watch = Watch(IDS, late=True)
    _see(watch, 1, [3, 4], 0.5)
    watch.check()
    _see(watch, 2, [7, 8], 0.5)
    _see(watch, 3, [9, 10], float("inf"))
    _see(watch, 4, [11, 12], float("nan"))
    with pytest.raises(TrainingError, match=r"(?s)logits_kl.*train/10, train/11") as caught:
        watch.check()
    assert caught.value.where == "training, step 3"


NAN = float("nan")
LAST, QUERIES, SHARES = Part("hidden", 2), Part("queries", 2), Part("attention", 2)


def _named(**changed: Any) -> str:
    """What a watch says of rows 5 (train/6) and 6 (train/7) with these inputs."""
    watch, loss = Watch(IDS, late=False), torch.tensor(NAN)
    inputs = replace(_inputs(), **changed)
    with pytest.raises(TrainingError) as caught:
        watch.see(1, np.array([5, 6]), loss, {"hidden": loss}, inputs)
    return caught.value.found


def _broken(*shape: int, at: tuple[int, ...]) -> torch.Tensor:
    state = torch.zeros(shape)
    state[at] = NAN
    return state


@pytest.mark.parametrize(
    "changed",
    [
        {"student_states": {LAST: _broken(2, 3, 4, at=(1, 2, 0))}},
        {"teacher_states": {QUERIES: _broken(2, 3, 4, at=(1, 0, 3))}},
        {"projected": {LAST: _broken(2, 3, 5, at=(1, 1, 1))}},
        {"teacher_states": {SHARES: _broken(2, 2, 3, 3, at=(1, 0, 2, 1))}},
        {"exit_logits": {1: _broken(2, 2, at=(1, 0))}},
        {"teacher_logits": _broken(2, 2, at=(1, 1))},
        {"student_logits": _broken(3, 9, at=(2, 8)), "places": torch.tensor([1, 2, 4])},
    ],
)
def test_the_row_is_named_whatever_a_term_looked_at(changed: dict[str, Any]) -> None:
    """A hidden state that overflowed under sound logits would blame the whole batch."""
    assert _named(**changed).endswith("on the rows train/7")


def test_what_stands_at_padding_blames_nobody() -> None:
    """Attention at padding is NaN in some models, and no term looks there."""
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    shares = _broken(2, 2, 3, 3, at=(0, 1, 2, 0)) + _broken(2, 2, 3, 3, at=(0, 1, 0, 2))
    shares += _broken(2, 2, 3, 3, at=(1, 0, 2, 2))
    states = {LAST: _broken(2, 3, 4, at=(0, 2, 1)), SHARES: shares}
    assert _named(attention_mask=mask, student_states=states).endswith("on the rows train/7")
    states = {LAST: states[LAST]}
    assert "train/6, train/7" in _named(attention_mask=mask, student_states=states)
