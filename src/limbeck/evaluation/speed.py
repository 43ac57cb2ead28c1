"""Latency and throughput, tokenization included, all models in alternation on one machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.texts import Item, characters
from limbeck.progress import step
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import answer_all

_WARM_UP = 10
_FEWEST, _MOST = 256, 2048
"""Texts of a model's bulk: the slowest answers the fewest, about what it does in _BULK_S."""
_BULK_S = 0.5


@dataclass(frozen=True)
class Served:
    """A model twice: loaded for one text at a time, and for many."""

    single: Answerer
    bulk: Answerer


@dataclass(frozen=True)
class Speed:
    """How fast a model answers.

    Attributes:
        latency_ms_p50: Median time of one text a call, in ms.
        latency_ms_p95: 95th percentile of the same.
        texts_per_s: Texts a second in bulk, as `limbeck predict` answers a file; the median
            round.
    """

    latency_ms_p50: float
    latency_ms_p95: float
    texts_per_s: float


def measure_speed(
    models: Mapping[str, Served], texts: Sequence[Item], *, count: int, rounds: int, seed: int
) -> dict[str, Speed]:
    """Speeds of several models on the same texts.

    Every round goes through all models, in a turning order, so that a slow minute of a shared
    machine falls on all of them. In bulk, all models are given batches by length under the same
    token budget; a slow one is given fewer of the texts, spread over all lengths.

    Args:
        models: By name.
        texts: Texts of the user's data; a seeded sample of them is used.
        count: Single texts a round.
        rounds: Rounds.
        seed: Of the sample.
    """
    generator = np.random.default_rng(seed)
    order: list[int] = generator.permutation(len(texts)).tolist()
    single = [texts[place] for place in order[:count]]
    sample = [texts[order[i % len(order)]] for i in range(_MOST)]
    return speeds_on(
        models, single=single, bulk=sample, rounds=rounds, bulk_s=_BULK_S, title="measuring speed"
    )


def speeds_on(
    models: Mapping[str, Served],
    *,
    single: Sequence[Item],
    bulk: Sequence[Item],
    rounds: int,
    bulk_s: float,
    title: str,
) -> dict[str, Speed]:
    """Speeds of several models on texts that are given, as `measure_speed` takes them.

    Args:
        models: By name.
        single: Texts that are answered one a call, all in every round.
        bulk: Texts of all lengths, of which a slow model is given fewer.
        rounds: Rounds.
        bulk_s: About how long a model answers in bulk in a round, in s.
        title: Of the progress bar.
    """
    bulk = sorted(bulk, key=characters)
    names = list(models)
    times: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    with step(title, rounds * len(names)) as bar:
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                model = models[name]
                for text in single[:_WARM_UP]:
                    model.single.logits([text])
                times[name].extend(_timed(model.single, text) for text in single)
                median_ms = float(np.median(times[name]))
                rates[name].append(_rate(model.bulk, bulk, median_ms, bulk_s))
                bar.advance(1)
    return {
        name: Speed(
            latency_ms_p50=float(np.percentile(times[name], 50)),
            latency_ms_p95=float(np.percentile(times[name], 95)),
            texts_per_s=float(np.median(rates[name])),
        )
        for name in names
    }


def _timed(answerer: Answerer, text: Item) -> float:
    start = time.perf_counter()
    answerer.logits([text])
    return 1000 * (time.perf_counter() - start)


def _rate(answerer: Answerer, texts: list[Item], single_ms: float, bulk_s: float) -> float:
    """Texts a second in bulk, after a batch of the longest and one of the shortest."""
    count = int(np.clip(bulk_s * 1000 / single_ms, _FEWEST, _MOST))
    part = [texts[place] for place in np.linspace(0, len(texts) - 1, count).astype(int)]
    answer_all(answerer, [*part[:8], *part[-8:]])
    start = time.perf_counter()
    answer_all(answerer, part)
    return len(part) / (time.perf_counter() - start)
