"""Claims that only real data can show; slow, and skipped where ../shared is absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from limbeck.config.load import load_recipe
from limbeck.distill import distill

pytestmark = pytest.mark.slow


def _few(source: Path, target: Path, rows: int) -> Path:
    with source.open() as stream:
        target.write_text("".join(line for line, _ in zip(stream, range(rows), strict=False)))
    return target


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_student_on_real_texts(
    shared: Path, tmp_path: Path, precision: str
) -> None:
    """Threads, mixed precision and real lengths must not make a run unrepeatable."""
    from safetensors.numpy import load_file

    weights = []
    for name in ("one", "two"):
        distill(
            load_recipe(
                None,
                values={
                    "teacher.path": str(shared / "models" / "minilm-l6-sst2"),
                    "data.train": str(
                        _few(shared / "data/sst2/train.jsonl", tmp_path / "train.jsonl", 1500)
                    ),
                    "data.validation": str(shared / "data/sst2/dev.jsonl"),
                    "student.layers": 3,
                    "student.vocabulary": "trim",
                    "knowledge.folder": str(tmp_path / name / "knowledge"),
                    "training.epochs": 1,
                    "training.precision": precision,
                    "evaluation.control": False,
                    "evaluation.speed_rounds": 1,
                    "evaluation.speed_texts": 5,
                    "evaluation.memory": False,
                    "output": str(tmp_path / name / "run"),
                },
            )
        )
        weights.append(load_file(tmp_path / name / "run" / "student" / "model.safetensors"))
    assert all(np.array_equal(weights[0][key], weights[1][key]) for key in weights[0])
