"""Steps on what the student writes itself: what it writes, who judges it, what it learns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from limbeck.config.recipe import DataConfig, TeacherConfig
from limbeck.config.stages import OnPolicyConfig
from limbeck.data.block_rows import encode_blocks
from limbeck.data.passages import gather_prose
from limbeck.data.prose import Reading
from limbeck.distill import distill
from limbeck.knowledge.anew import AskedAnew
from limbeck.teacher.load import load_classifier, look_at
from limbeck.training.samples import Samples

PROMPT, NEW, ROWS = 5, 7, np.array([0, 3, 4])


@pytest.fixture
def made(causal: Path, texts: dict, tmp_path: Path) -> tuple[Any, Any, Any]:
    """Checkpoint, teacher and a batch of its rows."""
    checkpoint = look_at(TeacherConfig(path=str(causal)))
    split = gather_prose(
        "test", texts["test"], DataConfig(), Reading("before"), rows=None, folder=tmp_path, before=0
    )
    encoded = encode_blocks(split, checkpoint.backend, max_tokens=24, folder=tmp_path)
    teacher = load_classifier(checkpoint)
    return checkpoint, teacher, checkpoint.batch(encoded, ROWS)


def _samples(checkpoint: Any, teacher: Any, **settings: Any) -> Samples:
    config = OnPolicyConfig(share=0.5, prompt_tokens=PROMPT, new_tokens=NEW, **settings)
    judge = AskedAnew(teacher, checkpoint, (), precision="float32", top_k=8)
    return Samples(config, judge, seed=0)


def test_cold_the_student_writes_what_transformers_generates(made: Any, causal: Path) -> None:
    """Tokens that are drawn from other places' logits are nobody's text."""
    checkpoint, teacher, batch = made
    samples = _samples(checkpoint, teacher, temperature=1e-4)
    teacher.train()
    written = samples.written(teacher, batch, 1)
    assert teacher.training
    model = AutoModelForCausalLM.from_pretrained(causal).eval()
    expected = model.generate(
        batch.input_ids[:, :PROMPT],
        attention_mask=torch.ones(3, PROMPT, dtype=torch.int64),
        do_sample=False,
        min_new_tokens=NEW,
        max_new_tokens=NEW,
        pad_token_id=0,
    )
    torch.testing.assert_close(written.input_ids, expected)
    flat = written.input_ids.flatten()
    torch.testing.assert_close(flat[written.places + 1], written.tokens)
    assert written.tokens.tolist() == expected[:, PROMPT:].flatten().tolist()
    assert (written.labels == -100).all()


def test_what_is_written_depends_on_the_step_alone(made: Any) -> None:
    """A run that was killed and goes on must write what it would have written."""
    checkpoint, teacher, batch = made
    samples = _samples(checkpoint, teacher)
    first, again, later = (samples.written(teacher, batch, n).input_ids for n in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    own = [samples.own(number) for number in range(2000)]
    assert np.mean(own) == pytest.approx(0.5, abs=0.05)


def test_the_teacher_is_asked_about_what_was_written(made: Any) -> None:
    """Recorded answers are about other tokens; a student that follows them learns noise."""
    checkpoint, teacher, batch = made
    samples = _samples(checkpoint, teacher)
    written = samples.written(teacher, batch, 1)
    asked, heard = samples.judged(written, lambda told: told[:, 1:9].long())
    with torch.no_grad():
        logits = teacher(input_ids=written.input_ids).logits
    said = logits[:, PROMPT - 1 : -1].log_softmax(-1).flatten(0, 1)
    values, ids = said.topk(8)
    torch.testing.assert_close(asked.likely[:, 0], ids[:, 0])
    torch.testing.assert_close(heard.logits(batch.rows)[:, 9:], values, atol=1e-4, rtol=1e-4)


def test_a_student_learns_from_its_own_texts_alone(
    causal: Path, make: Callable[..., Any], texts: dict, tmp_path: Path
) -> None:
    """Nobody labels what it writes: all that it learns it has from its teacher's judgement."""
    settings = {
        "objective.on_policy": {"share": 1.0, "prompt_tokens": 4, "new_tokens": 12},
        "objective.terms": [
            {"kind": "hard", "weight": 0.5},
            {"kind": "logits", "weight": 1.0, "temperature": 1.0, "divergence": "reverse_kl"},
        ],
        "evaluation.control": False,
        "training.accumulate": 2,
        "training.precision": "bfloat16",  # whose weights are read by no pass outside of autocast
    }
    distill(make(causal, "causal_language_modeling", tmp_path, **settings))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [line["logits_reverse_kl"] for line in lines if "logits_reverse_kl" in line]
    assert all(line["hard"] == 0 for line in lines if "hard" in line)
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
