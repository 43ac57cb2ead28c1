"""What a vocabulary of a student's own begins as, on a real teacher and real texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from limbeck.config.load import load_recipe
from limbeck.run.arms import _build
from limbeck.run.plan import make_plan, student_encoding
from limbeck.run.recording import load_teacher
from limbeck.teacher.ask import predict_logits
from limbeck.training.choice import Machine


def test_a_student_begins_near_its_teacher(shared: Path, tmp_path: Path) -> None:
    """Rows that begin as other words' rows leave a model at chance, and training hides it."""
    rows = (shared / "data/sst2/train_sentences.jsonl").read_text().splitlines()
    (tmp_path / "train.jsonl").write_text("\n".join(rows) + "\n")
    with (shared / "data/sst2/dev.jsonl").open() as stream:
        judged = [line for line, _ in zip(stream, range(300), strict=False)]
    (tmp_path / "dev.jsonl").write_text("".join(judged))
    recipe = load_recipe(
        None,
        values={
            "teacher.path": str(shared / "models" / "minilm-l6-sst2"),
            "data.train": str(tmp_path / "train.jsonl"),
            "data.validation": str(tmp_path / "dev.jsonl"),
            "student.layers": 6,
            "student.tokenizer": {"kind": "wordpiece", "size": 4000},
            "knowledge.precision": "float32",
            "knowledge.folder": str(tmp_path / "knowledge"),
            "training.threads": 1,
            "output": str(tmp_path / "run"),
        },
    )
    cache = tmp_path / "cache"
    plan = make_plan(recipe, cache=cache)
    assert plan.own is not None
    assert len(plan.own.tokenizer) == 4000
    assert plan.own.pieces.same > 2500
    machine = Machine(precision="float32", attention="sdpa", threads=1)
    model = _build(plan, load_teacher(plan), machine, cache).model
    encoded = student_encoding(plan, "validation", cache=cache)
    said = predict_logits(model, plan.student.checkpoint, encoded)
    labels = plan.material.validation.labels
    accuracy = float((said.argmax(1) == labels).mean())
    assert accuracy > 0.7, accuracy
    assert np.isfinite(said).all()
