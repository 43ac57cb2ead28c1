"""DistilBERT students: transformers' own class, and the teacher's answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.errors import StudentError
from limbeck.student.vocabulary import trim_vocabulary
from limbeck.teacher.ask import Answer, ask
from limbeck.teacher.family import layer_count
from limbeck.teacher.parts import Part, hidden_parts


@torch.no_grad()
def _states(bench: Any, model: Any, checkpoint: Any) -> Answer:
    layers = range(layer_count(checkpoint.config) + 1)
    return ask(model, bench.batch(checkpoint), checkpoint.family, hidden_parts(layers))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_with_all_layers_every_hidden_state_is_the_teachers(bench: Any, attention: str) -> None:
    """A weight under a wrong name, a lost token type or another GELU: all plausible, all worse."""
    bench.model.set_attn_implementation(attention)
    plan, built = bench.build(architecture="distilbert", layers=4, attention=attention)
    assert type(built.model).__name__ == "DistilBertForSequenceClassification"
    assert built.model.config._attn_implementation == attention
    theirs = _states(bench, bench.model, bench.checkpoint)
    ours = _states(bench, built.model, plan.checkpoint)
    real = bench.batch().attention_mask.bool()
    assert sorted(ours.states) == list(hidden_parts(range(5)))
    for layer, state in ours.states.items():
        torch.testing.assert_close(
            state[real], theirs.states[layer][real], atol=1e-5, rtol=1e-5, msg=f"layer {layer}"
        )


def test_the_mapping_knows_the_activation(bench: Any) -> None:
    """BERT's GELU has a tanh approximation by another name; a student with the other one drifts."""
    bench.checkpoint.config.hidden_act = "gelu_new"
    assert bench.plan(architecture="distilbert").config.activation == "gelu_new"


def test_half_the_layers_are_every_second_of_the_teacher(bench: Any) -> None:
    """The paper's one out of two; others are named."""
    plan, built = bench.build(architecture="distilbert")
    assert plan.teacher_layers == (1, 3)
    wanted = bench.model.bert.encoder.layer[2].attention.self.query.weight
    assert torch.equal(built.model.distilbert.transformer.layer[1].attention.q_lin.weight, wanted)
    assert bench.plan(architecture="distilbert", **{"from": "2,4"}).teacher_layers == (2, 4)


def test_the_head_starts_as_the_teachers_where_tanh_is_straight(bench: Any) -> None:
    """ReLU alone drops every negative unit, and with it half of what the head reads."""
    pooler, classifier = bench.model.bert.pooler.dense, bench.model.classifier
    with torch.no_grad():
        pooler.weight.mul_(0.05)
        pooler.bias.mul_(0.05)
        classifier.weight.mul_(10)
    plan, built = bench.build(architecture="distilbert", layers=4)
    theirs = _states(bench, bench.model, bench.checkpoint).logits
    ours = _states(bench, built.model, plan.checkpoint).logits
    spread = theirs.std(0).mean()
    assert (ours - theirs).abs().max() < 0.1 * spread
    pooled = pooler(_states(bench, bench.model, bench.checkpoint).states[Part("hidden", 4)][:, 0])
    relu_alone = classifier(pooled.relu())
    assert (relu_alone - theirs).abs().max() > spread


def test_a_trimmed_student_is_the_teacher_on_its_own_tokens(bench: Any, tmp_path: Path) -> None:
    """Rows of a table must move with their tokens."""
    from limbeck.data.encode import encode

    plan = bench.plan(architecture="distilbert")
    trimmed = trim_vocabulary(plan.checkpoint.tokenizer, [bench.encoded])
    assert trimmed.tokenizer.model_input_names == ["input_ids", "attention_mask"]
    plan, built = bench.build(architecture="distilbert", layers=4, kept=trimmed.kept)
    small = encode(
        bench.texts, trimmed.tokenizer.backend_tokenizer, max_tokens=32, folder=tmp_path / "small"
    )
    theirs = _states(bench, bench.model, bench.checkpoint).states[Part("hidden", 4)]
    bench.encoded = small
    ours = _states(bench, built.model, plan.checkpoint).states[Part("hidden", 4)]
    assert plan.config.vocab_size < bench.checkpoint.config.vocab_size
    real = bench.batch().attention_mask.bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-5)


