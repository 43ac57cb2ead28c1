"""Precision and attention: the recipe's word, else what was timed, once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transformers import BertConfig, MPNetConfig

from limbeck.config.recipe import TrainingConfig
from limbeck.training import choice

LENGTHS = np.array([5, 9, 13])
TIMES = {
    "float32 eager": 0.10,
    "float32 sdpa": 0.08,
    "bfloat16 eager": 0.03,
    "bfloat16 sdpa": 0.05,
}


def _choose(monkeypatch: pytest.MonkeyPatch, times: dict[str, float], **wished: Any) -> str:
    monkeypatch.setattr(choice, "remembered", lambda _file, _key, _measure: times)
    chosen = choice.choose(TrainingConfig(**wished), BertConfig(), LENGTHS)
    return f"{chosen.precision} {chosen.attention}"


def test_the_fastest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what auto promises."""
    assert _choose(monkeypatch, TIMES) == "bfloat16 eager"


def test_the_recipe_overrides_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a wish is kept, and the rest is chosen within it."""
    assert _choose(monkeypatch, TIMES, precision="float32") == "float32 sdpa"
    assert _choose(monkeypatch, TIMES, attention="sdpa") == "bfloat16 sdpa"
    assert _choose(monkeypatch, {}, precision="float32", attention="eager") == "float32 eager"


def test_bfloat16_must_be_worth_its_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """For 5 % of time nobody wants eight bits of mantissa."""
    times = {**TIMES, "bfloat16 eager": 0.077, "bfloat16 sdpa": 0.079}
    assert _choose(monkeypatch, times) == "float32 sdpa"


def test_a_trial_times_every_combination_that_the_model_has() -> None:
    """A combination that is left out can never win; one that does not exist ends the run."""
    sizes: dict[str, Any] = {
        "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24,
        "num_hidden_layers": 3, "max_position_embeddings": 40,
    }  # fmt: skip
    bert = choice._trial(BertConfig(**sizes), 4, 8)
    assert set(bert) == set(TIMES)
    assert all(seconds > 0 for seconds in bert.values())
    assert set(choice._trial(MPNetConfig(**sizes), 4, 8)) == {"float32 eager", "bfloat16 eager"}
