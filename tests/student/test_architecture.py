"""What all students of another architecture share: plans, refusals, folders that stand alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.load import load_recipe
from limbeck.config.recipe import StudentConfig, TeacherConfig
from limbeck.errors import RecipeError, StudentError
from limbeck.student.plan import count_parameters, plan_student
from limbeck.student.vocabulary import trim_vocabulary
from limbeck.teacher.ask import ask
from limbeck.teacher.load import class_names, load_classifier, look_at
from limbeck.teacher.parts import Part, hidden_parts

OTHERS = ["distilbert", "albert", "mobilebert"]
CLASSES = {"distilbert": "DistilBert", "albert": "Albert", "mobilebert": "MobileBert"}


@pytest.mark.parametrize("trim", [False, True])
@pytest.mark.parametrize("architecture", OTHERS)
@torch.no_grad()
def test_the_folder_loads_by_every_road_without_limbeck(
    bench: Any, tmp_path: Path, architecture: str, trim: bool
) -> None:
    """Another tokenizer under the config's own name would cut texts otherwise, without an error."""
    import transformers
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    tokenizer, kept = bench.plan(architecture=architecture).checkpoint.tokenizer, None
    if trim:
        trimmed = trim_vocabulary(tokenizer, [bench.encoded])
        tokenizer, kept = trimmed.tokenizer, trimmed.kept
    plan, built = bench.build(architecture=architecture, kept=kept)
    built.model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    read = AutoTokenizer.from_pretrained(tmp_path)
    texts = ["the film was lovely", "an unheard xyz story"]
    given = read(texts, padding=True, return_tensors="pt")
    assert read.model_input_names == tokenizer.model_input_names
    assert ("token_type_ids" in given) == (architecture != "distilbert")
    assert given["input_ids"].tolist() == tokenizer(texts, padding=True)["input_ids"]
    assert "lovely" in read.convert_ids_to_tokens(given["input_ids"][0])
    ours = built.model(**given).logits
    named = getattr(transformers, f"{CLASSES[architecture]}ForSequenceClassification")
    for road in (named, AutoModelForSequenceClassification):
        model = road.from_pretrained(tmp_path).eval()
        assert type(model) is named
        torch.testing.assert_close(model(**given).logits, ours)
    answers = pipeline("text-classification", model=str(tmp_path), device="cpu", top_k=None)(texts)
    scores = {answer["label"]: answer["score"] for answer in answers[1]}
    wanted = ours[1].softmax(-1)
    assert [scores[name] for name in class_names(plan.config)] == pytest.approx(wanted.tolist())


@pytest.mark.parametrize("architecture", OTHERS)
@torch.no_grad()
def test_a_pretrained_student_becomes_a_classifier(
    masked_lm: Any, tmp_path: Path, architecture: str
) -> None:
    """`student.checkpoint` takes the encoder of a masked LM and gives it a head of new weights."""
    plan, built = masked_lm.build(architecture=architecture, head="masked_lm")
    built.model.save_pretrained(tmp_path)
    plan.checkpoint.tokenizer.save_pretrained(tmp_path)
    wanted = StudentConfig(checkpoint=str(tmp_path))
    follower = plan_student(wanted, masked_lm.checkpoint, 0)
    model = load_classifier(follower.checkpoint, new_head=class_names(follower.config))
    assert type(model).__name__ == f"{CLASSES[architecture]}ForSequenceClassification"
    assert class_names(model.config) == masked_lm.checkpoint.labels
    batch = masked_lm.batch(follower.checkpoint)
    family = follower.checkpoint.family
    states = [
        ask(m, batch, family, hidden_parts((1,))).states[Part("hidden", 1)]
        for m in (built.model, model)
    ]
    torch.testing.assert_close(*states)


