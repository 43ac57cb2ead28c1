"""Students with a tokenizer of their own: the whole road of every task of texts and of tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.distill import distill

Make = Callable[..., Any]
OWN = {"kind": "wordpiece", "size": 90}


def _tokenizer(run: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(run / "student")


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_the_student_keeps_the_teachers_answers(recipe: Make, tmp_path: Path, kind: str) -> None:
    """A student that is fed other tokens than its rows were begun for would be at chance."""
    size = {"wordpiece": 90, "bpe": 330}[kind]
    report = distill(
        recipe(
            student__tokenizer={"kind": kind, "size": size},
            objective__terms=[{"kind": "logits"}, {"kind": "hidden"}],
            evaluation__control=False,
        )
    )
    run = tmp_path / "run"
    assert report.retention is not None
    assert report.retention.value > 0.9
    tokenizer = _tokenizer(run)
    assert 49 < len(tokenizer) <= size
    facts = report.data["vocabulary"]
    assert facts["student_vocabulary"] == len(tokenizer)
    assert facts["student_tokens"] > facts["teacher_tokens"]
    assert facts["unaligned_share"] == pytest.approx(0.0, abs=0.0 if kind == "wordpiece" else 0.05)
    exports = {one.name: one for one in report.exports}
    assert exports["onnx"].score_change == pytest.approx(0.0, abs=1e-6)
