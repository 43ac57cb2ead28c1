"""The FLOPs that the speed benchmark counts are those that torch counts while it computes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROWS, TOKENS = 3, 7
CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
    num_labels=5,
)


@pytest.fixture
def model_flops(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("speed_arms.arithmetic").model_flops


@pytest.fixture
def model() -> BertForSequenceClassification:
    config = BertConfig.from_dict(CONFIG.to_dict())
    config._attn_implementation = "eager"
    return BertForSequenceClassification(config)


def test_training_takes_three_forward_passes(
    model: BertForSequenceClassification, model_flops: Callable[..., int]
) -> None:
    """A count that is too high would reach the bar of utilization without any speed."""
    with FlopCounterMode(display=False) as counter:
        model(torch.ones(ROWS, TOKENS, dtype=torch.long)).logits.sum().backward()
    counted = model_flops(CONFIG, [TOKENS] * ROWS, last_layer_first_token=False)
    assert 3 * counted == counter.get_total_flops()


def test_first_token_of_the_last_layer_is_what_a_classifier_needs(
    model: BertForSequenceClassification, model_flops: Callable[..., int]
) -> None:
    """Work that need not be done must not count as done."""
    first, last = model.bert.encoder.layer
    with FlopCounterMode(display=False) as counter:
        states = first(torch.randn(ROWS, TOKENS, CONFIG.hidden_size))
        states = states[0] if isinstance(states, tuple) else states
        attention = last.attention.self
        query = attention.query(states[:, :1])
        keys, values = attention.key(states), attention.value(states)
        mixed = (query @ keys.transpose(1, 2)) @ values  # heads do not change the count
        attended = last.attention.output(mixed, states[:, :1])
        answer = last.output(last.intermediate(attended), attended)
        model.classifier(model.bert.pooler(answer))
    counted = model_flops(CONFIG, [TOKENS] * ROWS, last_layer_first_token=True)
    assert counted == counter.get_total_flops()
