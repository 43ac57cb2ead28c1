"""MobileBERT students: thin layers in the teacher's stream."""

from __future__ import annotations

from typing import Any

import pytest
import torch


def test_the_default_has_the_papers_ratios(bench: Any) -> None:
    """24 layers of 512 with bottlenecks of 128, 4 heads, 4 networks of 512: here to 4 of 32."""
    config = bench.plan(architecture="mobilebert").config
    assert (config.num_hidden_layers, config.hidden_size) == (4, 32)
    assert (config.intra_bottleneck_size, config.num_attention_heads) == (8, 4)
    assert (config.num_feedforward_networks, config.intermediate_size) == (4, 32)
    assert (config.embedding_size, config.trigram_input) == (16, True)
    assert (config.normalization_type, config.hidden_act) == ("no_norm", "relu")


def test_the_papers_own_shape_can_be_named(bench: Any) -> None:
    """A shape says its architecture, so that naming it is enough."""
    bench.checkpoint.config.num_hidden_layers = 24
    config = bench.plan(shape="mobilebert").config
    assert config.model_type == "mobilebert"
    assert (config.hidden_size, config.intra_bottleneck_size, config.embedding_size) == (
        512, 128, 128,
    )  # fmt: skip
    assert (config.num_hidden_layers, config.num_attention_heads) == (24, 4)
    assert config.intermediate_size == 512


@torch.no_grad()
@pytest.mark.parametrize(("normalization", "nearness"), [("layer_norm", 0.99), ("no_norm", 0.97)])
def test_the_stream_starts_as_the_teachers(bench: Any, normalization: str, nearness: float) -> None:
    """Feature maps are compared without a projection: the same directions must mean the same."""
    plan, built = bench.build(architecture="mobilebert", embedding=31, normalization=normalization)
    assert type(built.model).__name__ == "MobileBertForSequenceClassification"
    real = bench.batch().attention_mask.bool()
    ours = bench.hidden(built.model, bench.batch(plan.checkpoint), plan.checkpoint, 0)
    theirs = bench.hidden(bench.model, bench.batch(), bench.checkpoint, 0)
    cosine = torch.cosine_similarity(ours[real], theirs[real], dim=-1)
    assert cosine.mean() > nearness
    assert (ours[real].norm() / theirs[real].norm()).item() == pytest.approx(1, abs=0.1)


def test_layers_are_said_to_be_new(bench: Any) -> None:
    """A user who expects a cut student must read that this one has to learn its layers."""
    _, built = bench.build(architecture="mobilebert")
    assert built.notes[0] == "embeddings and head are the teacher's, all layers are new"
    _, other = bench.build(architecture="mobilebert", hidden=48)
    assert other.notes[0] == "word embeddings are the teacher's, all layers are new"


@torch.no_grad()
def test_a_masked_lm_student_answers_for_every_token(masked_lm: Any) -> None:
    """Its decoder is half tied and half its own; a gap would be random."""
    _, built = masked_lm.build(architecture="mobilebert", head="masked_lm")
    model = built.model
    assert type(model).__name__ == "MobileBertForMaskedLM"
    words = model.mobilebert.embeddings.word_embeddings.weight
    assert model.cls.predictions.decoder.weight is words
    torch.testing.assert_close(
        model.cls.predictions.decoder.bias, masked_lm.model.cls.predictions.bias
    )
    batch = masked_lm.batch()
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert logits.shape[-1] == masked_lm.checkpoint.config.vocab_size
