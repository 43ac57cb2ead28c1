"""BERT-of-Theseus: student layers stand in for teacher layers, at random and more and more often.

While training, each student layer is passed over with probability 1 - p, and the teacher's layers
that it stands for are gone through in its place; so it learns to take and to give what they do. In
evaluation the student is itself.

Reference:
    Xu et al. BERT-of-Theseus: Compressing BERT by Progressive Module Replacing, 2020, equations 1
    to 5. https://arxiv.org/abs/2002.02925
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from limbeck.errors import TrainingError
from limbeck.teacher.family import Family, layer_modules
from limbeck.training.frozen import without_learning

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class Replacing:
    """The probability that a student layer stands in; one layer decides apart from the others."""

    def __init__(self) -> None:
        self.probability = 1.0

    def group_or_own(
        self, own: nn.Module, group: Sequence[nn.Module], forward: Callable[..., Any]
    ) -> Callable[..., Any]:
        """A forward pass of `own` that goes through `group` instead, now and then."""
        import torch

        def chosen(hidden_states: Any, *inputs: Any, **named: Any) -> Any:
            stands_in = not own.training or float(torch.rand(())) < self.probability
            if stands_in:
                return forward(hidden_states, *inputs, **named)
            result = hidden_states
            for layer in group:
                result = layer(result[0] if isinstance(result, tuple) else result, *inputs, **named)
            return result

        return chosen


@contextmanager
def standing_in(
    student: PreTrainedModel, teacher: PreTrainedModel, family: Family
) -> Iterator[Replacing]:
    """Let the student's layers stand in for the teacher's while this lasts.

    The teacher's layers are split into as many runs, as even as can be, as the student has layers.
    They do not learn, and are no part of the student's state.

    Args:
        student: As wide as the teacher and of its family.
        teacher: On the same device, in eval mode.
        family: Of both.

    Yields:
        What holds the probability, to be set before each step.

    Raises:
        TrainingError: Under several processes. Each would pass over other layers, and wait in the
            backward pass for gradients that the others do not have.
    """
    _refuse_several_processes()
    own, others = layer_modules(student, family), layer_modules(teacher, family)
    replacing = Replacing()
    ends = [round(len(others) * (place + 1) / len(own)) for place in range(len(own))]
    starts = [0, *ends[:-1]]
    for layer, start, end in zip(own, starts, ends, strict=True):
        # An attribute of the instance, which nn.Module calls in place of its class's.
        layer.forward = replacing.group_or_own(layer, others[start:end], layer.forward)
    try:
        with without_learning(teacher):
            yield replacing
    finally:
        for layer in own:
            del layer.forward


def _refuse_several_processes() -> None:
    from accelerate import PartialState

    count = PartialState().num_processes
    if count > 1:
        raise TrainingError(
            "training",
            f"layers that stand in for others (stages, replacing) are trained by one process, and "
            f"there are {count}",
            "Start one process, or leave replacing out of the stage.",
        )
