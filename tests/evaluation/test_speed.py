"""Speed: what is timed is what serves, on the same texts for all."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest

from limbeck.evaluation.speed import Served, measure_speed
from limbeck.runtime.tokens import Tokens, flat


class Sleeping:
    """Takes a fixed time a token, in batches as alone."""

    workers = 1
    batch_tokens = 64

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lengths: list[int] = []

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        return self.logits_of(self.tokens(texts), np.arange(len(texts)))

    def tokens(self, texts: Sequence[str]) -> Tokens:
        return flat([[1] * len(text) for text in texts], None)

    def logits_of(self, tokens: Tokens, rows: np.ndarray) -> np.ndarray:
        self.lengths += tokens.lengths[rows].tolist()
        time.sleep(self.seconds * int(tokens.lengths[rows].sum()))
        return np.zeros((len(rows), 2), dtype=np.float32)


@pytest.fixture(scope="module")
def measured() -> tuple[dict, dict]:
    texts = ["x" * n for n in range(1, 9)] * 40
    models = {
        name: Served(Sleeping(seconds), Sleeping(seconds / 2))
        for name, seconds in (("slow", 2e-4), ("fast", 1e-6))
    }
    return models, measure_speed(models, texts, count=20, rounds=1, seed=0)


def test_bulk_is_that_of_the_bulk_model(measured: tuple[dict, dict]) -> None:
    """The figure that chooses the runtime is that of what Predictor(bulk=True) loads."""
    speed = measured[1]["slow"]
    assert 0.8 < speed.latency_ms_p50 < 2.7  # 4.5 tokens of 0.2 ms, on a machine that may be busy
    assert 1.3 * 1000 / speed.latency_ms_p50 < speed.texts_per_s < 2300  # 4.5 tokens of 0.1 ms
    assert measured[1]["fast"].texts_per_s > 2 * speed.texts_per_s


def test_fewer_texts_for_a_slow_model_are_as_long_as_all(measured: tuple[dict, dict]) -> None:
    """Else the slow one would be timed on short texts, or the fast one on long ones."""
    slow, fast = measured[0]["slow"].bulk.lengths, measured[0]["fast"].bulk.lengths
    assert len(slow) < len(fast)
    assert np.mean(slow) == pytest.approx(np.mean(fast), rel=0.1)
