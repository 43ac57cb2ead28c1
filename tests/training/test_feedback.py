"""Feedback against its definition: the exact derivative of the quiz loss through one step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.test_mutual import inputs_of
from torch.nn import functional

from limbeck.config.terms import HardTerm, LogitsTerm
from limbeck.training.companion import Pupil, Taken
from limbeck.training.feedback import Feedback
from limbeck.training.inputs import Counted

ROWS, CLASSES, RATE = 6, 3, 0.05
QUIZ = np.array([6, 7, 8, 9, 10])


class _Class:
    """A student of two layers in float64, its rows and labels; the last ones are the quiz."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.rows = torch.randn(11, 4, generator=draw, dtype=torch.float64)
        self.labels = np.array([0, 1, -100, 2, 0, -100, 1, 2, 0, 1, 2])
        self.start = [
            torch.randn(4, 5, generator=draw, dtype=torch.float64),
            torch.randn(5, CLASSES, generator=draw, dtype=torch.float64),
        ]
        self.teacher = 2 * torch.randn(ROWS, CLASSES, generator=draw, dtype=torch.float64)

    def logits(self, weights: list[torch.Tensor], rows: np.ndarray) -> torch.Tensor:
        return torch.tanh(self.rows[rows] @ weights[0]) @ weights[1]

    def student_loss(
        self, weights: list[torch.Tensor], teacher: torch.Tensor, terms: list[LogitsTerm]
    ) -> torch.Tensor:
        """The student's training loss: its labels and w T^2 CE to the soft labels."""
        own = self.logits(weights, np.arange(ROWS))
        labels = torch.from_numpy(self.labels[:ROWS])
        loss = 0.4 * functional.cross_entropy(own, labels, ignore_index=-100)
        for term in terms:
            warm = float(term.temperature)  # pyright: ignore[reportArgumentType]
            soft = (teacher / warm).softmax(-1)
            rows = -(soft * (own / warm).log_softmax(-1)).sum(-1)
            loss = loss + float(term.weight) * warm**2 * rows.mean()  # pyright: ignore
        return loss

    def stepped(
        self, teacher: torch.Tensor, terms: list[LogitsTerm], *, graph: bool
    ) -> list[torch.Tensor]:
        """The student's weights after one step of gradient descent."""
        weights = [w.clone().requires_grad_() for w in self.start]
        loss = self.student_loss(weights, teacher, terms)
        slopes = torch.autograd.grad(loss, weights, create_graph=graph)
        return [w - RATE * slope for w, slope in zip(weights, slopes, strict=True)]

    def quiz_loss(self, weights: list[torch.Tensor]) -> torch.Tensor:
        return functional.cross_entropy(
            self.logits(weights, QUIZ), torch.from_numpy(self.labels[QUIZ])
        )


def _feedback(
    room: _Class, terms: list[LogitsTerm], parts: list[np.ndarray]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher's feedback loss and its gradient on the teacher's logits."""
    reply = Feedback([HardTerm(weight=0.4), *terms], quiz=QUIZ, labels=room.labels, rows=64, seed=0)
    parameters = [torch.nn.Parameter(w.clone()) for w in room.start]
    pupil = Pupil(parameters, lambda rows: room.logits(list(parameters), rows))
    reply.before(pupil)
    moved = room.stepped(room.teacher, terms, graph=False)
    with torch.no_grad():
        for parameter, value in zip(parameters, moved, strict=True):
            parameter.copy_(value)
    counted = [
        Counted(len(rows), len(rows), int((room.labels[rows] >= 0).sum()), 1, 1) for rows in parts
    ]
    whole = Counted(ROWS, ROWS, 4, 1, 1)
    taken = Taken(parts, counted, whole, number=1, share=0.0, rate=1.0)
    reply.after(pupil, taken)
    for parameter, value in zip(parameters, moved, strict=True):
        assert torch.equal(parameter, value)
    teacher = room.teacher.clone().requires_grad_()
    loss = torch.zeros(())
    for place, rows in enumerate(parts):
        labels = torch.from_numpy(room.labels[rows])
        hard, soft = reply.weigh(inputs_of(teacher[rows], labels, None), taken, place)
        assert (hard.name, soft.name) == ("teacher_hard", "teacher_feedback")
        loss = loss + soft.weight * soft.share * soft.value
    (slope,) = torch.autograd.grad(loss, teacher)
    return loss.detach(), slope


def _exact(room: _Class, terms: list[LogitsTerm]) -> torch.Tensor:
    """The derivative of the quiz loss after one step, on the teacher's logits, by autograd."""
    teacher = room.teacher.clone().requires_grad_()
    loss = room.quiz_loss(room.stepped(teacher, terms, graph=True))
    return torch.autograd.grad(loss, teacher)[0]


@pytest.mark.parametrize(
    "terms",
    [
        [LogitsTerm(weight=0.02, temperature=1.0)],
        [LogitsTerm(weight=0.01, temperature=3.0, divergence="cross_entropy")],
        [LogitsTerm(weight=0.01, temperature=2.0), LogitsTerm(weight=0.02, temperature=1.0)],
    ],
)
def test_the_gradient_is_the_quiz_loss_through_one_step(terms: list[LogitsTerm]) -> None:
    """A wrong sign, temperature or weight would teach the teacher to mislead."""
    room = _Class()
    _, slope = _feedback(room, terms, [np.arange(ROWS)])
    torch.testing.assert_close(RATE * slope, _exact(room, terms), rtol=2e-3, atol=1e-8)


def test_parts_give_the_gradient_of_the_whole() -> None:
    """Accumulation is a matter of memory."""
    room, terms = _Class(), [LogitsTerm(weight=5.0, temperature=1.0)]
    _, whole = _feedback(room, terms, [np.arange(ROWS)])
    _, parted = _feedback(room, terms, [np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)])
    torch.testing.assert_close(parted, whole, rtol=1e-4, atol=1e-8)


