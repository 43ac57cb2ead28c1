"""Altered copies in a run: by a masked language model, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, GPT2Config

from limbeck.errors import RecipeError, TeacherError
from limbeck.knowledge import candidates
from limbeck.run.plan import make_plan
from limbeck.teach import teach


@pytest.fixture
def masked_lm(write_tokenizer: Callable[..., Any], tmp_path: Path) -> Path:
    """A tiny model of masked words with random weights."""
    tokenizer = write_tokenizer(tmp_path / "masked_lm")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(tmp_path / "masked_lm")
    return tmp_path / "masked_lm"


def _wanted(recipe: Callable[..., Any], model: Path, **more: Any) -> Any:
    settings = {"data__augment__by": "masked_lm", "data__augment__masked_lm": str(model)}
    return recipe(**{**settings, "data__augment__copies": 2, "method": "tinybert", **more})


def test_a_tinybert_learns_from_copies_of_its_texts(
    recipe: Callable[..., Any], masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command must see the same texts again, and ask nobody for them."""
    plan = make_plan(_wanted(recipe, masked_lm), cache=tmp_path / "tokens")
    train, counts = plan.material.train, plan.material.counts
    assert 700 < counts["altered_rows"] <= 800
    assert len(train.texts) == counts["train_rows_labelled"] + counts["altered_rows"]
    texts = dict(zip(train.texts.ids, train.texts.texts, strict=True))
    changed = total = 0
    for name, text in texts.items():
        if "~" in name:
            pairs = zip(text.split(), texts[name.partition("~")[0]].split(), strict=True)
            same = [one == other for one, other in pairs]
            changed, total = changed + same.count(False), total + len(same)
    assert 0.36 < changed / total < 0.44
    monkeypatch.setattr(candidates, "ask", None)
    again = make_plan(_wanted(recipe, masked_lm), cache=tmp_path / "tokens")
    assert again.material.fingerprints() == plan.material.fingerprints()
    assert list((tmp_path / "knowledge" / "candidates").glob("*.arrow"))


def test_refuses_a_classifier(recipe: Callable[..., Any], teacher: Path, tmp_path: Path) -> None:
    """Its head of masked words would be random, and so would the copies."""
    with pytest.raises(TeacherError, match=r"(?s)would be random.*limbeck pretrain"):
        make_plan(_wanted(recipe, teacher), cache=tmp_path / "tokens")


def test_refuses_a_decoder_and_a_folder_that_is_not_there(
    recipe: Callable[..., Any], write_tokenizer: Callable[..., Any], tmp_path: Path
) -> None:
    """Before any text is read."""
    write_tokenizer(tmp_path / "decoder")
    GPT2Config().save_pretrained(tmp_path / "decoder")
    with pytest.raises(TeacherError, match=r"(?s)no masked-LM head.*data\.augment\.masked_lm"):
        make_plan(_wanted(recipe, tmp_path / "decoder"), cache=tmp_path / "tokens")
    with pytest.raises(TeacherError, match=r"(?s)no such folder.*masked language model"):
        make_plan(_wanted(recipe, tmp_path / "nowhere"), cache=tmp_path / "tokens")


def test_teach_refuses_copies(files: dict[str, Path], tmp_path: Path) -> None:
    """They have no labels: hours of asking would change nothing."""
    from limbeck.config.recipe import DataConfig, TeacherConfig, TeachRecipe
    from limbeck.config.stages import AugmentConfig

    data = DataConfig(train=str(files["train"]), augment=AugmentConfig(copies=2))
    with pytest.raises(RecipeError, match="altered copies have no labels"):
        teach(TeachRecipe(base=TeacherConfig(path="x"), data=data, output=str(tmp_path / "t")))
