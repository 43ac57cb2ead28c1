"""Latency and throughput, tokenization included, all models in alternation on one machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.candidates import pairs_a_query
from limbeck.data.texts import Item, characters
from limbeck.progress import step
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import answer_all

_WARM_UP = 10
_FEWEST, _MOST = 256, 2048
"""Texts of a model's bulk: the slowest answers the fewest, about what it does in _BULK_S. Of
queries as many fewer as they have candidates."""
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
        texts: Texts of the user's data; a seeded sample of them is used. A query is timed with all
            its candidates.
        count: Single texts a round; of queries fewer, by the candidates that they have.
        rounds: Rounds.
        seed: Of the sample.
    """
    generator = np.random.default_rng(seed)
    order: list[int] = generator.permutation(len(texts)).tolist()
    inside = pairs_a_query(texts)
    fewest, most, count = (max(1, round(many / inside)) for many in (_FEWEST, _MOST, count))
    single = [texts[place] for place in order[:count]]
    sample = [texts[order[i % len(order)]] for i in range(most)]
    bulk = sorted(sample, key=characters)
    names = list(models)
    times: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    with step("measuring speed", rounds * len(names)) as bar:
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                model = models[name]
                for text in single[:_WARM_UP]:
                    model.single.logits([text])
                times[name].extend(latency_ms(model.single, text) for text in single)
                share = _BULK_S * 1000 / float(np.median(times[name]))
                rates[name].append(bulk_rate(model.bulk, bulk, int(np.clip(share, fewest, most))))
                bar.advance(1)
    return {
        name: Speed(
            latency_ms_p50=float(np.percentile(times[name], 50)),
            latency_ms_p95=float(np.percentile(times[name], 95)),
            texts_per_s=float(np.median(rates[name])),
        )
        for name in names
    }


def latency_ms(answerer: Answerer, text: Item) -> float:
    """What one text takes, in ms."""
    start = time.perf_counter()
    answerer.logits([text])
    return 1000 * (time.perf_counter() - start)


def bulk_rate(answerer: Answerer, texts: Sequence[Item], count: int) -> float:
    """Texts a second in bulk, after a batch of the longest and one of the shortest.

    Args:
        answerer: Loaded for many texts.
        texts: From the shortest to the longest.
        count: Of these, how many are answered, spread over all lengths.
    """
    part = [texts[place] for place in np.linspace(0, len(texts) - 1, count).astype(int)]
    answer_all(answerer, [*part[:8], *part[-8:]])
    start = time.perf_counter()
    answer_all(answerer, part)
    return len(part) / (time.perf_counter() - start)
