"""Mutual learning: the mirrored loss from its definition, and the order of the two steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.conftest import Bench

from limbeck.config.terms import HardTerm, HiddenTerm, LogitsTerm
from limbeck.knowledge.kind import Kind
from limbeck.teacher.ask import predict_logits
from limbeck.training.companion import LearningTeacher, Pupil, Taken
from limbeck.training.inputs import Counted, Inputs
from limbeck.training.mutual import Mutual


def inputs_of(own: torch.Tensor, labels: torch.Tensor, said: torch.Tensor | None) -> Inputs:
    """What a reply weighs."""
    return Inputs(
        student_logits=own,
        student_states={},
        projected={},
        exit_logits={},
        labels=labels,
        attention_mask=torch.ones(len(own), 3),
        teacher_logits=said,
        teacher_states={},
        number=1,
        share=0.5,
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def test_the_teachers_loss_is_the_students_mirrored() -> None:
    """Value and gradient of  w_h CE(teacher, label) + w_l T^2 KL(student_T || teacher_T)."""
    generator = np.random.default_rng(0)
    own, said = generator.normal(size=(5, 3)) * 2, generator.normal(size=(5, 3))
    labels = np.array([0, 2, -100, 1, -100])
    terms = (
        HardTerm(weight=0.3),
        LogitsTerm(weight={"shape": "linear", "start": 0.0, "stop": 1.4}, temperature=2.0),
        HiddenTerm(weight=9.0),
    )
    reply = Mutual(terms)
    assert list(reply.names) == ["teacher_hard", "teacher_logits_kl"]
    whole = Counted(5, 5, 3, 15, 45)
    taken = Taken([np.arange(5)], [whole], whole, number=1, share=0.5, rate=1.0)
    answer = torch.tensor(said, requires_grad=True)
    reply.after(Pupil([], lambda rows: answer * 1.0), taken)
    logits = torch.tensor(own, requires_grad=True)
    weighed = reply.weigh(inputs_of(logits, torch.tensor(labels), reply.said(0)), taken, 0)
    loss = torch.stack([term.weight * term.share * term.value for term in weighed]).sum()
    loss.backward()

    known = labels >= 0
    p, q, p_t = _softmax(own), _softmax(said / 2), _softmax(own / 2)
    cross_entropy = -np.log(p[known, labels[known]]).mean()
    divergence = 4 * (q * np.log(q / p_t)).sum(1).mean()
    assert float(loss.detach()) == pytest.approx(0.3 * cross_entropy + 0.7 * divergence, rel=1e-5)
    gradient = 0.7 * 2 * (p_t - q) / 5
    gradient[known] += 0.3 * (p[known] - np.eye(3)[labels[known]]) / 3
    np.testing.assert_allclose(logits.grad.numpy(), gradient, rtol=1e-4, atol=1e-6)
    assert answer.grad is None


def test_each_sees_the_others_newest_answers(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Algorithm 1 asks the first network again after its update, before the second moves."""
    terms = (HardTerm(weight=0.5), LogitsTerm(weight=0.5))
    companion = LearningTeacher(
        bench.teacher,
        bench.checkpoint,
        bench.encoded,
        bench.labels,
        reply=Mutual(terms),
        kind=Kind(),
        config=bench.config(),
        learning_rate=1e-3,
    )
    model = bench.student()
    real, calls = Mutual.after, []

    def after(self: Any, pupil: Pupil, taken: Taken) -> None:
        theirs = predict_logits(companion.model, bench.checkpoint, bench.encoded)
        real(self, pupil, taken)
        mine = predict_logits(model, bench.checkpoint, bench.encoded)
        np.testing.assert_allclose(self.said(0).numpy(), mine[taken.parts[0]], atol=1e-5)
        told = companion.logits(taken.parts[0]).numpy()
        np.testing.assert_allclose(told, theirs[taken.parts[0]], atol=1e-5)
        assert all(parameter.grad is None for parameter in companion.model.parameters())
        calls.append(taken.number)

    monkeypatch.setattr(Mutual, "after", after)
    lessons = bench.lessons(companion, companion=companion)
    bench.train(model, terms, lessons, tmp_path, epochs=1)
    assert calls == [1, 2, 3]


def test_the_student_learns_from_the_teacher_as_it_stands(bench: Bench, tmp_path: Path) -> None:
    """With a teacher that does not move it is the live teacher; with one that does it is not."""
    from limbeck.knowledge.answers import LiveTeacher

    terms = (HardTerm(weight=0.5), LogitsTerm(weight=0.5))
    found = {}
    for name, rate in (("still", 1e-30), ("moving", 5e-3), ("live", None)):
        answers: Any = LiveTeacher(bench.teacher, bench.checkpoint, bench.encoded, Kind())
        lessons = bench.lessons(answers)
        if rate is not None:
            companion = LearningTeacher(
                bench.teacher,
                bench.checkpoint,
                bench.encoded,
                bench.labels,
                reply=Mutual(terms),
                kind=Kind(),
                config=bench.config(),
                learning_rate=rate,
            )
            lessons = bench.lessons(companion, companion=companion)
        model = bench.student()
        bench.train(model, terms, lessons, tmp_path / name)
        found[name] = torch.cat([p.detach().flatten() for p in model.parameters()])
    torch.testing.assert_close(found["still"], found["live"], atol=1e-6, rtol=1e-5)
    assert (found["moving"] - found["live"]).abs().max() > 1e-4
