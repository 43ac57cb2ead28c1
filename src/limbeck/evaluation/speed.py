"""Latency and throughput, tokenization included, all models in alternation on one machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.progress import step
from limbeck.runtime.answerer import Answerer, answer_all

_WARM_UP = 10
_BULK_TEXTS = 256


@dataclass(frozen=True)
class Speed:
    """How fast a model answers.

    Attributes:
        latency_ms_p50: Median time of one text a call, in ms.
        latency_ms_p95: 95th percentile of the same.
        texts_per_s: Texts a second in batches of 32 by length; the median round.
    """

    latency_ms_p50: float
    latency_ms_p95: float
    texts_per_s: float


def measure_speed(
    answerers: Mapping[str, Answerer], texts: Sequence[str], *, count: int, rounds: int, seed: int
) -> dict[str, Speed]:
    """Speeds of several models on the same texts.

    Every round goes through all models, in a turning order, so that a slow minute of a shared
    machine falls on all of them.

    Args:
        answerers: Model name to model.
        texts: Texts of the user's data; a seeded sample of them is used.
        count: Single texts a round.
        rounds: Rounds.
        seed: Of the sample.
    """
    generator = np.random.default_rng(seed)
    order: list[int] = generator.permutation(len(texts)).tolist()
    single = [texts[place] for place in order[:count]]
    bulk = [texts[order[i % len(order)]] for i in range(max(_BULK_TEXTS, count))]
    names = list(answerers)
    times: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    with step("measuring speed", rounds * len(names)) as bar:
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                answerer = answerers[name]
                for text in single[:_WARM_UP]:
                    answerer.logits([text])
                times[name].extend(_timed(answerer, text) for text in single)
                start = time.perf_counter()
                answer_all(answerer, bulk)
                rates[name].append(len(bulk) / (time.perf_counter() - start))
                bar.advance(1)
    return {
        name: Speed(
            latency_ms_p50=float(np.percentile(times[name], 50)),
            latency_ms_p95=float(np.percentile(times[name], 95)),
            texts_per_s=float(np.median(rates[name])),
        )
        for name in names
    }


def _timed(answerer: Answerer, text: str) -> float:
    start = time.perf_counter()
    answerer.logits([text])
    return 1000 * (time.perf_counter() - start)
