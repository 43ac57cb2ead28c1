"""A decoder as a classifier: its head must find each text's last token."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from limbeck.config.recipe import TeacherConfig
from limbeck.data.encode import Encoded
from limbeck.errors import TeacherError
from limbeck.teacher.ask import predict_logits
from limbeck.teacher.load import load_classifier, look_at


@pytest.fixture
def decoder(tiny: dict[str, Any], write_tokenizer: Callable[..., Any], tmp_path: Path) -> Path:
    """A GPT-2 classifier as people save it: without a padding token in its config."""
    tokenizer = write_tokenizer(tmp_path)
    names = ["input_ids", "attention_mask"]  # GPT-2 knows no segments
    _change(tmp_path / "tokenizer_config.json", model_input_names=names)
    settings = {**tiny["gpt2"], "vocab_size": len(tokenizer), "pad_token_id": None}
    settings |= {"bos_token_id": 2, "eos_token_id": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**settings))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(tmp_path)
    return tmp_path


def _change(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def test_answers_do_not_depend_on_the_batch(decoder: Path) -> None:
    """Read off the padding, a short text's answer would be that of its longer neighbours."""
    checkpoint = look_at(TeacherConfig(path=str(decoder)))
    model = load_classifier(checkpoint, attention="sdpa")
    lengths = np.array([3, 12, 7])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.random.default_rng(0).integers(5, 40, offsets[-1]).astype(np.int32)
    whole = predict_logits(model, checkpoint, Encoded(ids, None, offsets, 0, 32))
    for row in range(3):
        own = ids[offsets[row] : offsets[row + 1]]
        alone = Encoded(own, None, np.array([0, len(own)]), 0, 32)
        np.testing.assert_allclose(
            predict_logits(model, checkpoint, alone)[0], whole[row], atol=1e-5
        )
        with torch.no_grad():
            told = model(input_ids=torch.from_numpy(own.astype(np.int64))[None]).logits
        np.testing.assert_allclose(told[0].numpy(), whole[row], atol=1e-5)


def test_refuses_padding_on_the_left(decoder: Path) -> None:
    """Positions would be counted from the padding."""
    _change(decoder / "tokenizer_config.json", padding_side="left")
    with pytest.raises(TeacherError, match=r"padding_side.*other texts of its batch"):
        look_at(TeacherConfig(path=str(decoder)))


def test_refuses_another_padding_token_in_the_config(decoder: Path) -> None:
    """The head would take the padding for the text's last token."""
    _change(decoder / "config.json", pad_token_id=7)
    with pytest.raises(TeacherError, match="it is 7, but the tokenizer pads with 0"):
        look_at(TeacherConfig(path=str(decoder)))
