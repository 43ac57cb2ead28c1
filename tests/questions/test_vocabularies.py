"""Answers in texts learned by a student with a tokenizer of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from limbeck.run.trial import trial
from limbeck.tasks.task import score


def test_the_student_learns_where_answers_start_and_end(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    """One character further, and no answer would be whole; the rows have no labels to mend it."""
    done = trial(
        make(
            tmp_path,
            student__tokenizer={"kind": "wordpiece", "size": 100},
            student__layers=4,
            objective__terms=[{"kind": "logits", "weight": 1.0}, {"kind": "hidden"}],
            training__epochs=3,
            training__learning_rate=2e-3,
        )
    )
    plan = done.plan
    assert plan.crossed is not None
    assert plan.crossed.windows is not None
    assert plan.crossed.unaligned is not None
    assert plan.crossed.unaligned < 0.05
    assert len(plan.encoded) > 600  # windows of the student's
    labels = plan.material.test.labels
    assert score(plan.task, done.teacher_logits, labels) > 0.9
    assert score(plan.task, done.student_logits, labels) > 0.75
