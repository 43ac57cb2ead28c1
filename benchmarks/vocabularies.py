"""What a vocabulary is worth: a trimmed one against ones learned from the texts, on SST-2.

    python benchmarks/vocabularies.py                           # goes on from the last finished run
    python benchmarks/vocabularies.py --rows 200 --epochs 1 --results /tmp/try.json   # does it run?

Students of 3 layers of MiniLM-L6 are trained on sst2/train_sentences.jsonl (6,920 rows) and judged
on test.jsonl; dev.jsonl chooses the best state. Writes benchmarks/results/vocabularies.json and
prints the table of docs/vocabularies.md.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.load import load_recipe
from limbeck.evaluation.bootstrap import Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe
from limbeck.progress import shown
from limbeck.run.trial import trial

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data" / "sst2"
RESULTS = ROOT / "benchmarks" / "results" / "vocabularies.json"
_HIDDEN: list[dict[str, Any]] = [
    {"kind": "logits"},
    {"kind": "hidden", "layer_map": "uniform_and_embeddings"},
]


def _own(size: int, kind: str = "wordpiece") -> dict[str, Any]:
    return {"student.tokenizer": {"kind": kind, "size": size}}


ARMS: dict[str, dict[str, Any]] = {
    "full": {},
    "trim": {"student.vocabulary": "trim"},
    "wordpiece-8000": _own(8000),
    "wordpiece-4000": _own(4000),
    "bpe-4000": _own(4000, "bpe"),
    "trim, hidden": {"student.vocabulary": "trim", "objective.terms": _HIDDEN},
    "wordpiece-4000, hidden": _own(4000) | {"objective.terms": _HIDDEN},
}
"""Vocabularies, taught by soft labels; the last two by hidden states too."""


def main() -> None:
    """Run what is not in the results yet and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, help="the first of train and test alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit("../shared/data/sst2 is not here: this benchmark needs the real data.")
    table = f"{arguments.rows or 'all'} rows, {arguments.epochs} epochs"
    everything = read_json(arguments.results) if arguments.results.exists() else {}
    tables: dict[str, Any] = everything.get("tables", {})
    runs = tables.setdefault(table, {})
    for seed in arguments.seeds:  # a whole table of one seed first
        for name in arguments.arms:
            if f"{name}/{seed}" in runs:
                continue
            print(f"== {name}/{seed}", flush=True)
            runs[f"{name}/{seed}"] = _run(name, seed, arguments)
            command = shlex.join(["python", "benchmarks/vocabularies.py", *sys.argv[1:]])
            write_json(
                arguments.results, {"command": command, "machine": describe(), "tables": tables}
            )
    show(runs)


def _run(name: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One student's correct rows, sizes and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        files = {
            split: str(_first(DATA / file, arguments.rows, Path(folder)))
            for split, file in {
                "train": "train_sentences.jsonl", "validation": "dev.jsonl", "test": "test.jsonl"
            }.items()
        }  # fmt: skip
        values = {
            "teacher.path": str(SHARED / "models" / "minilm-l6-sst2"),
            **{f"data.{split}": path for split, path in files.items()},
            "knowledge.folder": str(ROOT / "runs" / "vocabularies" / "knowledge"),
            "student.layers": 3,
            "training.epochs": arguments.epochs,
            "training.threads": arguments.threads,
            "seed": seed,
            **ARMS[name],
        }
        with shown():
            done = trial(load_recipe(None, values=values))
    labels, plan = done.plan.material.test.labels, done.plan
    return {
        "correct": _bits(done.student_logits.argmax(1) == labels),
        "teacher": _bits(done.teacher_logits.argmax(1) == labels),
        "validation": done.arm.outcome.progress.best_score,
        "tokens": len(done.arm.tokenizer),
        "tokens_a_text": plan.lengths.student_tokens if plan.lengths else None,
        "teacher_tokens_a_text": round(float(plan.encoded.lengths.mean()), 2),
        "unaligned": plan.crossed.unaligned if plan.crossed else None,
        "parameters": plan.student_counts.parameters,
        "float32_mb": plan.student_counts.float32_mb,
        "training_seconds": round(done.training_seconds, 1),
        "commit": _commit(),
    }


def _first(source: Path, rows: int | None, folder: Path) -> Path:
    """The file, or its first rows."""
    if rows is None:
        return source
    with source.open(encoding="utf-8") as stream:
        lines = [line for line, _ in zip(stream, range(rows), strict=False)]
    target = folder / source.name
    target.write_text("".join(lines), encoding="utf-8")
    return target


def show(runs: dict[str, Any]) -> None:
    """The table: mean accuracy of the seeds, intervals over rows, sizes."""
    means, teacher = {}, None
    for name in ARMS:
        own = [run for key, run in runs.items() if key.rpartition("/")[0] == name]
        if own:
            means[name] = np.mean([list(map(int, run["correct"])) for run in own], axis=0)
            teacher = np.array(list(map(int, own[0]["teacher"])), dtype=float)
    if teacher is None:
        return
    resamples = Resamples({**means, "teacher": teacher}, count=2000, confidence=0.95, seed=0)
    print("\n| vocabulary | accuracy | of the teacher's | tokens | MB in float32 | tokens a text |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in means:
        run = next(run for key, run in runs.items() if key.rpartition("/")[0] == name)
        score, ratio = resamples.score(name), resamples.ratio(name, "teacher")
        length = run["tokens_a_text"] or run["teacher_tokens_a_text"]
        print(
            f"| {name} | {score.value:.4f} ({score.low:.3f} to {score.high:.3f}) "
            f"| {ratio.value:.1%} | {run['tokens']:,} | {run['float32_mb']:.1f} | {length:.1f} |"
        )


def _bits(right: np.ndarray) -> str:
    return "".join(map(str, right.astype(int)))


def _commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT
    ).stdout.strip()


if __name__ == "__main__":
    main()
