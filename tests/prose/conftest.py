"""Language models that `teach` made of generated text, and recipes of their students."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.load import load_recipe
from limbeck.config.recipe import TeachRecipe
from limbeck.teach import teach

BLOCK = 24
"""Tokens: most texts are longer, and go on in a second block."""
GOES_ON = {
    "man": ["was", "clever"], "dog": ["was", "warm"], "film": ["on", "island"],
    "story": ["of", "rain"], "sea": ["by", "island"],
}  # fmt: skip
"""What follows each noun: nothing else, so that a language model has something to know."""


def prose(count: int, *, seed: int) -> list[str]:
    """Texts of a few sentences, in which all but nouns and adjectives follow from what is there."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        words: list[str] = []
        for _ in range(chance.randrange(2, 9)):
            noun = chance.choice(sorted(GOES_ON))
            words += ["the", chance.choice(["dull", "bright", "lovely"]), noun, *GOES_ON[noun]]
        texts.append(" ".join(words))
    return texts


def _write(path: Path, texts: list[str]) -> str:
    import json

    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of rows, and one of plain text."""
    folder = tmp_path_factory.mktemp("prose")
    plain = folder / "plain.txt"
    plain.write_text("\n".join(prose(300, seed=5)) + "\n")
    counts = {"train": 300, "validation": 30, "test": 40, "unlabelled": 60}
    found = {
        name: _write(folder / f"{name}.jsonl", prose(count, seed=place))
        for place, (name, count) in enumerate(counts.items())
    }
    return {**found, "plain": str(plain)}


def byte_tokenizer(folder: Path, texts: list[str]) -> Any:
    """A byte-level BPE as GPT-2 has it, with tokens that no text uses; it adds no special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        initial_alphabet=alphabet,
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*texts, "nobody ever writes these words here"], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    wrapped.model_max_length = 64
    wrapped.save_pretrained(folder)
    return wrapped


def _taught(base: Path, task: str, texts: dict[str, str], output: Path, epochs: int) -> float:
    return teach(
        TeachRecipe.model_validate(
            {
                "base": str(base),
                "task": task,
                "data": {
                    "train": texts["train"],
                    "validation": texts["validation"],
                    "max_tokens": BLOCK,
                    "mask_copies": 3,
                },
                "training": {
                    "epochs": epochs,
                    "learning_rate": 3e-3,
                    "batch_rows": 16,
                    "precision": "float32",
                    "attention": "sdpa",
                    "threads": 1,
                    "evaluations_per_epoch": 1,
                },
                "dropout": 0.0,
                "output": str(output),
            }
        )
    )


@pytest.fixture(scope="session")
def causal_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 with random weights; like the real one, its tokenizer has no padding token."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("causal_base")
    tokenizer = byte_tokenizer(folder, prose(300, seed=0))
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=4, n_head=4, n_positions=64,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def causal(
    tmp_path_factory: pytest.TempPathFactory, causal_base: Path, texts: dict[str, str]
) -> Path:
    """A GPT-2 that knows the generated language."""
    folder = tmp_path_factory.mktemp("causal") / "teacher"
    assert _taught(causal_base, "causal_language_modeling", texts, folder, 10) > 0.5
    return folder


@pytest.fixture(scope="session")
def masked(
    tmp_path_factory: pytest.TempPathFactory,
    write_tokenizer: Callable[..., Any],
    texts: dict[str, str],
) -> Path:
    """A BERT of masked words, made of an encoder without a head."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("masked")
    tokenizer = write_tokenizer(folder / "base", extra=["unused", "never"])
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder / "base")
    assert _taught(
        folder / "base", "masked_language_modeling", texts, folder / "teacher", 12
    ) > 0.2  # fmt: skip
    return folder / "teacher"


@pytest.fixture(scope="session")
def make(texts: dict[str, str]) -> Callable[..., Any]:
    """Small recipes below a folder; keyword ``key__subkey`` sets ``key.subkey``."""

    def recipe(teacher: Path, task: str, folder: Path, **settings: Any) -> Any:
        values = {
            "teacher.path": str(teacher),
            "task": task,
            **{f"data.{name}": texts[name] for name in ("train", "validation", "test")},
            "data.max_tokens": BLOCK,
            "student.layers": 2,
            "objective.terms": [
                {"kind": "hard", "weight": 0.5},
                {"kind": "logits", "weight": 0.5, "temperature": 1.0},
            ],
            "knowledge.folder": str(folder / "knowledge"),
            "knowledge.top_k": 8,
            "training.epochs": 2,
            "training.learning_rate": 3e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "training.attention": "sdpa",
            "training.threads": 1,
            "training.log_steps": 1,
            "knowledge.precision": "float32",
            "evaluation.bootstrap": 100,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 5,
            "evaluation.memory": False,
            "output": str(folder / "run"),
        }
        values.update({key.replace("__", "."): value for key, value in settings.items()})
        return load_recipe(None, values=values)

    return recipe


@pytest.fixture(scope="session")
def write_bytes_tokenizer() -> Callable[..., Any]:
    """`byte_tokenizer`, for tests that make a model of another vocabulary."""
    return byte_tokenizer


@pytest.fixture(scope="session")
def test_texts() -> list[str]:
    """The texts of the test file."""
    return prose(40, seed=2)
