"""Small models and texts that the tests make themselves; nothing is fetched."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.machine import available_cores

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).parent.parent.parent / "shared"
GOOD = ["bright", "lovely", "warm", "clever", "fresh", "superb"]
BAD = ["dull", "awful", "cold", "clumsy", "stale", "dreadful"]
FILLER = [
    "the", "film", "was", "a", "story", "of", "one", "man", "and", "his", "dog", "on", "an",
    "island", "by", "sea", "with", "rain",
]  # fmt: skip


def sentences(count: int, *, seed: int, noise: float = 0.0) -> list[dict[str, Any]]:
    """Labelled rows: 1 where good words outnumber bad ones; a share of labels is flipped."""
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        label = generator.randrange(2)
        words = generator.choices(FILLER, k=generator.randrange(3, 12))
        words += generator.choices(GOOD if label else BAD, k=2)
        generator.shuffle(words)
        if generator.random() < noise:
            label = 1 - label
        rows.append({"text": " ".join(words), "label": label})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as a JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


_SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40, "embedding_size": 8, "pad_token_id": 0,
}  # fmt: skip
_DEBERTA: dict[str, Any] = {**_SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
_GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 16, "n_layer": 4, "n_head": 2,
                         "vocab_size": 50, "n_positions": 40, "pad_token_id": 0}  # fmt: skip
_TINY: dict[str, dict[str, Any]] = {
    **{
        name: {"model_type": name, **_SIZES}
        for name in ("bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "albert")
    },
    "albert-groups": {"model_type": "albert", **_SIZES, "num_hidden_groups": 3},
    "deberta": {"model_type": "deberta", **_DEBERTA},
    "deberta-v2": {"model_type": "deberta-v2", **_DEBERTA},
    "deberta-v2-conv": {"model_type": "deberta-v2", **_DEBERTA, "conv_kernel_size": 3},
    "deberta-v3": {"model_type": "deberta-v2", **_DEBERTA, "position_buckets": 8,
                   "share_att_key": True, "norm_rel_ebd": "layer_norm",
                   "position_biased_input": False},
    "distilbert": {"model_type": "distilbert", "dim": 16, "n_layers": 4, "n_heads": 2,
                   "hidden_dim": 24, "vocab_size": 50},
    "mobilebert": {"model_type": "mobilebert", **_SIZES, "intra_bottleneck_size": 12},
    "xlnet": {"model_type": "xlnet", "d_model": 16, "n_layer": 4, "n_head": 2, "d_inner": 24,
              "vocab_size": 50},
    "modernbert": {"model_type": "modernbert", **_SIZES, "cls_token_id": 1, "sep_token_id": 2,
                   "bos_token_id": 1, "eos_token_id": 2, "local_attention": 4,
                   "global_attn_every_n_layers": 3},
    "gpt2": _GPT2,
    "gpt2-scaled": {**_GPT2, "scale_attn_by_inverse_layer_idx": True},
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny() -> dict[str, dict[str, Any]]:
    """Settings of a tiny model of every family and its variants, for `AutoConfig.for_model`."""
    return _TINY


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts about the machine are kept per test run, never in the user's home."""
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def pytest_configure(config: pytest.Config) -> None:
    """A worker of several has a core of its own: two on all of them slow each other down."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    import torch

    torch.set_num_threads(min(2, available_cores()))


def make_tokenizer(folder: Path, *, extra: list[str] | None = None) -> Any:
    """A WordPiece tokenizer over the words of `sentences`, saved as transformers saves it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary += sorted({*FILLER, *GOOD, *BAD, *letters})
    vocabulary += [f"##{letter}" for letter in letters] + (extra or [])
    ids = {piece: index for index, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    wrapped = BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=64)
    wrapped.save_pretrained(folder)
    return wrapped


def make_teacher(
    folder: Path,
    *,
    layers: int = 4,
    names: tuple[str, ...] = ("negative", "positive"),
    **sizes: int,
) -> Path:
    """A tiny BERT classifier with random weights, saved with its tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = make_tokenizer(folder, extra=["unused", "never", "##seen"])
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.get("hidden", 32),
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """train, validation, test and unlabelled files of generated sentences."""
    folder = tmp_path_factory.mktemp("texts")
    return {
        "train": write_jsonl(folder / "train.jsonl", sentences(400, seed=1)),
        "validation": write_jsonl(folder / "validation.jsonl", sentences(80, seed=2)),
        "test": write_jsonl(folder / "test.jsonl", sentences(160, seed=3)),
        "unlabelled": write_jsonl(folder / "unlabelled.jsonl", sentences(200, seed=4)),
    }


@pytest.fixture(scope="session")
def write_tokenizer() -> Callable[..., Any]:
    """`make_tokenizer`, for tests that make their own teacher."""
    return make_tokenizer


@pytest.fixture(scope="session")
def random_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher whose answers are arbitrary but fixed."""
    return make_teacher(tmp_path_factory.mktemp("random_teacher"))


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory, files: dict[str, Path]) -> Path:
    """A teacher that `teach` fine-tuned on the generated sentences: right on almost all."""
    from limbeck.config.recipe import DataConfig, TeacherConfig, TeachRecipe, TrainingConfig
    from limbeck.teach import teach

    folder = tmp_path_factory.mktemp("teacher")
    make_teacher(folder / "base")
    teach(
        TeachRecipe(
            base=TeacherConfig(path=str(folder / "base")),
            data=DataConfig(
                train=str(files["train"]),
                validation=str(files["validation"]),
                labels=("negative", "positive"),
                max_tokens=32,
            ),
            training=TrainingConfig(
                epochs=6, learning_rate=3e-3, batch_rows=32, precision="float32", threads=2
            ),
            output=str(folder / "teacher"),
        )
    )
    return folder / "teacher"


@pytest.fixture
def recipe(teacher: Path, files: dict[str, Path], tmp_path: Path) -> Callable[..., Any]:
    """Makes a small, fast recipe below tmp_path; keyword ``key__subkey`` sets ``key.subkey``."""
    from limbeck.config.load import load_recipe

    def make(**settings: Any) -> Any:
        values = {
            "teacher.path": str(teacher),
            "data.train": str(files["train"]),
            "data.validation": str(files["validation"]),
            "data.test": str(files["test"]),
            "data.max_tokens": 32,
            "student.layers": 2,
            "knowledge.folder": str(tmp_path / "knowledge"),
            "training.epochs": 2,
            "training.learning_rate": 1e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "training.threads": 2,
            "training.log_steps": 1,
            "evaluation.bootstrap": 200,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 20,
            "evaluation.memory": False,
            "output": str(tmp_path / "run"),
        }
        values.update({key.replace("__", "."): value for key, value in settings.items()})
        return load_recipe(None, values=values)

    return make


@pytest.fixture
def shared() -> Path:
    """The folder of real data, or a skip with the reason."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real data is not here: {SHARED} does not exist")
    return SHARED
