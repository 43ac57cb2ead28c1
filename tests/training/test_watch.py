"""Broken steps are refused at once on a CPU, and at the next check on an accelerator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.errors import TrainingError
from limbeck.training.losses import Inputs
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
