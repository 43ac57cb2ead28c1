"""A sentence encoder at half its depth: stsb by Spearman, reqa_squad by nDCG@10 and recall@10.

python benchmarks/sentence_embeddings.py TEACHER DATA OUTPUT [--texts 15000] [--epochs 2]
DATA holds the folders stsb and reqa_squad.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from limbeck import distill
from limbeck.config.load import load_recipe
from limbeck.evaluation.retrieval import search_by
from limbeck.files import write_json
from limbeck.runtime.transformers_model import from_folder

MAX_TOKENS = 128


def main() -> None:
    """Distill, then search with teacher and student."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("teacher")
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--texts", type=int, default=15_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--documents", type=int, default=0, help="0 searches all of them")
    wanted = parser.parse_args()
    wanted.output.mkdir(parents=True, exist_ok=True)
    train = _training_texts(wanted.data, wanted.output / "train.jsonl", wanted.texts)
    start = time.perf_counter()
    report = distill(load_recipe(None, values=_values(wanted, train)))
    seconds = time.perf_counter() - start
    student = wanted.output / "run" / "student"
    figures: dict[str, Any] = {
        "seconds_of_distill": round(seconds, 1),
        "training_texts": report.data["train_rows_used"],
        "stsb_spearman": {
            name: model.score.model_dump()
            for name, model in (("teacher", report.teacher), ("student", report.student))
        },
        "retention": report.retention.model_dump(),
        "parameters": [report.teacher.parameters, report.student.parameters],
        "reqa_squad": _searches(wanted, [("teacher", wanted.teacher), ("student", str(student))]),
        "exports": [export.model_dump(mode="json") for export in report.exports],
    }
    write_json(wanted.output / "figures.json", figures)
    print(json.dumps(figures, indent=2))


def _values(wanted: argparse.Namespace, train: Path) -> dict[str, Any]:
    return {
        "teacher.path": wanted.teacher,
        "data.train": str(train),
        "data.validation": str(wanted.data / "stsb" / "dev.jsonl"),
        "data.test": str(wanted.data / "stsb" / "test.jsonl"),
        "data.max_tokens": MAX_TOKENS,
        "knowledge.folder": str(wanted.output / "knowledge"),
        "training.epochs": wanted.epochs,
        "training.learning_rate": 3e-4,
        "training.batch_rows": 64,
        "training.evaluations_per_epoch": 1,
        "evaluation.bootstrap": 500,
        "evaluation.speed_rounds": 1,
        "evaluation.speed_texts": 50,
        "evaluation.memory": False,
        "output": str(wanted.output / "run"),
    }


def _training_texts(data: Path, place: Path, count: int) -> Path:
    """Sentences of stsb's and reqa_squad's training pairs, mixed, each once."""
    files = (data / "stsb" / "train.jsonl", data / "reqa_squad" / "train_pairs.jsonl")
    rows = [row for file in files for row in _rows(file)]
    texts = sorted({row[key] for row in rows for key in ("text_a", "text_b")})
    order = np.random.default_rng(0).permutation(len(texts))[:count]
    lines = (json.dumps({"text": texts[place]}, ensure_ascii=False) + "\n" for place in order)
    place.write_text("".join(lines), encoding="utf-8")
    return place


def _searches(
    wanted: argparse.Namespace, models: Iterable[tuple[str, str]]
) -> dict[str, dict[str, float]]:
    folder = wanted.data / "reqa_squad"
    relevant: dict[str, dict[str, float]] = {}
    for row in _rows(folder / "qrels.jsonl"):
        relevant.setdefault(row["query_id"], {})[row["corpus_id"]] = row["score"]
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl")}
    chosen = np.random.default_rng(0).permutation(len(queries))[: wanted.queries]
    ids = list(queries)
    queries = {ids[place]: queries[ids[place]] for place in chosen.tolist()}
    documents = {row["_id"]: row["text"] for row in _rows(folder / "corpus.jsonl")}
    if wanted.documents:
        needed = {name for query in queries for name in relevant[query]}
        others = [name for name in documents if name not in needed]
        kept = needed | set(others[: max(0, wanted.documents - len(needed))])
        documents = {name: text for name, text in documents.items() if name in kept}
    found = {}
    for name, path in models:
        answerer = from_folder(path, max_tokens=MAX_TOKENS)
        result = search_by(answerer, queries, documents, relevant)
        found[name] = {
            "ndcg@10": round(float(result.ndcg.mean()), 4),
            "recall@10": round(float(result.recall.mean()), 4),
            "queries": len(queries),
            "documents": len(documents),
        }
    return found


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    main()
