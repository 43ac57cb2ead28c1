"""What each method is worth: one teacher, one student budget, every method, three seeds.

    python benchmarks/methods.py                    # the table; goes on from the last finished run
    python benchmarks/methods.py --shape narrow     # the 3 x 192 student
    python benchmarks/methods.py --methods logits tinybert --seeds 0

Students are trained on sst2/train_sentences.jsonl (6,920 rows) in three passes and judged on
test.jsonl; dev.jsonl chooses the best state. Writes benchmarks/results/methods.json and prints the
table of docs/papers.md.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.catalog import METHODS
from limbeck.config.load import load_recipe
from limbeck.config.methods import method_names
from limbeck.errors import LimbeckError
from limbeck.evaluation.bootstrap import Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe
from limbeck.progress import shown
from limbeck.run.trial import trial

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data" / "sst2"
RESULTS = ROOT / "benchmarks" / "results" / "methods.json"
SHAPES: dict[str, list[str]] = {
    "half": ["student.layers=3"],
    "narrow": ["student.layers=3", "student.hidden=192", "training.learning_rate=5.0e-4"],
}
"""Student budgets: settings that every method of a table shares."""

OWN_SHAPE: dict[str, list[str]] = {
    "mobilebert": ["student.layers=6", "training.learning_rate=1.0e-3"],
}
"""Settings of methods whose students have other shapes, beside those of the table."""


def main() -> None:
    """Run what is not in the results yet and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="half")
    parser.add_argument("--methods", nargs="+", choices=method_names(), default=method_names())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--train", default="train_sentences.jsonl", help="a file of sst2/")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="forget what was kept of these")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit("../shared/data/sst2 is not here: this benchmark needs the real data.")
    table = f"{arguments.shape} {arguments.train} {arguments.epochs}"
    everything = read_json(RESULTS) if RESULTS.exists() else {}
    runs: dict[str, Any] = everything.get("tables", {}).get(table, {})
    for seed in arguments.seeds:  # a whole table of one seed first
        for method in arguments.methods:
            name = f"{method}/{seed}"
            if name in runs and not arguments.again:
                continue
            print(f"== {name}", flush=True)
            runs[name] = _run(method, seed, arguments)
            tables = everything.get("tables", {}) | {table: runs}
            everything = {
                "command": shlex.join(["python", "benchmarks/methods.py", *sys.argv[1:]]),
                "machine": describe(),
                "tables": tables,
            }
            write_json(RESULTS, everything)
    show(runs)


def _run(method: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One student's correct rows and seconds, or why it could not be made."""
    settings = [
        f"seed={seed}",
        f"training.epochs={arguments.epochs}",
        *SHAPES[arguments.shape],
        *OWN_SHAPE.get(method, []),
    ]
    values = {
        "teacher.path": str(SHARED / "models" / "minilm-l6-sst2"),
        "data.train": str(DATA / arguments.train),
        "data.validation": str(DATA / "dev.jsonl"),
        "data.test": str(DATA / "test.jsonl"),
        "knowledge.folder": str(ROOT / "runs" / "methods" / "knowledge"),
        "method": method,
    }
    start = time.perf_counter()
    try:
        with shown():
            done = trial(load_recipe(None, settings, values))
    except LimbeckError as error:
        return {"refused": str(error), "commit": _commit()}
    labels = done.plan.material.test.labels
    return {
        "correct": "".join(map(str, (done.student_logits.argmax(1) == labels).astype(int))),
        "teacher": "".join(map(str, (done.teacher_logits.argmax(1) == labels).astype(int))),
        "validation": done.arm.outcome.progress.best_score,
        "seconds": round(time.perf_counter() - start, 1),
        "training_seconds": round(done.training_seconds, 1),
        "encoder_parameters": done.plan.student_counts.encoder_parameters,
        "parameters": done.plan.student_counts.parameters,
        "settings": settings,
        "commit": _commit(),
    }


def show(runs: dict[str, Any]) -> None:
    """The table: mean accuracy of the seeds, intervals over rows, paired differences."""
    means = {}
    for method in METHODS:
        own = [run for name, run in runs.items() if name.startswith(f"{method.name}/")]
        refused = [run["refused"] for run in own if "refused" in run]
        if refused:
            print(f"{method.name}: refused: {refused[0]}")
        rows = [_bits(run["correct"]) for run in own if "correct" in run]
        if rows:
            means[method.name] = np.mean(rows, axis=0)
            teacher = _bits(own[0]["teacher"])
    if not means:
        return
    resamples = Resamples({**means, "teacher": teacher}, count=2000, confidence=0.95, seed=0)
    print("\n| method | accuracy | of the teacher's | against logits | against no teacher | s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in sorted(means, key=lambda name: -means[name].mean()):
        own = [run for key, run in runs.items() if key.startswith(f"{name}/") and "seconds" in run]
        score, ratio = resamples.score(name), resamples.ratio(name, "teacher")
        print(
            f"| {name} | {score.value:.4f} ({score.low:.3f} to {score.high:.3f}) "
            f"| {ratio.value:.1%} ({ratio.low:.1%} to {ratio.high:.1%}) "
            f"| {_difference(resamples, name, 'logits', means)} "
            f"| {_difference(resamples, name, 'labels', means)} "
            f"| {np.mean([run['training_seconds'] for run in own]):.0f} |"
        )


def _difference(resamples: Resamples, name: str, other: str, known: dict[str, Any]) -> str:
    if name == other or other not in known:
        return "–"
    found = resamples.difference(name, other)
    return f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _bits(text: str) -> np.ndarray:
    return np.array([int(bit) for bit in text], dtype=float)


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    return found.stdout.strip()


if __name__ == "__main__":
    main()
