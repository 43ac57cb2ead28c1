"""Rows that the teacher did not answer have no part in what is learned of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.terms import HardTerm, LogitsTerm, Term, VectorsTerm
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.training.inputs import Counted, Inputs, Sides
from limbeck.training.layer_maps import Depths
from limbeck.training.losses import share, term_value
from limbeck.training.watch import Watch

SIDES = Sides(
    Depths(2, 2), student_heads=2, teacher_heads=2, first_token=0, seed=0, task=SINGLE_LABEL
)
TOLD = torch.tensor([0, 3])
TERMS: list[dict[str, Any]] = [
    {"divergence": "kl"},
    {"divergence": "skewed_kl"},
    {"divergence": "decoupled"},
    {"divergence": "correlation"},
    {"examples": "teacher_correctness"},
    {"temperature": "adaptive"},
]


def _inputs(told: torch.Tensor | None = TOLD) -> Inputs:
    """Four rows, of which the teacher answered the first and the last; NaN elsewhere."""
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(4, 3, generator=generator)
    teacher[1:3] = torch.nan
    return Inputs(
        student_logits=torch.randn(4, 3, generator=generator).requires_grad_(True),
        student_states={},
        projected={},
        exit_logits={},
        labels=torch.tensor([0, 2, 1, 1]),
        attention_mask=torch.ones(4, 2, dtype=torch.int64),
        teacher_logits=teacher,
        teacher_states={},
        number=1,
        share=0.0,
        told=told,
    )


@pytest.mark.parametrize("settings", TERMS, ids=str)
def test_a_term_is_that_of_the_answered_rows_alone(settings: dict[str, Any]) -> None:
    """One NaN row would end the training; a row of zeros would teach every class alike."""
    term = LogitsTerm.model_validate(settings)
    inputs = _inputs()
    assert inputs.teacher_logits is not None
    alone = replace(
        inputs,
        student_logits=inputs.student_logits.detach()[TOLD],
        teacher_logits=inputs.teacher_logits[TOLD],
        labels=inputs.labels[TOLD],
        attention_mask=inputs.attention_mask[TOLD],
        told=None,
    )
    value = term_value(term, inputs, SIDES)
    wanted = float(term_value(term, alone, SIDES))
    assert float(value.detach()) == pytest.approx(wanted, rel=1e-6)
    value.backward()
    gradient = inputs.student_logits.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert not gradient[1:3].any()
    assert gradient[TOLD].any()


@pytest.mark.parametrize("distance", ["cosine", "mse", "similarity"])
def test_vectors_are_compared_where_there_are_some(distance: str) -> None:
    """The same of vectors; with none in a part, the part says nothing."""
    term = VectorsTerm.model_validate({"distance": distance})
    assert torch.isfinite(term_value(term, _inputs(), SIDES).detach())
    nobody = _inputs(torch.zeros(0, dtype=torch.int64))
    assert float(term_value(term, nobody, SIDES).detach()) == 0.0


def test_labels_of_unanswered_rows_are_learned_from() -> None:
    """They are why such rows are kept."""
    inputs = _inputs()
    term_value(HardTerm(), inputs, SIDES).backward()
    gradient = inputs.student_logits.grad
    assert gradient is not None
    assert gradient.abs().sum(1).gt(0).all()


def test_parts_of_a_step_are_weighted_by_their_answers() -> None:
    """2 x 8 rows must train like 1 x 16, wherever the gaps fall."""
    whole = Counted(rows=8, answered=4, labelled=8, tokens=16, pairs=64)
    parts = [
        Counted(rows=4, answered=1, labelled=4, tokens=8, pairs=32),
        Counted(rows=4, answered=3, labelled=4, tokens=8, pairs=32),
    ]
    terms: list[Term] = [LogitsTerm(), VectorsTerm()]
    for term in terms:
        assert [share(term, part, whole) for part in parts] == [0.25, 0.75]
    nothing = replace(whole, answered=0)
    assert share(LogitsTerm(), nothing, nothing) == 0.0


def test_a_gap_is_not_blamed_for_a_broken_step() -> None:
    """The message names the rows at fault, and an unanswered row is none."""
    from limbeck.errors import TrainingError

    inputs = _inputs()
    broken = inputs.student_logits.detach().clone()
    broken[3] = torch.nan
    watch = Watch(["a", "b", "c", "d"], late=False)
    with pytest.raises(TrainingError, match="on the rows d\n"):
        watch.see(
            1, np.arange(4), torch.tensor(float("nan")), {}, replace(inputs, student_logits=broken)
        )