def test_a_roberta_teacher_keeps_its_positions(tmp_path: Path) -> None:
    """Its positions begin behind the padding id: off by one, every position is a wrong one."""
    from tests.student.conftest import roberta_bench

    bench = roberta_bench(tmp_path / "roberta", tmp_path / "tokens")
    plan, built = bench.build(architecture="distilbert", layers=4)
    assert plan.config.max_position_embeddings == 64
    theirs = _states(bench, bench.model, bench.checkpoint).states
    ours = _states(bench, built.model, plan.checkpoint).states
    real = bench.batch().attention_mask.bool()
    for layer in range(5):
        # DistilBERT's LayerNorms add 1e-12 to the variance, RoBERTa's 1e-5.
        part = Part("hidden", layer)
        torch.testing.assert_close(ours[part][real], theirs[part][real], atol=2e-3, rtol=1e-3)
    assert any("1e-05" in note for note in built.notes)


@torch.no_grad()
def test_a_masked_lm_student_with_all_layers_gives_the_teachers_logits(masked_lm: Any) -> None:
    """What is pre-trained must start with the whole head, or its vocabulary is learned anew."""
    plan, built = masked_lm.build(architecture="distilbert", layers=4, head="masked_lm")
    assert type(built.model).__name__ == "DistilBertForMaskedLM"
    batch = masked_lm.batch()
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    real = batch.attention_mask.bool()
    torch.testing.assert_close(
        built.model(**given).logits[real],
        masked_lm.model(**given).logits[real],
        atol=1e-4,
        rtol=1e-4,
    )
    assert built.model.vocab_projector.weight is built.model.get_input_embeddings().weight
    assert plan.head == "masked_lm"


@torch.no_grad()
def test_narrower_students_are_cut_as_those_of_the_same_architecture(bench: Any) -> None:
    """The widths' cut is the same: only the names and the token types differ."""
    wanted = {"layers": 4, "hidden": 16}
    _, same = bench.build(**wanted)
    plan, built = bench.build(architecture="distilbert", **wanted)
    real = bench.batch().attention_mask.bool()
    batch = bench.batch()
    ours = bench.hidden(built.model, bench.batch(plan.checkpoint), plan.checkpoint, 4)
    theirs = bench.hidden(same.model, batch, bench.checkpoint, 4)
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-5)


def test_refuses_to_cut_the_widths_of_a_masked_lm(masked_lm: Any) -> None:
    """A rotated head behind an activation is another head."""
    with pytest.raises(StudentError, match="masked-LM head cannot be cut"):
        masked_lm.plan(architecture="distilbert", hidden=16, head="masked_lm")


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "head"), [("TokenClassification", "token_classifier"), ("QuestionAnswering", "span")]
)
def test_heads_of_tokens_start_as_the_teachers(
    random_teacher: Path, tmp_path: Path, kind: str, head: str
) -> None:
    """They have no pooler, whose absence must not stop the student, nor leave its head new."""
    import shutil

    import transformers
    from tests.student.conftest import Bench

    from limbeck.teacher.head import logits_of

    folder = tmp_path / "teacher"
    shutil.copytree(random_teacher, folder)
    config = transformers.BertConfig.from_pretrained(random_teacher)
    model = getattr(transformers, f"BertFor{kind}")(config)
    model.save_pretrained(folder)
    bench = Bench(folder, model, tmp_path / "tokens")
    _, built = bench.build(architecture="distilbert", layers=4, head=head)
    batch = bench.batch()
    given = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    real = batch.attention_mask.bool()
    own, theirs = (logits_of(one(**given))[real] for one in (built.model, bench.model))
    torch.testing.assert_close(own, theirs, atol=1e-4, rtol=1e-4)
