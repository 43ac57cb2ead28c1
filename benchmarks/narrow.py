"""More than an hour of training: what a narrow student keeps, and whether memory and rate are flat.

    python benchmarks/narrow.py --output runs/narrow     # goes on where it was interrupted

A 3 x 192 student, cut narrow out of sst2's teacher: general distillation on plain text, hidden
states of the training texts and of two altered copies of each, then twelve passes over their soft
labels. Memory is sampled every ten seconds. Writes benchmarks/results/narrow.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from limbeck.files import read_json, write_json
from limbeck.machine import describe

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
RESULTS = ROOT / "benchmarks" / "results" / "narrow.json"
SETTINGS = {
    "student.layers": 3,
    "student.hidden": 192,
    "data.augment": {"copies": 2, "share": 0.12},
    "pretraining.terms": [{"kind": "hidden", "weight": 1.0, "layer_map": "uniform_and_embeddings"}],
    "pretraining.learning_rate": 1e-3,
    "stages": [
        {
            "name": "intermediate",
            "epochs": 3,
            "learning_rate": 1e-3,
            "terms": [{"kind": "hidden", "weight": 1.0, "layer_map": "uniform_and_embeddings"}],
        }
    ],
    "objective.terms": [{"kind": "logits", "weight": 1.0, "temperature": 2.0}],
    "knowledge.states": "int8",
    "training.epochs": 12,
    "training.learning_rate": 5e-4,
    "training.batch_rows": 128,
    "training.patience": 100,
    "evaluation.control": False,
    "evaluation.memory": False,
}
_EVERY_S = 10


def main() -> None:
    """Run it, watch it, and keep what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", default="runs/narrow")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    data = SHARED / "data"
    if not data.is_dir():
        sys.exit("../shared/data is not here: this benchmark needs the real data.")
    command = [sys.executable, "-c", "from limbeck.cli.main import main; main()", "distill"]
    for name, value in {
        "teacher": SHARED / "models" / "minilm-l6-sst2",
        "train": data / "sst2" / "train.jsonl",
        "validation": data / "sst2" / "dev.jsonl",
        "test": data / "sst2" / "test.jsonl",
        "output": arguments.output,
    }.items():
        command += [f"--{name}", str(value)]
    for plain in ("novels_en", "wikitext2"):
        command += ["--plain", str(data / plain)]
    for key, value in (SETTINGS | {"training.threads": arguments.threads}).items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    process = subprocess.Popen(command, env=environment)
    samples = []
    while process.poll() is None:
        samples.append((time.time(), _resident_mb(process.pid)))
        time.sleep(_EVERY_S)
    if process.returncode:
        sys.exit(process.returncode)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT
    ).stdout.strip()
    ran = shlex.join(["python", "benchmarks/narrow.py", *sys.argv[1:]])
    facts = {"command": ran, "commit": commit, "machine": describe()}
    write_json(RESULTS, facts | summary(Path(arguments.output), samples))


def summary(run: Path, samples: list[tuple[float, float]]) -> dict[str, Any]:
    """Scores of a finished run, its rates by thirds of each training, and its memory over time."""
    report = read_json(run / "report.json")
    rates: dict[str, list[float]] = defaultdict(list)
    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "tokens_per_s" in entry:
            rates[entry["arm"]].append(entry["tokens_per_s"])
    thirds = {
        arm: [
            round(
                statistics.median(values[part * len(values) // 3 : (part + 1) * len(values) // 3])
            )
            for part in range(3)
        ]
        for arm, values in rates.items()
    }
    start = samples[0][0]
    return {
        "teacher": report["teacher"]["score"],
        "student": report["student"]["score"],
        "retention": report["retention"],
        "encoder_parameters": report["student"]["encoder_parameters"],
        "training": report["training"]["student"],
        "minutes": round((samples[-1][0] - start) / 60, 1),
        "tokens_per_s_by_thirds": thirds,
        "resident_mb_by_minute": [
            [round((when - start) / 60, 1), round(mb, 1)] for when, mb in samples[:: 60 // _EVERY_S]
        ],
    }


def _resident_mb(process: int) -> float:
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0].split()[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    main()
