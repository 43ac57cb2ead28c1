"""What each part of pruning buys: the choice, least squares, rounds, more texts; and narrow.

    python benchmarks/pruning.py --seeds 0 1 2      # goes on from the last finished arm

Students of 3 layers that keep 2 heads and 128 neurons a layer on average, from 6,920 sentences of
sst2, each without one of the parts. Writes benchmarks/results/pruning.json.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from limbeck.config.load import load_recipe
from limbeck.evaluation.bootstrap import Interval, Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe
from limbeck.progress import shown
from limbeck.run.trial import trial

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
RESULTS = ROOT / "benchmarks" / "results" / "pruning.json"
WORK = ROOT / "runs" / "pruning"
CUT = {"heads": 2, "neurons": 128}
ARMS: dict[str, dict[str, Any]] = {
    "half the layers, nothing cut": {},
    "one shot": {"student.pruning": CUT},
    "one shot, by chance": {"student.pruning": CUT | {"by": "chance"}},
    "one shot, least squares": {"student.pruning": CUT | {"compensate": True}},
    "one shot, by chance, least squares": {
        "student.pruning": CUT | {"by": "chance", "compensate": True}
    },
    "three rounds": {"student.pruning": CUT | {"rounds": 3}},
    "one shot, an altered copy of each text": {
        "student.pruning": CUT,
        "data.augment": {"copies": 1, "share": 0.12},
    },
    "one shot, embeddings of rank 96": {"student.pruning": CUT | {"embedding_rank": 96}},
    "built narrow, 3 x 96": {"student.hidden": 96},
}
"""An encoder of 3 x 96 has 0.34 million parameters; 2 heads and 128 neurons leave 0.60 million."""


def main() -> None:
    """Run what is not in the results yet and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=None, help="all cores by default")
    arguments = parser.parse_args()
    if not SHARED.is_dir():
        sys.exit(f"{SHARED} is not here: this benchmark needs the real data.")
    everything: dict[str, Any] = read_json(RESULTS) if RESULTS.exists() else {"runs": {}}
    for seed in arguments.seeds:
        for name, values in ARMS.items():
            if f"{name} {seed}" in everything["runs"]:
                continue
            print(f"== {name}, seed {seed}", flush=True)
            with shown():
                found = _run(values, seed, arguments.threads)
            everything["machine"] = describe()
            everything["command"] = shlex.join(["python", "benchmarks/pruning.py", *sys.argv[1:]])
            everything["runs"][f"{name} {seed}"] = found
            write_json(RESULTS, everything)
    show(everything["runs"])


def _run(values: dict[str, Any], seed: int, threads: int | None) -> dict[str, Any]:
    data = SHARED / "data" / "sst2"
    done = trial(
        load_recipe(
            None,
            values={
                "teacher.path": str(SHARED / "models" / "minilm-l6-sst2"),
                "data.train": str(data / "train_sentences.jsonl"),
                "data.validation": str(data / "dev.jsonl"),
                "data.test": str(data / "test.jsonl"),
                "student.layers": 3,
                "objective.terms": [{"kind": "logits", "weight": 1.0, "temperature": 2.0}],
                "training.epochs": 4,
                "training.threads": threads,
                "training.learning_rate": 2e-4,
                "knowledge.folder": str(WORK / "knowledge"),
                "seed": seed,
                **values,
            },
        )
    )
    task, labels = done.plan.task, done.plan.material.test.labels
    parts = {
        "student": task.parts(done.student_logits, labels),
        "teacher": task.parts(done.teacher_logits, labels),
    }
    resamples = Resamples(parts, count=2000, confidence=0.95, seed=0, statistic=task.statistic)
    return {
        "score": _shown(resamples.score("student")),
        "retention": _shown(resamples.ratio("student", "teacher")),
        "encoder_parameters": done.plan.student_counts.encoder_parameters,
        "seconds": round(done.training_seconds, 1),
        "threads": threads,
        "commit": _commit(),
    }


def _shown(interval: Interval) -> dict[str, float]:
    names = ("value", "low", "high")
    return {name: round(getattr(interval, name), 5) for name in names}


def show(runs: dict[str, Any]) -> None:
    """The table: of each arm the mean over its seeds, and each seed."""
    print("\n| student | encoder | of the teacher's | seeds | s |\n| --- | --- | --- | --- | --- |")
    for name in ARMS:
        own = [run for key, run in runs.items() if key.rpartition(" ")[0] == name]
        if not own:
            continue
        kept = [run["retention"]["value"] for run in own]
        print(
            f"| {name} | {own[0]['encoder_parameters'] / 1e6:.2f}M | {sum(kept) / len(kept):.1%} "
            f"| {', '.join(f'{one:.1%}' for one in kept)} | {own[0]['seconds']:.0f} |"
        )


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    return found.stdout.strip()


if __name__ == "__main__":
    main()
