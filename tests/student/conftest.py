"""Teachers and texts for students of other architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.recipe import DataConfig, StudentConfig, TeacherConfig
from limbeck.data.batches import Batch
from limbeck.data.encode import Encoded, encode
from limbeck.data.texts import gather
from limbeck.student.build import Built, build_student
from limbeck.student.plan import StudentPlan, plan_student
from limbeck.teacher.ask import ask
from limbeck.teacher.load import Checkpoint, look_at
from limbeck.teacher.parts import Part

TEXTS = [
    "the film was lovely",
    "a dull story of rain and sea on an island with his dog",
    "superb",
    "his dog was superb and warm by the sea",
] * 6


class Bench:
    """A teacher on the bench: its checkpoint, its model and texts under its tokenizer."""

    @staticmethod
    def hidden(model: Any, batch: Batch, checkpoint: Checkpoint, layer: int) -> torch.Tensor:
        """A layer's hidden states; 0 is the embedding output."""
        part = Part("hidden", layer)
        return ask(model, batch, checkpoint.family, (part,)).states[part]

    def __init__(self, folder: Path, model: Any, cache: Path) -> None:
        self.checkpoint: Checkpoint = look_at(TeacherConfig(path=str(folder)))
        self.model = model.eval()
        self.texts = gather("train", [{"text": t} for t in TEXTS], "-", DataConfig(), labels=None)
        self.encoded: Encoded = encode(
            self.texts, self.checkpoint.backend, max_tokens=32, folder=cache
        )

    def batch(self, checkpoint: Checkpoint | None = None, rows: int = 8) -> Batch:
        """The first texts as a checkpoint, the teacher's by default, is fed by them."""
        return (checkpoint or self.checkpoint).batch(self.encoded, np.arange(rows))

    def plan(self, *, kept: np.ndarray | None = None, head: Any = "classifier", **wanted: Any):
        """The plan of a student."""
        size = self.checkpoint.config.vocab_size if kept is None else len(kept)
        return plan_student(StudentConfig.model_validate(wanted), self.checkpoint, size, head=head)

    def build(
        self, *, kept: np.ndarray | None = None, attention: str = "eager", **wanted: Any
    ) -> tuple[StudentPlan, Built]:
        """A student and its plan."""
        plan = self.plan(kept=kept, **wanted)
        sample = [self.batch(rows=len(TEXTS))] if plan.wants_sample else []
        built = build_student(
            plan, self.model, kept=kept, sample=sample, seed=0, attention=attention
        )
        built.model.eval()
        return plan, built


@pytest.fixture
def bench(random_teacher: Path, tmp_path: Path) -> Bench:
    """A tiny BERT classifier."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(random_teacher)
    return Bench(random_teacher, _lively(model), tmp_path / "tokens")


@pytest.fixture
def masked_lm(random_teacher: Path, tmp_path: Path) -> Bench:
    """A tiny BERT with a masked-LM head."""
    from transformers import AutoModelForMaskedLM

    model = AutoModelForMaskedLM.from_config(
        look_at(TeacherConfig(path=str(random_teacher))).config
    )
    return Bench(random_teacher, _lively(model), tmp_path / "tokens")


def _lively(model: Any) -> Any:
    """The model with other biases and LayerNorms than new ones have, so that none can be lost."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


def roberta_bench(folder: Path, cache: Path) -> Bench:
    """A tiny RoBERTa classifier: positions behind the padding id, another head, no token types."""
    from tests.conftest import make_tokenizer
    from transformers import RobertaConfig, RobertaForSequenceClassification

    tokenizer = make_tokenizer(folder)
    tokenizer.init_kwargs["model_input_names"] = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=66, pad_token_id=0, type_vocab_size=1,
        layer_norm_eps=1e-5,
    )  # fmt: skip
    torch.manual_seed(0)
    model = _lively(RobertaForSequenceClassification(config))
    model.save_pretrained(folder)
    return Bench(folder, model, cache)
