"""What every arm of the speed benchmark is given, and what it gives back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

BATCH_ROWS = 64
MAX_TOKENS = 128
TEMPERATURE = 2.0
HARD_WEIGHT = 0.1
WARMUP_SHARE = 0.06
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Settings:
    """The same for all arms of a run, but for `work`.

    Attributes:
        teacher: The fine-tuned classifier's folder.
        student: The folder of the student before training: every arm loads these weights.
        layers: The teacher's layers, from 1, that the student is made of.
        exam: A few held-out rows, which limbeck wants to look at.
        work: The arm's own folder.
        seed: Of batches and dropout.
        threads: CPU threads of torch.
        learning_rate: Its peak.
    """

    teacher: str
    student: str
    layers: tuple[int, ...]
    exam: str
    work: str
    seed: int
    threads: int
    learning_rate: float


@dataclass(frozen=True)
class Unit:
    """One unit of work.

    Attributes:
        examples: Rows worked through.
        tokens: Their real tokens, special ones included, padding not.
        seconds: Time of the work alone: no reading, no tokenizing, no saving (recording includes
            tokenizing and saving).
        more: What only this arm has to say.
    """

    examples: int
    tokens: int
    seconds: float
    more: dict[str, Any] = field(default_factory=dict)


class Arm(Protocol):
    """Something to measure: set up once, then asked for one unit after the other."""

    def unit(self, rows: Path) -> Unit:
        """Work through the rows of a file once."""
        ...


class TrainingArm(Arm, Protocol):
    """An arm that trains the student."""

    student: PreTrainedModel


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def memory_mb(field: str) -> float:
    """A field of Linux's account of this process, in MB; VmHWM is its peak.

    Not getrusage: its peak includes that of the process which started this one.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


def load_model(folder: str, **overrides: Any) -> PreTrainedModel:
    """A classifier in float32 as transformers loads it, with `overrides` in its config."""
    return AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, **overrides
    )


def tokenized(tokenizer: Any, rows: Path) -> list[dict[str, Any]]:
    """The rows as features, tokenized once before training as the tutorials do."""
    lines = read_lines(rows)
    encoded = tokenizer(
        [line["text"] for line in lines], truncation=True, max_length=MAX_TOKENS
    ).data
    return [
        {**{name: values[row] for name, values in encoded.items()}, "labels": line["label"]}
        for row, line in enumerate(lines)
    ]


def token_count(features: list[dict[str, Any]]) -> int:
    """Real tokens of all features."""
    return sum(len(feature["input_ids"]) for feature in features)


def padded(tokenizer: Any, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Features as one batch padded to its longest: a plain dict, which TextBrewer insists on."""
    return dict(tokenizer.pad(features, return_tensors="pt"))


def accuracy(trained: PreTrainedModel, settings: Settings, rows: Path) -> float:
    """Share of right answers of the trained weights in a fresh transformers model, float32.

    Fresh, because training tools leave wrappers around `forward` (the Trainer its autocast).
    """
    model = load_model(settings.student).eval()
    model.load_state_dict(trained.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(settings.student)
    features = tokenized(tokenizer, rows)
    right = 0
    with torch.no_grad():
        for start in range(0, len(features), BATCH_ROWS):
            batch = padded(tokenizer, features[start : start + BATCH_ROWS])
            labels = batch.pop("labels")
            right += int((model(**batch).logits.argmax(1) == labels).sum())
    return right / len(features)
