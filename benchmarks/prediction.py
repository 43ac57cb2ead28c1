"""Bulk prediction against transformers' pipeline, on real texts and the same student.

    python benchmarks/prediction.py                    # makes a student first, in one epoch
    python benchmarks/prediction.py --run runs/sst2    # the student of a finished run

limbeck serves what its gate chose for bulk, which may be int8; the pipeline computes in float32.
`same_label` is the share of texts to which both give the same label. Each round gives both the
same texts in the order of the file, the pipeline in batches of 32, on the same number of threads;
the order of the two turns from round to round. Then `limbeck predict` answers a file of 100,000.
Writes benchmarks/results/prediction.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from limbeck.config.load import load_recipe
from limbeck.distill import distill
from limbeck.files import read_json, write_json
from limbeck.machine import available_cores, describe
from limbeck.progress import shown
from limbeck.serve.predictor import Predictor

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "sst2"
BAR = 6.0
COMMAND = """
import sys
from limbeck.cli.main import app, run
from limbeck.evaluation.memory import own_peak_mb
status = run(lambda: app(["predict", *sys.argv[1:]], standalone_mode=False))
print(own_peak_mb())
sys.exit(status)
"""


def main() -> None:
    """Measure, print, keep; status 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "benchmark" / "prediction")
    parser.add_argument("--texts", type=int, default=5000, help="texts a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--file", type=int, default=100_000, help="texts of the file")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit("../shared/data/sst2 is not here: this benchmark needs the real data.")
    if not (arguments.run / "report.json").exists():
        make_student(arguments.run)
    rows = [json.loads(line)["text"] for line in (DATA / "train.jsonl").open(encoding="utf-8")]
    rounds = against_the_pipeline(arguments.run, rows, arguments.texts, arguments.rounds)
    files = [
        answer_a_file(arguments.run, rows, count)
        for count in (arguments.file // 10, arguments.file)
    ]
    ratio = median(one["ratio"] for one in rounds)
    print(f"median of ratios {ratio:.2f} (bar {BAR}): {'reached' if ratio >= BAR else 'MISSED'}")
    gate = read_json(arguments.run / "export" / "gate.json")
    keep(
        {
            "command": " ".join(["python", "benchmarks/prediction.py", *sys.argv[1:]]),
            "machine": describe(),
            "runtime": gate["best_bulk"] or "transformers",
            "texts": arguments.texts,
            "pipeline_texts_per_s": round(median(one["pipeline"] for one in rounds), 1),
            "limbeck_texts_per_s": round(median(one["limbeck"] for one in rounds), 1),
            "median_ratio": round(ratio, 2),
            "bar": BAR,
            "reached": ratio >= BAR,
            "rounds": rounds,
            "files": files,
        }
    )
    sys.exit(0 if ratio >= BAR else 1)


def make_student(run: Path) -> None:
    """Half the teacher's layers after one pass: its speed is that of any such student."""
    settings = ["training.epochs=1", "evaluation.control=false", "evaluation.memory=false"]
    values = {"data.train": str(DATA / "train_sentences.jsonl"), "output": str(run)}
    with shown():
        distill(load_recipe(ROOT / "recipes" / "sst2.yaml", settings, values))


def against_the_pipeline(
    run: Path, rows: list[str], texts: int, rounds: int
) -> list[dict[str, float]]:
    """Texts a second of both in each round, and how often they give the same label."""
    import torch
    from transformers import pipeline

    torch.set_num_threads(available_cores())
    classify = pipeline(
        "text-classification", model=str(run / "student"), device="cpu", batch_size=32
    )
    predictor = Predictor(run, bulk=True)
    answer = {
        "pipeline": lambda part: [one["label"] for one in classify(part)],
        "limbeck": lambda part: [one.label for one in predictor.predict(part)],
    }
    for give in answer.values():
        give(rows[:256])
    measured = []
    for turn in range(rounds):
        part = [rows[(turn * texts + place) % len(rows)] for place in range(texts)]
        labels, rates = {}, {}
        for name in list(answer)[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter()
            labels[name] = answer[name](part)
            rates[name] = round(texts / (time.perf_counter() - start), 1)
        same = sum(map(str.__eq__, labels["pipeline"], labels["limbeck"])) / texts
        measured.append(
            {
                **rates,
                "ratio": round(rates["limbeck"] / rates["pipeline"], 2),
                "same_label": round(same, 4),
            }
        )
        print(f"round {turn + 1}: {measured[-1]}", flush=True)
    return measured


def answer_a_file(run: Path, rows: list[str], count: int) -> dict[str, Any]:
    """`limbeck predict` on a file in a process of its own, start and loading included.

    Rows come again after the last, further apart than a window, so none is answered twice for one.
    """
    with tempfile.TemporaryDirectory() as folder:
        texts, answers = Path(folder) / "texts.jsonl", Path(folder) / "answers.jsonl"
        with texts.open("w", encoding="utf-8") as stream:
            for place in range(count):
                stream.write(json.dumps({"text": rows[place % len(rows)]}) + "\n")
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(run), str(texts), "--output", str(answers)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds = time.perf_counter() - start
        with answers.open(encoding="utf-8") as stream:
            answered = sum(1 for _ in stream)
    told = {
        "texts": count,
        "answered": answered,
        "seconds": round(seconds, 2),
        "texts_per_s": round(count / seconds, 1),
        "peak_memory_mb": float(done.stdout),
    }
    print(f"limbeck predict: {told}", flush=True)
    return told


def keep(result: dict[str, Any]) -> None:
    """Write the result with the commit that made it."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    write_json(
        ROOT / "benchmarks" / "results" / "prediction.json",
        {"command": result["command"], "commit": commit.stdout.strip(), **result},
    )


if __name__ == "__main__":
    main()
