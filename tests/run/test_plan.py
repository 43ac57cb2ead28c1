"""The plan: what is checked and counted before weights are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from limbeck.errors import RecipeError
from limbeck.knowledge.kind import Kind
from limbeck.run.describe import describe
from limbeck.run.plan import make_plan
from limbeck.teacher.parts import hidden_parts


@pytest.mark.parametrize("family", ["gpt2", "modernbert"])
def test_a_trimmed_student_is_padded_with_its_own_padding_token(
    family: str,
    tiny: dict[str, Any],
    write_tokenizer: Callable[..., Any],
    recipe: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Their padding token stands behind the ordinary ones, so that trimming moves it."""
    folder = tmp_path / "own_teacher"
    tokenizer = write_tokenizer(folder, extra=["unused", "never"])
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    names = dict(enumerate(("negative", "positive")))
    config = AutoConfig.for_model(
        **{
            **tiny[family],
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "id2label": names,
            "label2id": {name: index for index, name in names.items()},
        }
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    wanted = recipe(**{"teacher.path": str(folder), "student.vocabulary": "trim"})
    plan = make_plan(wanted, cache=tmp_path / "tokens")
    assert plan.trimmed is not None
    size = len(plan.trimmed.kept)
    assert size < len(tokenizer)
    pad = plan.student.checkpoint.pad_id
    assert pad == plan.student.config.pad_token_id == plan.trimmed.tokenizer.pad_token_id < size
    assert plan.teacher.pad_id == tokenizer.pad_token_id
    with torch.device("meta"):
        AutoModelForSequenceClassification.from_config(plan.student.config)


def test_the_plan_says_what_is_kept_and_what_it_takes(
    recipe: Callable[..., Any], tmp_path: Path
) -> None:
    """Hidden states of a million texts fill a disk."""
    megabytes = {}
    for states in ("float16", "int8"):
        plan = make_plan(
            recipe(method="hidden", knowledge__states=states), cache=tmp_path / "tokens"
        )
        assert plan.kind == Kind(hidden_parts((2, 4)), "auto", states)
        megabytes[states] = plan.knowledge_mb
        lines = "\n".join(describe(plan))
        assert f"logits; hidden states of layers 2, 4 in {states}; asked once" in lines
        assert f"{plan.knowledge_mb:.1f} MB of knowledge" in lines
    assert 0.5 < megabytes["int8"] / megabytes["float16"] < 0.7
    live = make_plan(recipe(method="hidden", knowledge__source="live"), cache=tmp_path / "tokens")
    assert live.knowledge_mb == 0.0
    assert "in float16; asked again in every step" in "\n".join(describe(live))


def test_the_disk_line_counts_the_texts(recipe: Callable[..., Any], tmp_path: Path) -> None:
    """Unlabelled texts and altered copies lie there too; a disk that is full ends the run."""
    few, many = (
        make_plan(recipe(data__augment__copies=copies), cache=tmp_path / "tokens")
        for copies in (0, 40)
    )
    texts = many.material.train.texts.texts
    assert many.texts_mb > few.texts_mb + sum(len(text) for text in texts[400:]) / 1e6
    assert f"{many.texts_mb:.1f} MB of texts beside it" in "\n".join(describe(many))


def test_refuses_to_compare_heads_that_pruning_takes_away(
    recipe: Callable[..., Any], tmp_path: Path
) -> None:
    """The student's third head would be held against the teacher's, whichever it was before."""
    made = recipe(method="tinybert", student__pruning__heads=1)
    make_plan(made, cache=tmp_path)  # its heads are compared in a stage, before
    made = recipe(method="minilm2", student__pruning__heads=1)
    terms = [{"kind": "relations", "weight": 1.0}]
    made = made.model_copy(update={"objective": made.objective.model_validate({"terms": terms})})
    with pytest.raises(RecipeError, match=r"compares heads(.|\n)*Put the term into a stage"):
        make_plan(made, cache=tmp_path)