@pytest.mark.parametrize("architecture", ["same", "distilbert"])
@torch.no_grad()
def test_a_masked_lm_loses_the_tokens_that_no_text_uses_at_both_ends(
    masked_lm: Any, architecture: str
) -> None:
    """The decoder has a row and a bias a token; what stays long is another token's."""
    plan = masked_lm.plan(architecture=architecture, head="masked_lm")
    kept = trim_vocabulary(plan.checkpoint.tokenizer, [masked_lm.encoded]).kept
    plan, built = masked_lm.build(architecture=architecture, layers=4, kept=kept, head="masked_lm")
    batch = masked_lm.batch()
    mask, new = batch.attention_mask, np.full(masked_lm.checkpoint.config.vocab_size, -1)
    new[kept] = np.arange(len(kept))
    ids = torch.from_numpy(new[batch.input_ids.numpy()])
    theirs = masked_lm.model(input_ids=batch.input_ids, attention_mask=mask).logits[..., kept]
    ours = built.model(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", OTHERS)
def test_dropout_is_what_the_recipe_says(bench: Any, architecture: str) -> None:
    """Three configs name it eight ways; the one that is forgotten keeps 0.1 or 0.2."""
    for dropout in (0.0, 0.25):
        model = bench.build(architecture=architecture, dropout=dropout)[1].model
        rates = {part.p for part in model.modules() if isinstance(part, torch.nn.Dropout)}
        assert rates == {dropout}


@pytest.mark.parametrize("architecture", OTHERS)
def test_counts_are_those_of_the_model(bench: Any, architecture: str) -> None:
    """The plan's numbers must be those that the report will show."""
    plan, built = bench.build(architecture=architecture)
    counted = count_parameters(plan.config, plan.checkpoint)
    assert counted.parameters == sum(p.numel() for p in built.model.parameters())
    assert 0 < counted.encoder_parameters < counted.parameters


@pytest.mark.parametrize("init", ["normal", "xavier"])
@pytest.mark.parametrize("architecture", OTHERS)
def test_new_weights_may_follow_any_teacher(bench: Any, architecture: str, init: str) -> None:
    """What the teacher's weights are worth is seen against these."""
    config = bench.checkpoint.config
    other = dataclasses.replace(
        bench.checkpoint, family=dataclasses.replace(bench.checkpoint.family, post_norm_bert=False)
    )
    plan = plan_student(
        StudentConfig(architecture=architecture, init=init),
        other,
        config.vocab_size,  # type: ignore[arg-type]
    )
    assert plan.config.model_type == architecture
    with pytest.raises(StudentError, match=r"(?s)cannot be taken from a 'bert'.*student.init=norm"):
        plan_student(StudentConfig(architecture=architecture), other, config.vocab_size)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", OTHERS)
def test_an_own_architecture_is_the_same_one(tmp_path: Path, architecture: str) -> None:
    """An ALBERT of an ALBERT is cut like any student of its teacher's kind."""
    from tests.conftest import make_tokenizer
    from transformers import AutoConfig

    make_tokenizer(tmp_path)
    AutoConfig.for_model(architecture, vocab_size=80).save_pretrained(tmp_path)
    checkpoint = look_at(TeacherConfig(path=str(tmp_path)))
    plan = plan_student(StudentConfig(architecture=architecture), checkpoint, 80)  # type: ignore[arg-type]
    assert plan.architecture == "same"
    assert plan.checkpoint is checkpoint


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"architecture": "distilbert", "layers": 5}, "5 layers are wanted, but the teacher has 4"),
        ({"architecture": "albert", "layers": 5}, "5 layers are wanted, but the teacher has 4"),
        ({"architecture": "mobilebert", "layers": 5}, "5 layers are wanted, but the teacher has 4"),
        ({"architecture": "albert", "from": "5"}, "layer 5 is to be taken, but the teacher has 4"),
        ({"architecture": "albert", "embedding": 32}, "width 32 under a stream of width 32"),
        ({"architecture": "albert", "embedding": 1}, "say nothing about a token"),
        ({"architecture": "mobilebert", "embedding": 40}, "width 40 under a stream of width 32"),
        ({"architecture": "mobilebert", "bottleneck": 32}, "32 is no bottleneck in a stream of"),
        ({"architecture": "mobilebert", "heads": 3}, "3 heads do not divide a bottleneck of 8"),
        ({"architecture": "distilbert", "hidden": 32, "heads": 5}, "5 heads do not divide a width"),
        ({"architecture": "albert", "hidden": 64}, "64 is wanted, but the teacher has 32: nothing"),
        ({"shape": "albert-base"}, "12 layers are wanted, but the teacher has 4"),
    ],
)
def test_refuses_what_cannot_be_made(bench: Any, wanted: dict, message: str) -> None:
    """Found here it costs nothing; found later it costs the recording."""
    with pytest.raises(StudentError, match=message):
        bench.plan(**wanted)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"embedding": 16}, "embedding is set, which says something about albert and mobilebert"),
        ({"architecture": "albert", "bottleneck": 8}, "bottleneck is set, .* architecture is alb"),
        ({"architecture": "distilbert", "normalization": "no_norm"}, "normalization is set"),
        ({"architecture": "distilbert", "shape": "albert-base"}, "is one of albert, but architec"),
        ({"architecture": "albert", "checkpoint": "x"}, "a student from a checkpoint keeps its"),
        ({"architecture": "mobilebert", "from": "1,2"}, "are of another kind and are made anew"),
        ({"architecture": "distilbert", "from": "1,2", "layers": 3}, "names 2 layers"),
        ({"architecture": "tinybert"}, "'albert', 'mobilebert' or 'static'"),
    ],
)
def test_refuses_keys_that_say_nothing(wanted: dict, message: str) -> None:
    """A key that is ignored trains another student than the one that was asked for."""
    with pytest.raises(RecipeError, match=message):
        load_recipe(None, values={"teacher.path": "x", "student": wanted})


def test_refuses_left_padding_where_positions_follow_it(tmp_path: Path) -> None:
    """RoBERTa counts positions from the first token, these students from the first place."""
    from tests.student.conftest import roberta_bench

    bench = roberta_bench(tmp_path / "roberta", tmp_path / "tokens")
    bench.checkpoint.tokenizer.padding_side = "left"
    with pytest.raises(StudentError, match="pads on the left"):
        bench.plan(architecture="distilbert")
