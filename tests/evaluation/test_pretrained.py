"""Held-out figures against their definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.conftest import make_teacher

from limbeck.config.recipe import TeacherConfig
from limbeck.config.terms import HardTerm, HiddenTerm
from limbeck.data.encode import Encoded
from limbeck.data.masking import Masking
from limbeck.evaluation.pretrained import masked_words, matched_layers, state_distances
from limbeck.teacher.load import look_at
from limbeck.teacher.masked_lm import load_masked_lm
from limbeck.training.layer_maps import Depths


def _encoded(vocabulary: int) -> Encoded:
    generator = np.random.default_rng(0)
    lengths = generator.integers(5, 20, 40)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = generator.integers(5, vocabulary, offsets[-1]).astype(np.int32)
    return Encoded(ids, None, offsets, 0, 32)


@pytest.fixture
def model(random_teacher: Path) -> tuple[Any, Any]:
    """A model of masked words and its checkpoint."""
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    return load_masked_lm(checkpoint, new_head=True), checkpoint


def test_masked_words_are_scored_row_by_row(model: tuple[Any, Any]) -> None:
    """One row at a time, by torch alone: batches and padding must not show."""
    masked_lm, checkpoint = model
    size = checkpoint.config.vocab_size
    encoded, rows = _encoded(size), np.arange(3, 37)
    masking = Masking(0.3, 4, np.arange(size) > 4, seed=0)
    figures = masked_words(masked_lm, checkpoint, encoded, rows, masking, precision="float32")
    losses, right = [], []
    for row in rows:
        batch = masking.masked(checkpoint.batch(encoded, np.array([row])), 0)
        with torch.no_grad():
            logits = masked_lm(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            ).logits[0]
        scores = logits.log_softmax(-1)[batch.places]
        losses += (-scores[torch.arange(len(batch.labels)), batch.labels]).tolist()
        right += (scores.argmax(1) == batch.labels).tolist()
    assert figures.words == len(losses)
    assert figures.loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert figures.accuracy == pytest.approx(np.mean(right))
    assert figures.perplexity == pytest.approx(np.exp(np.mean(losses)), rel=1e-3)


def test_a_model_is_at_no_distance_from_itself(model: tuple[Any, Any]) -> None:
    """And not at none from its other layers."""
    masked_lm, checkpoint = model
    encoded = _encoded(checkpoint.config.vocab_size)
    found = state_distances(
        masked_lm, checkpoint, masked_lm, checkpoint, encoded, np.arange(40), {4: 4, 1: 4},
        precision="float32",
    )  # fmt: skip
    assert found["4 to 4"] == pytest.approx(0, abs=1e-6)
    assert found["1 to 4"] > 1e-4


def test_a_narrower_model_is_read_by_the_best_linear_map(
    model: tuple[Any, Any], tmp_path: Path
) -> None:
    """The distance of unprojected states of other widths would not even be defined."""
    masked_lm, checkpoint = model
    folder = make_teacher(tmp_path / "narrow", hidden=16)
    own = look_at(TeacherConfig(path=str(folder)))
    narrow = load_masked_lm(own, new_head=True)
    encoded = _encoded(checkpoint.config.vocab_size)
    with torch.no_grad():  # the wide table is a linear map of the narrow one
        words = torch.randn(checkpoint.config.vocab_size, 16)
        narrow.bert.embeddings.word_embeddings.weight.copy_(words)
        wide = words @ torch.randn(16, 32)
        masked_lm.bert.embeddings.word_embeddings.weight.copy_(wide)
    rows = np.arange(40)
    arguments = (narrow, own, masked_lm, checkpoint, encoded, rows, {0: 0})
    near = state_distances(*arguments, precision="float32")["0 to 0"]
    with torch.no_grad():
        narrow.bert.embeddings.word_embeddings.weight.zero_()
    blind = state_distances(*arguments, precision="float32")["0 to 0"]
    assert near < 0.1 * blind


def test_the_layers_of_the_terms_are_compared_or_else_the_last_ones() -> None:
    """Relations bring no states together; yet the last ones should have come near."""
    depths = Depths(2, 4)
    assert matched_layers([HardTerm(), HiddenTerm(layer_map={1: 2, 2: 4})], depths) == {1: 2, 2: 4}
    assert matched_layers([HardTerm()], depths) == {2: 4}