def test_strong_feedback_keeps_its_direction_and_loses_its_strength() -> None:
    """A quiz that goes wrong must not drown the labels."""
    room = _Class()
    strong_terms = [LogitsTerm(weight=50.0, temperature=1.0)]
    _, strong = _feedback(room, strong_terms, [np.arange(ROWS)])
    exact = _exact(room, strong_terms)
    scale = float((RATE * strong * exact).sum() / exact.square().sum())
    torch.testing.assert_close(RATE * strong, scale * exact, rtol=5e-3, atol=1e-5 * scale)
    assert 0 < scale < 0.2
    assert strong.abs().max() < 5 * CLASSES / ROWS


def test_a_solved_quiz_teaches_nothing() -> None:
    """Where the student's quiz loss is flat there is nothing to tell, and no NaN."""
    room = _Class()
    terms = [LogitsTerm(weight=0.5, temperature=1.0)]
    room.rows[QUIZ] = 0.0
    room.start[1] = torch.zeros_like(room.start[1])
    reply = Feedback(terms, quiz=QUIZ[:3], labels=room.labels, rows=64, seed=0)
    parameters = [torch.nn.Parameter(w.clone()) for w in room.start]
    pupil = Pupil(parameters, lambda rows: room.logits(list(parameters), rows))
    reply.before(pupil)
    whole = Counted(ROWS, ROWS, 4, 1, 1)
    taken = Taken([np.arange(ROWS)], [whole], whole, number=1, share=0.0, rate=1.0)
    reply.after(pupil, taken)
    labels = torch.from_numpy(room.labels[:ROWS])
    _, soft = reply.weigh(inputs_of(room.teacher, labels, None), taken, 0)
    assert float(soft.value) == 0.0


def test_the_quiz_is_drawn_by_seed_and_step() -> None:
    """A resumed training must ask what a straight one asks."""
    room = _Class()

    def asked(seed: int, number: int) -> list[int]:
        seen: list[np.ndarray] = []
        parameters = [torch.nn.Parameter(w.clone()) for w in room.start]

        def logits(rows: np.ndarray) -> torch.Tensor:
            seen.append(rows)
            return room.logits(list(parameters), rows)

        reply = Feedback([LogitsTerm(weight=1.0)], quiz=QUIZ, labels=room.labels, rows=2, seed=seed)
        reply.before(Pupil(parameters, logits))
        whole = Counted(ROWS, ROWS, 4, 1, 1)
        taken = Taken([np.arange(ROWS)], [whole], whole, number=number, share=0.0, rate=1.0)
        reply.after(Pupil(parameters, logits), taken)
        return sorted(seen[0].tolist())

    assert asked(0, 3) == asked(0, 3)
    drawn = [tuple(asked(0, number)) for number in range(1, 9)]
    assert len(set(drawn)) > 2
    assert all(len(set(rows)) == 2 and set(rows) <= set(QUIZ.tolist()) for rows in drawn)
