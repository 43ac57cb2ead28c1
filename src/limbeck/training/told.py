"""Rows that the teacher answered, of a batch of which it may not have answered all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.training.inputs import Inputs


def answered(inputs: Inputs) -> Inputs:
    """The same of the answered rows alone, for terms that compare logits."""
    if inputs.told is None or inputs.teacher_logits is None:
        return inputs
    return replace(
        inputs,
        student_logits=inputs.student_logits.index_select(0, inputs.told),
        teacher_logits=inputs.teacher_logits.index_select(0, inputs.told),
        labels=inputs.labels.index_select(0, inputs.told),
        told=None,
    )


def unanswered(rows: int, told: Tensor) -> Tensor:
    """Which rows are none of `told` (bool [rows])."""
    import torch

    others = torch.ones(rows, dtype=torch.bool, device=told.device)
    others[told] = False
    return others
