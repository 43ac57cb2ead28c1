"""A teacher that finds answers in generated contexts, and recipes of its students."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.recipe import DataConfig, TeacherConfig, TeachRecipe, TrainingConfig
from limbeck.distill import distill
from limbeck.teach import teach

FIRST, LAST, TOWNS = ["anna", "boris", "clara"], ["smith", "jones"], ["rome", "oslo", "lima"]
FILLER = ["the", "man", "saw", "a", "dog", "in", "and", "was", "on", "with", "rain", "story", "sea"]
WINDOW = 40
"""Tokens: contexts of more than 31 words are read in several windows."""


def asked(count: int, *, seed: int, nothing: float = 0.0, title: str = "t") -> list[dict[str, Any]]:
    """Flat rows: who asks for the name in the context, where for the town."""
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        words = generator.choices(FILLER, k=generator.choice([5, 8, 12, 36]))
        name = " ".join(
            [generator.choice(FIRST), generator.choice(LAST)][: generator.randint(1, 2)]
        )
        town = generator.choice(TOWNS)
        kind = generator.choice(["who", "where"])
        answer = name if kind == "who" else town
        gone = generator.random() < nothing
        for inserted in [name, town]:
            if not (gone and inserted == answer):
                words.insert(generator.randrange(len(words) + 1), inserted)
        context = " ".join(words)
        start = f" {context} ".find(f" {answer} ")
        found = {"text": [answer], "answer_start": [start]}
        rows.append(
            {
                "id": f"{title}{number}",
                "title": title,
                "question": f"{kind} was it",
                "context": context,
                "answers": {"text": [], "answer_start": []} if gone else found,
            }
        )
    return rows


def squad(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows as SQuAD's own JSON."""
    paragraphs = []
    for row in rows:
        pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        answers = [{"text": text, "answer_start": start} for text, start in pairs]
        asked = {"id": row["id"], "question": row["question"], "answers": answers}
        paragraphs.append({"context": row["context"], "qas": [asked]})
    return {"version": "1.1", "data": [{"title": "made", "paragraphs": paragraphs}]}


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of questions, one of them in SQuAD's form, and one without answers."""
    folder = tmp_path_factory.mktemp("asked")
    bare = [
        {k: v for k, v in row.items() if k != "answers"} for row in asked(40, seed=4, title="u")
    ]
    validation = folder / "validation.json"
    validation.write_text(json.dumps(squad(asked(60, seed=2, title="v"))), encoding="utf-8")
    return {
        "train": _write(folder / "train.jsonl", asked(600, seed=1)),
        "validation": validation,
        "test": _write(folder / "test.jsonl", asked(80, seed=3, title="s")),
        "unlabelled": _write(folder / "unlabelled.jsonl", bare),
        "lacking": _write(folder / "lacking.jsonl", asked(800, seed=5, nothing=0.3, title="n")),
        "lacking_test": _write(folder / "lacking_test.jsonl", asked(80, seed=6, nothing=0.3)),
    }


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, write_tokenizer: Callable[..., Any]) -> Path:
    """A tiny BERT without a head."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("base")
    words = [*LAST, *TOWNS, "anna", "boris", "clara", "who", "where", "it", "saw", "in", "and"]
    tokenizer = write_tokenizer(folder, extra=sorted({*words} - {"and", "on"}))
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


def _teacher(base: Path, rows: dict[str, Path], train: str, output: Path) -> float:
    return teach(
        TeachRecipe(
            base=TeacherConfig(path=str(base)),
            data=DataConfig(
                train=str(rows[train]),
                validation=None if train == "lacking" else str(rows["validation"]),
                max_tokens=WINDOW,
            ),
            training=TrainingConfig(
                epochs=7,
                learning_rate=3e-3,
                batch_rows=16,
                precision="float32",
                attention="sdpa",
                threads=1,
            ),
            dropout=0.0,
            output=str(output),
        )
    )


@pytest.fixture(scope="session")
def finder(tmp_path_factory: pytest.TempPathFactory, base: Path, rows: dict[str, Path]) -> Path:
    """A teacher of answers that `teach` made; its task is seen in the rows."""
    folder = tmp_path_factory.mktemp("finder") / "teacher"
    assert _teacher(base, rows, "train", folder) > 0.9
    return folder


@pytest.fixture(scope="session")
def make(finder: Path, rows: dict[str, Path]) -> Callable[..., Any]:
    """Small recipes below a folder; keyword ``key__subkey`` sets ``key.subkey``."""
    from limbeck.config.load import load_recipe

    def recipe(folder: Path, **settings: Any) -> Any:
        values = {
            "teacher.path": str(finder),
            "data.train": str(rows["train"]),
            "data.validation": str(rows["validation"]),
            "data.test": str(rows["test"]),
            "data.max_tokens": WINDOW,
            "student.layers": 2,
            "knowledge.folder": str(folder / "knowledge"),
            "knowledge.precision": "float32",
            "knowledge.shard_rows": 128,
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
    make: Callable[..., Any], rows: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A finished run with questions that nobody answered, a trimmed vocabulary and control."""
    folder = tmp_path_factory.mktemp("finished")
    made = make(
        folder,
        data__unlabelled=[str(rows["unlabelled"])],
        student__vocabulary="trim",
        evaluation__control=True,
        training__epochs=3,
    )
    return folder / "run", distill(made)


@pytest.fixture(scope="session")
def questions_of() -> Callable[..., list[dict[str, Any]]]:
    """`asked`, for tests that make rows of their own."""
    return asked


@pytest.fixture(scope="session")
def write() -> Callable[[Path, list[dict[str, Any]]], Path]:
    """Writes rows as JSONL."""
    return _write


@pytest.fixture(scope="session")
def taught(base: Path, rows: dict[str, Path]) -> Callable[[str, Path], float]:
    """Makes a teacher from the rows of a name; its score."""
    return lambda train, output: _teacher(base, rows, train, output)
