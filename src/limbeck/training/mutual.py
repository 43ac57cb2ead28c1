"""Deep mutual learning: the teacher learns from its student what the student learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from limbeck.config.schedule import largest, number_at
from limbeck.config.terms import HardTerm, LogitsTerm, Term
from limbeck.objective import hard_cross_entropy
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.training.companion import Pupil, Taken, Weighed
from limbeck.training.inputs import Inputs
from limbeck.training.losses import logits_value, share, term_name

if TYPE_CHECKING:
    from torch import Tensor


class Mutual:
    """The student's terms hard and logits, mirrored: the teacher learns, the student is its target.

    Both networks move in turn, and each sees the other's newest answers: the student's are asked
    again after its step. Terms on states are not mirrored; the student's may look at the teacher's
    as it stands.

    Args:
        terms: The student's objective.

    Reference:
        Zhang, Xiang, Hospedales, Lu. Deep Mutual Learning, 2018, equations 1 to 5 and algorithm 1,
        for two networks. https://arxiv.org/abs/1706.00384
        We differ where the terms of the recipe do: weights, temperature, divergence; and the
        adapting factors of `objective.balance` are the student's alone.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        mirrored = (term for term in terms if isinstance(term, HardTerm | LogitsTerm))
        self._terms = [term for term in mirrored if largest(term.weight) > 0]
        self._said: list[Tensor] = []

    @property
    def names(self) -> Sequence[str]:
        """Of the terms of the teacher's loss."""
        return [f"teacher_{term_name(term)}" for term in self._terms]

    def before(self, pupil: Pupil) -> None:
        """Nothing need be known of the student before its step."""

    def after(self, pupil: Pupil, taken: Taken) -> None:
        """Ask the student again."""
        import torch

        with torch.no_grad():
            self._said = [pupil.logits(rows) for rows in taken.parts]

    def said(self, place: int) -> Tensor:
        """What it then said to a part."""
        return self._said[place]

    def weigh(self, inputs: Inputs, taken: Taken, place: int) -> Sequence[Weighed]:
        """The mirrored terms over a part."""
        return [
            Weighed(
                f"teacher_{term_name(term)}",
                number_at(term.weight, taken.share),
                share(term, taken.counted[place], taken.whole),
                _value(term, inputs),
            )
            for term in self._terms
        ]


def _value(term: HardTerm | LogitsTerm, mirrored: Inputs) -> Tensor:
    match term:
        case HardTerm():
            return hard_cross_entropy(mirrored.student_logits, mirrored.labels)
        case LogitsTerm():
            return logits_value(term, mirrored, SINGLE_LABEL)
