"""ALBERT students: shared layers, and embeddings as a product."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.student.albert import factorized
from limbeck.student.post_norm import Weights, with_one_name
from limbeck.student.start import Seen, seen_in


def _weights(bench: Any) -> Weights:
    return with_one_name(bench.model.state_dict(), "bert", bench.checkpoint.config)


def _wide(bench: Any, width: int, seen: Seen) -> tuple[torch.Tensor, float]:
    """The embeddings that `factorized` makes, computed by hand."""
    weights, kept = factorized(_weights(bench), seen, width)
    batch = bench.batch()
    summed = (
        weights["embeddings.word_embeddings.weight"][batch.input_ids]
        + weights["embeddings.position_embeddings.weight"][: batch.input_ids.shape[1]]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    normal = torch.nn.functional.layer_norm(
        summed,
        (width,),
        weights["embeddings.LayerNorm.weight"],
        weights["embeddings.LayerNorm.bias"],
        eps=1e-12,
    )
    lifted = torch.nn.functional.linear(
        normal,
        weights["encoder.embedding_hidden_mapping_in.weight"],
        weights["encoder.embedding_hidden_mapping_in.bias"],
    )
    return lifted, kept


@torch.no_grad()
def test_a_factorization_of_full_width_is_the_teachers_embedding_output(bench: Any) -> None:
    """ALBERT normalizes before the map, BERT after it: a start that forgets it is another scale."""
    lifted, kept = _wide(
        bench, 32, seen_in([bench.batch()], None, bench.checkpoint.config.vocab_size)
    )
    theirs = bench.hidden(bench.model, bench.batch(), bench.checkpoint, 0)
    torch.testing.assert_close(lifted, theirs, atol=1e-4, rtol=1e-4)
    assert kept == pytest.approx(1.0)


@torch.no_grad()
def test_tokens_that_texts_hold_are_kept_better_than_others(bench: Any) -> None:
    """Most of a vocabulary is never read; its directions must not take the place of the texts'."""
    theirs = bench.hidden(bench.model, bench.batch(), bench.checkpoint, 0)
    real = bench.batch().attention_mask.bool()

    def error(seen: Seen) -> float:
        return float((_wide(bench, 12, seen)[0] - theirs)[real].square().mean())

    vocabulary = bench.checkpoint.config.vocab_size
    assert error(seen_in([bench.batch()], None, vocabulary)) < 0.8 * error(
        seen_in([], None, vocabulary)
    )


@torch.no_grad()
def test_the_model_computes_what_the_factorization_promises(bench: Any) -> None:
    """The tables must arrive in the model under its own names."""
    plan, built = bench.build(architecture="albert", embedding=31)
    assert type(built.model).__name__ == "AlbertForSequenceClassification"
    assert plan.config.embedding_size == 31
    real = bench.batch().attention_mask.bool()
    theirs = bench.hidden(bench.model, bench.batch(), bench.checkpoint, 0)
    ours = bench.hidden(built.model, bench.batch(plan.checkpoint), plan.checkpoint, 0)
    cosine = torch.cosine_similarity(ours[real], theirs[real], dim=-1)
    assert cosine.min() > 0.95


@torch.no_grad()
def test_a_shared_layer_of_one_teacher_layer_is_that_layer(bench: Any) -> None:
    """A weight under a wrong name would be noise of the right shape."""
    plan, built = bench.build(architecture="albert", layers=3, **{"from": "2"})
    states = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    ours = built.model.albert.encoder.albert_layer_groups[0](states, None)
    theirs = bench.model.bert.encoder.layer[1](states, None)
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert plan.config.num_hidden_layers == 3


def test_several_layers_are_averaged_and_the_first_is_the_default(bench: Any) -> None:
    """The default is what was best after training when measured, not what started closest."""
    plan = bench.plan(architecture="albert")
    assert (plan.teacher_layers, plan.config.num_hidden_layers) == ((1,), 2)
    _, built = bench.build(architecture="albert", **{"from": "1,3,4"})
    layers = [bench.model.bert.encoder.layer[number] for number in (0, 2, 3)]
    wanted = torch.stack([layer.intermediate.dense.weight for layer in layers]).mean(0)
    ours = built.model.albert.encoder.albert_layer_groups[0].albert_layers[0].ffn.weight
    torch.testing.assert_close(ours, wanted)


@torch.no_grad()
def test_the_head_is_the_teachers(bench: Any) -> None:
    """ALBERT has BERT's pooler under another name; it need not be learned again."""
    plan, built = bench.build(architecture="albert")
    state = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    model, teacher = built.model, bench.model
    ours = model.classifier(model.albert.pooler_activation(model.albert.pooler(state)))
    theirs = teacher.classifier(teacher.bert.pooler.activation(teacher.bert.pooler.dense(state)))
    torch.testing.assert_close(ours, theirs)
    assert plan.checkpoint.wants_types


@torch.no_grad()
def test_a_masked_lm_student_has_the_teachers_words(masked_lm: Any) -> None:
    """The decoder is the embedding table; untied, it would grow the model by a vocabulary."""
    _, built = masked_lm.build(architecture="albert", embedding=16, head="masked_lm")
    model = built.model
    assert type(model).__name__ == "AlbertForMaskedLM"
    assert model.predictions.decoder.weight is model.albert.embeddings.word_embeddings.weight
    torch.testing.assert_close(model.predictions.bias, masked_lm.model.cls.predictions.bias)
    batch = masked_lm.batch()
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert logits.shape[-1] == masked_lm.checkpoint.config.vocab_size
    assert any("transform is new" in note for note in built.notes)


def test_layers_add_no_weights(bench: Any) -> None:
    """Shared is what makes ALBERT small."""
    two, four = (bench.build(architecture="albert", layers=n)[1].model for n in (2, 4))
    assert sum(p.numel() for p in two.parameters()) == sum(p.numel() for p in four.parameters())
