"""Feedback: the teacher learns what its answers did to the student's loss on rows kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.schedule import Adaptive, largest, number_at
from limbeck.config.terms import HardTerm, LogitsTerm, Term
from limbeck.objective import hard_cross_entropy
from limbeck.training.companion import Pupil, Taken, Weighed
from limbeck.training.inputs import Inputs
from limbeck.training.losses import share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

_MOVE = 0.01
"""Length of the move along which the student's answers are compared, in weights."""
_TINY = 1e-12
_LABELS, _FEEDBACK = "teacher_hard", "teacher_feedback"


class Feedback:
    """The derivative of the student's quiz loss with respect to the teacher's soft labels.

    One step of gradient descent on  w T^2 mean_i -sum_c q_ic log S_ic(theta)  leads the student
    to theta'. Its quiz loss R(theta') then changes with the soft labels q by

        dR / dq_ic = eta w T^2 / rows * v . grad log S_ic(theta),   v = grad R(theta'),

    where v . grad is had from two passes at theta + e v and theta - e v. The teacher's loss is the
    mean over rows of sum_c q_ic g_ic, g the bracket without eta / rows as a constant, plus the
    cross-entropy to the labels. Where the root mean square of g is above 1, it is made 1: beside
    the labels, feedback is never the louder.

    theta' is where the student's own optimizer has led it; the derivative is exact where that took
    a plain step of gradient descent.

    Args:
        terms: The student's objective; its logits terms are kl or cross_entropy, every row equal.
        quiz: Labelled rows that the student never learns from.
        labels: Of all rows.
        rows: Of the quiz in one step.
        seed: Of which.

    Reference:
        Pham, Dai, Xie, Luong, Le. Meta Pseudo Labels, 2021, equations 6 to 12.
        https://arxiv.org/abs/2003.10580
        Zhou, Xu, McAuley. BERT Learns to Teach (MetaDistil), 2022, section 3.
        https://arxiv.org/abs/2106.04570
        Liu, Simonyan, Yang. DARTS, 2019, equation 8 (two passes instead of a second derivative).
        https://arxiv.org/abs/1806.09055
        We differ from the first in that all classes of the soft label count, not one that is
        drawn, and from the second in that the student's step is the one that it takes anyway.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        *,
        quiz: np.ndarray,
        labels: np.ndarray,
        rows: int,
        seed: int,
    ) -> None:
        soft = (term for term in terms if isinstance(term, LogitsTerm))
        self._terms = [term for term in soft if largest(term.weight) > 0]
        self._quiz, self._labels = quiz, labels
        self._rows, self._seed = min(rows, len(quiz)), seed
        self._before: list[Tensor] = []
        self._wanted: list[list[tuple[float, Tensor]]] = []

    @property
    def names(self) -> Sequence[str]:
        """Of the terms of the teacher's loss."""
        return [_LABELS, _FEEDBACK]

    def before(self, pupil: Pupil) -> None:
        """Keep where the student stands."""
        self._before = [parameter.detach().clone() for parameter in pupil.parameters]

    def after(self, pupil: Pupil, taken: Taken) -> None:
        """Give the student its quiz, and find what each soft label did to its loss there."""
        moved = self._moved_along(pupil, taken.parts, self._quiz_gradient(pupil, taken.number))
        by_term = [_derivatives(term, taken.share, moved) for term in self._terms]
        scale = _at_most_one(by_term)
        self._wanted = [
            [
                (_temperature(term, taken.share), parts[place] * scale)
                for term, parts in zip(self._terms, by_term, strict=True)
            ]
            for place in range(len(taken.parts))
        ]

    def said(self, place: int) -> None:
        """The student's answers are no targets here."""

    def weigh(self, inputs: Inputs, taken: Taken, place: int) -> Sequence[Weighed]:
        """The labels, and the soft labels against their derivatives."""
        own, counted = inputs.student_logits, taken.counted[place]
        labels = hard_cross_entropy(own, inputs.labels)
        terms = [
            ((own / temperature).softmax(-1) * wanted).sum(-1).mean()
            for temperature, wanted in self._wanted[place]
        ]
        feedback = sum(terms[1:], terms[0])
        hard = share(HardTerm(), counted, taken.whole)
        return [
            Weighed(_LABELS, 1.0, hard, labels),
            Weighed(_FEEDBACK, 1.0, counted.rows / taken.whole.rows, feedback),
        ]

    def _quiz_gradient(self, pupil: Pupil, number: int) -> list[Tensor]:
        """The gradient of the student's loss on the quiz rows of this step."""
        import torch

        drawn = np.random.default_rng([self._seed, number])
        rows = drawn.choice(self._quiz, size=self._rows, replace=False)
        with torch.enable_grad():
            logits = pupil.logits(rows)
            labels = torch.from_numpy(self._labels[rows]).to(logits.device)
            loss = hard_cross_entropy(logits, labels)
            found = torch.autograd.grad(loss, list(pupil.parameters), allow_unused=True)
        return [
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(pupil.parameters, found, strict=True)
        ]

    def _moved_along(
        self, pupil: Pupil, parts: Sequence[np.ndarray], direction: list[Tensor]
    ) -> _Moved:
        """The student's logits from before its step, moved to either side of it."""
        import torch

        norm = torch.linalg.vector_norm(torch.stack([one.norm() for one in direction]))
        step = _MOVE / (norm + _TINY)
        said = []
        with torch.no_grad(), _restored(pupil.parameters):
            for way in (step, -step):
                for parameter, start, one in zip(
                    pupil.parameters, self._before, direction, strict=True
                ):
                    parameter.copy_(start + way * one)
                said.append([pupil.logits(rows) for rows in parts])
        return _Moved(said[0], said[1], 2 * step)


@dataclass(frozen=True)
class _Moved:
    """The student's logits by part at two places, and how far these are apart.

    Attributes:
        there: Towards a higher quiz loss.
        back: Towards a lower one.
        distance: As a multiple of the quiz loss's gradient.
    """

    there: list[Tensor]
    back: list[Tensor]
    distance: Tensor


def _derivatives(term: LogitsTerm, behind: float, moved: _Moved) -> list[Tensor]:
    """One term's g by part: w T^2 v . grad log S [rows, classes]."""
    temperature = _temperature(term, behind)
    factor = number_at(term.weight, behind) * temperature**2 / moved.distance
    return [
        factor * ((there / temperature).log_softmax(-1) - (back / temperature).log_softmax(-1))
        for there, back in zip(moved.there, moved.back, strict=True)
    ]


def _at_most_one(by_term: Sequence[Sequence[Tensor]]) -> Tensor:
    """What to multiply derivatives by so that their root mean square is at most 1."""
    import torch

    numbers = torch.cat([part.flatten() for parts in by_term for part in parts])
    return 1 / numbers.square().mean().sqrt().clamp(min=1.0)


def _temperature(term: LogitsTerm, behind: float) -> float:
    assert not isinstance(term.temperature, Adaptive)  # refused in the plan
    return number_at(term.temperature, behind)


@contextmanager
def _restored(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Afterwards the parameters are what they were, bit for bit."""
    before = [parameter.detach().clone() for parameter in parameters]
    try:
        yield
    finally:
        for parameter, value in zip(parameters, before, strict=True):
            parameter.data.copy_(value)
