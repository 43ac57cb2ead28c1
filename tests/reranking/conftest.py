"""A teacher that ranks generated passages, and recipes of its students."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.load import load_recipe
from limbeck.config.recipe import TeachRecipe
from limbeck.distill import distill
from limbeck.teach import teach

Row = dict[str, Any]
GOOD = ["bright", "lovely", "warm", "clever", "fresh", "superb"]
BAD = ["dull", "awful", "cold", "clumsy", "stale", "dreadful"]
PLAIN = ["the", "film", "was", "a", "story", "of", "one", "man", "and", "his", "dog", "on"]
TOKENS = 32


def asked(count: int, *, seed: int, candidates: int = 5) -> list[Row]:
    """Queries whose candidates answer the better, the more praise they hold: 0, 1 or 2 words."""
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        grades = [2, 1, *generator.choices([0, 0, 1], k=candidates - 2)]
        generator.shuffle(grades)
        passages = []
        for grade in grades:
            words = generator.choices(PLAIN, k=generator.randrange(2, 9))
            words += generator.sample(GOOD, k=grade) + generator.sample(BAD, k=2 - grade)
            generator.shuffle(words)
            passages.append(" ".join(words))
        query = " ".join(generator.choices(PLAIN, k=5))
        rows.append({"query_id": f"{seed}-{number}", "query": f"{query} {number}",
                     "passages": passages, "labels": grades})  # fmt: skip
    return rows


def as_pairs(rows: list[Row]) -> list[Row]:
    """A row a candidate, not one query after the other."""
    pairs = [
        {"query_id": row["query_id"], "query": row["query"], "passage": passage, "label": label}
        for row in rows
        for passage, label in zip(row["passages"], row["labels"], strict=True)
    ]
    random.Random(0).shuffle(pairs)
    return pairs


def write(path: Path, rows: list[Row]) -> str:
    """The rows as a JSONL file; its path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of queries: lists, pairs, and some that nobody has judged."""
    folder = tmp_path_factory.mktemp("queries")
    bare = [{k: v for k, v in row.items() if k != "labels"} for row in asked(60, seed=4)]
    return {
        "train": write(folder / "train.jsonl", asked(300, seed=1)),
        "validation": write(folder / "validation.jsonl", as_pairs(asked(40, seed=2))),
        "test": write(folder / "test.jsonl", asked(50, seed=3)),
        "unlabelled": write(folder / "unlabelled.jsonl", bare),
    }


@pytest.fixture(scope="session")
def ranker(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, str], random_teacher: Path
) -> Path:
    """A teacher that `teach` made; its task is seen in the rows."""
    folder = tmp_path_factory.mktemp("ranker") / "teacher"
    made = TeachRecipe.model_validate(
        {
            "base": str(random_teacher),
            "data": {key: rows[key] for key in ("train", "validation", "test")}
            | {"max_tokens": TOKENS},
            "training": {
                "epochs": 6, "learning_rate": 3e-3, "batch_rows": 32, "precision": "float32",
                "attention": "sdpa", "threads": 1,
            },
            "dropout": 0.0,
            "output": str(folder),
        }
    )  # fmt: skip
    assert teach(made) > 0.95
    return folder


@pytest.fixture(scope="session")
def make(ranker: Path, rows: dict[str, str]) -> Callable[..., Any]:
    """Small recipes below a folder; keyword ``key__subkey`` sets ``key.subkey``."""

    def recipe(folder: Path, **settings: Any) -> Any:
        values = {
            "teacher.path": str(ranker),
            **{f"data.{key}": rows[key] for key in ("train", "validation", "test")},
            "data.max_tokens": TOKENS,
            "student.layers": 2,
            "knowledge.folder": str(folder / "knowledge"),
            "knowledge.precision": "float32",
            "training.epochs": 2,
            "training.learning_rate": 1e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "training.attention": "sdpa",
            "training.threads": 1,
            "training.log_steps": 1,
            "evaluation.bootstrap": 100,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 10,
            "evaluation.memory": False,
            "evaluation.control": False,
            "output": str(folder / "run"),
        }
        values.update({key.replace("__", "."): value for key, value in settings.items()})
        return load_recipe(None, values=values)

    return recipe


@pytest.fixture(scope="session")
def finished(
    make: Callable[..., Any], rows: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A finished run with queries that nobody judged, a trimmed vocabulary and control."""
    folder = tmp_path_factory.mktemp("ranked")
    made = make(
        folder,
        data__unlabelled=[rows["unlabelled"]],
        student__vocabulary="trim",
        evaluation__control=True,
        training__epochs=3,
    )
    return folder / "run", distill(made)


@pytest.fixture(scope="session")
def queries() -> Callable[..., list[Row]]:
    """`asked`, for tests that make rows of their own."""
    return asked


@pytest.fixture(scope="session")
def pairs() -> Callable[[list[Row]], list[Row]]:
    """`as_pairs`, likewise."""
    return as_pairs


@pytest.fixture(scope="session")
def save() -> Callable[[Path, list[Row]], str]:
    """Writes rows as JSONL."""
    return write
