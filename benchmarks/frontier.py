"""The family of students from one run: score, latency and size at each point.

    python benchmarks/frontier.py               # sst2; goes on from the last finished point
    python benchmarks/frontier.py --sets sst2 clinc150 mrpc ag_news --seeds 0 1 2

Teachers of other sets are those of benchmarks/tasks.py. Writes benchmarks/results/frontier.json.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from limbeck.config.load import load_recipe
from limbeck.evaluation.frontier import Frontier
from limbeck.files import read_json, write_json
from limbeck.frontier import frontier
from limbeck.machine import describe
from limbeck.progress import shown

sys.path.insert(0, str(Path(__file__).parent))
from tasks import DATA, ROOT, teacher_of

RESULTS = ROOT / "benchmarks" / "results" / "frontier.json"
WORK = ROOT / "runs" / "frontier"
COPIES = {"sst2": 0, "clinc150": 3, "mrpc": 6, "ag_news": 1}
"""Altered copies of each training text: more where there are fewer texts."""
METHODS = {"sst2": "minilm2", "clinc150": "logits", "mrpc": "logits", "ag_news": "logits"}
"""How the first point learns; what is below it learns from the teacher's answers alone."""
BARS = ((10.0, 8.0, 0.995), (20.0, 15.0, 0.99), (30.0, 30.0, 0.975))
"""At least so many times faster and smaller than the teacher, with this share of its score."""


def main() -> None:
    """Run what is not in the results yet and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=COPIES, default=["sst2"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=None, help="all cores by default")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the sets")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"{arguments.data} is not here: this benchmark needs the real data.")
    everything: dict[str, Any] = read_json(RESULTS) if RESULTS.exists() else {}
    for name in arguments.sets:
        for seed in arguments.seeds:
            key = f"{name} {seed}"
            if key in everything.get("runs", {}):
                continue
            print(f"== {key}", flush=True)
            with shown():
                found = _run(name, seed, arguments.data, arguments.threads)
            everything["machine"] = describe()
            everything.setdefault("runs", {})[key] = _kept(found, arguments.threads)
            write_json(RESULTS, everything)
    for key, one in everything.get("runs", {}).items():
        show(key, one)


def _run(name: str, seed: int, data: Path, threads: int | None) -> Frontier:
    folder = data / name
    if name == "sst2":
        teacher = data.parent / "models" / "minilm-l6-sst2"
    else:
        teacher = teacher_of(name, data, threads)
    values = {
        "teacher.path": str(teacher),
        "data.train": str(folder / "train.jsonl"),
        "data.validation": str(folder / "dev.jsonl"),
        "data.test": str(folder / "test.jsonl"),
        "data.augment": {"copies": COPIES[name], "share": 0.12},
        "student.layers": 3,
        "student.vocabulary": "trim",
        "method": METHODS[name],
        "training.epochs": 3,
        "training.batch_rows": 128,
        "training.threads": threads,
        "evaluation.memory": False,
        "evaluation.speed_rounds": 5,
        "knowledge.folder": str(WORK / "knowledge"),
        "output": str(WORK / f"{name}-{seed}"),
        "seed": seed,
    }
    return frontier(load_recipe(None, values=values))


def _kept(found: Frontier, threads: int | None) -> dict[str, Any]:
    """What of a frontier is worth keeping."""
    teacher = found.teacher
    return {
        "command": shlex.join(["python", "benchmarks/frontier.py", *sys.argv[1:]]),
        "commit": _commit(),
        "threads": threads,
        "seconds": found.seconds,
        "score_name": found.score_name,
        "test_rows": found.data["test_rows"],
        "teacher": _figures(teacher),
        "teacher_int8": _figures(found.teacher_int8) if found.teacher_int8 else None,
        "trials": [trial.model_dump() for trial in found.trials],
        "knee": found.knee,
        "points": [
            {
                "heads": point.heads,
                "neurons": point.neurons,
                "rank": point.embedding_rank,
                "served_by": point.served_by,
                "retention": point.retention.model_dump() if point.retention else None,
                "faster": (teacher.latency_ms_p50 or 0) / (point.served.latency_ms_p50 or 1),
                "smaller": teacher.size_mb / point.served.size_mb,
                "train_seconds": round(point.train_seconds, 1),
                "learning_rate": point.learning_rate,
                "compensated": point.compensated,
                **_figures(point.served),
            }
            for point in found.points
        ],
    }


def _figures(one: Any) -> dict[str, Any]:
    return {
        "score": one.score.model_dump(),
        "latency_ms_p50": one.latency_ms_p50,
        "texts_per_s": one.texts_per_s,
        "size_mb": one.size_mb,
        "encoder_parameters": one.encoder_parameters,
        "parameters": one.parameters,
    }


def show(key: str, one: dict[str, Any]) -> None:
    """The points of a run, and the bars."""
    teacher = one["teacher"]
    print(
        f"\n{key}: teacher {teacher['score']['value']:.4f}, {teacher['latency_ms_p50']:.2f} ms, "
        f"{teacher['size_mb']:.1f} MB; {one['seconds'] / 60:.0f} minutes"
    )
    titles = ("point", "encoder", "heads", "neurons", "rank", "of the teacher's", "faster")
    titles += ("smaller", "ms", "MB")
    print(f"\n| {' | '.join(titles)} |\n|{' --- |' * len(titles)}")
    for number, point in enumerate(one["points"], start=1):
        kept = point["retention"]
        print(
            f"| {number} | {point['encoder_parameters'] / 1e6:.2f}M "
            f"| {' '.join(map(str, point['heads']))} | {' '.join(map(str, point['neurons']))} "
            f"| {point['rank'] or ''} "
            f"| {kept['value']:.1%} ({kept['low']:.1%} to {kept['high']:.1%}) "
            f"| {point['faster']:.1f} | {point['smaller']:.1f} | {point['latency_ms_p50']:.2f} "
            f"| {point['size_mb']:.1f} |"
        )
    for faster, smaller, share in BARS:
        fit = [
            point["retention"]["value"]
            for point in one["points"]
            if point["faster"] >= faster and point["smaller"] >= smaller
        ]
        best = f"{max(fit):.1%}" if fit else "no point"
        print(f"{faster:g}x faster and {smaller:g}x smaller: {best} (bar {share:.1%})")


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    return found.stdout.strip()


if __name__ == "__main__":
    main()
