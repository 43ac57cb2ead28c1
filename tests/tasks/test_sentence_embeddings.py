"""Sentence embeddings: the whole road, and that others load the student and get its vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.distill import distill
from limbeck.errors import LimbeckError
from limbeck.files import read_json

FILLER = ("the", "film", "was", "a", "story", "of", "one", "man", "and", "his", "dog", "island")
FACTS = ("bright", "lovely", "warm", "dull", "awful", "cold")
Encoder = Callable[..., Path]


def _text(generator: np.random.Generator) -> str:
    words = generator.choice(FILLER, size=generator.integers(3, 9)).tolist()
    return " ".join([*words, *generator.choice(FACTS, size=2).tolist()])


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _texts(path: Path, count: int, *, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    return _write(path, [{"text": _text(generator)} for _ in range(count)])


def _pairs(path: Path, count: int, *, seed: int, sign: float = 1.0) -> Path:
    """Pairs that share more words the higher their score."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = generator.choice(FILLER + FACTS, size=6).tolist()
        kept = int(generator.integers(0, 7))
        others = generator.choice(FILLER + FACTS, size=6 - kept).tolist()
        both = {"text_a": " ".join(words), "text_b": " ".join([*words[:kept], *others])}
        rows.append({**both, "score": sign * kept})
    return _write(path, rows)


@pytest.fixture(scope="session")
def encoder(
    tmp_path_factory: pytest.TempPathFactory, write_tokenizer: Callable[..., Any]
) -> Encoder:
    """Makes a tiny random encoder, saved by sentence-transformers with the wanted modules."""

    def make(
        pooling: str | None = "mean", *, normalize: bool = True, dense: int | None = None
    ) -> Path:
        import torch
        from transformers import BertConfig, BertModel

        folder = tmp_path_factory.mktemp("encoder")
        tokenizer = write_tokenizer(folder / "plain")
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            BertModel(config).save_pretrained(folder / "plain")
            if pooling is None:
                return folder / "plain"
            st = pytest.importorskip("sentence_transformers")
            from sentence_transformers.sentence_transformer import modules as models

            from sentence_transformers.base import modules as base

            transformer, dense_layer, normalization = base.Transformer, base.Dense, base.Normalize
            modules: list[Any] = [transformer(str(folder / "plain"))]
            modules.append(models.Pooling(32, pooling_mode=pooling))
            modules += [dense_layer(32, dense)] if dense else []
            modules += [normalization()] if normalize else []
            st.SentenceTransformer(modules=modules, device="cpu").save_pretrained(
                str(folder / "model")
            )
        return folder / "model"

    return make


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Any]:
    """Makes a small recipe; keyword ``key__subkey`` sets ``key.subkey``."""
    from limbeck.config.load import load_recipe

    def make(teacher: Path, **more: Any) -> Any:
        values = {
            "teacher.path": str(teacher),
            "data.train": str(_texts(tmp_path / "train.jsonl", 300, seed=1)),
            "data.validation": str(_pairs(tmp_path / "validation.jsonl", 60, seed=2)),
            "data.test": str(_pairs(tmp_path / "test.jsonl", 80, seed=3)),
            "data.max_tokens": 32,
            "student.layers": 2,
            "knowledge.folder": str(tmp_path / "knowledge"),
            "training.epochs": 4,
            "training.learning_rate": 2e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "training.attention": "sdpa",
            "evaluation.bootstrap": 100,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 10,
            "evaluation.memory": False,
            "output": str(tmp_path / "run"),
        }
        values.update({key.replace("__", "."): value for key, value in more.items()})
        return load_recipe(None, values={k: v for k, v in values.items() if v is not None})

    return make


def _read(path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row[name] for row in rows for name in ("text_a", "text_b", "text") if name in row]


def test_the_student_is_a_sentence_transformer_with_the_vectors_that_were_measured(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Users load the folder elsewhere: other vectors there would make every index useless."""
    from limbeck.serve.predictor import Predictor

    st = pytest.importorskip("sentence_transformers")
    report = distill(settings(encoder()))
    assert report.task == "sentence_embeddings"
    assert report.score_name == "Spearman"
    assert "control" not in report.arms
    assert report.student.score.value > 0.8 * report.teacher.score.value
    texts = _read(tmp_path / "test.jsonl")
    theirs = st.SentenceTransformer(str(tmp_path / "run" / "student"), device="cpu").encode(texts)
    predictor = Predictor(tmp_path / "run", bulk=True)
    ours = np.concatenate(list(predictor.stream_probabilities(texts)))
    assert ours.shape == (160, 32)
    exact = predictor.runtime in ("transformers", "onnx", "onnx_fused")
    np.testing.assert_allclose(ours, theirs, atol=1e-5 if exact else 0.05)
    gate = read_json(tmp_path / "run" / "export" / "gate.json")
    assert {one["name"] for one in gate["exports"] if one["accepted"]} >= {"onnx"} or all(
        "slower" in one["reason"] for one in gate["exports"] if one["name"] == "onnx"
    )
