"""The structure that is expected to keep most of the teacher under a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from limbeck.budget.structure import (
    Structure,
    Whole,
    expected_loss,
    head_counts,
    neuron_counts,
)
from limbeck.budget.table import Costs
from limbeck.config.budget import Budget


@dataclass(frozen=True)
class Limits:
    """A budget in absolute numbers; None is no limit.

    Attributes:
        latency_ms: At most.
        texts_per_s: At least.
        size_mb: At most.
    """

    latency_ms: float | None
    texts_per_s: float | None
    size_mb: float | None

    def excess(self, latency_ms: float, texts_per_s: float, size_mb: float) -> dict[str, float]:
        """By which factor each limit is missed; above 1 it is."""
        found = {}
        if self.latency_ms is not None:
            found["latency"] = latency_ms / self.latency_ms
        if self.texts_per_s is not None:
            found["throughput"] = self.texts_per_s / texts_per_s
        if self.size_mb is not None:
            found["size"] = size_mb / self.size_mb
        return found


def limits_of(budget: Budget, *, teacher_ms: float, teacher_mb: float) -> Limits:
    """A budget's limits, the tighter one where there are two of a kind.

    Args:
        budget: As the user wrote it.
        teacher_ms: Median of single texts, of the teacher as transformers serves it.
        teacher_mb: Of its weights in float32.
    """
    times = [budget.latency_ms, None if budget.speedup is None else teacher_ms / budget.speedup]
    sizes = [budget.size_mb, None if budget.smaller is None else teacher_mb / budget.smaller]
    return Limits(
        latency_ms=min((time for time in times if time is not None), default=None),
        texts_per_s=budget.texts_per_s,
        size_mb=min((size for size in sizes if size is not None), default=None),
    )


@dataclass(frozen=True)
class Candidate:
    """A structure in a runtime.

    Attributes:
        structure: Its sizes.
        runtime: The export.
        latency_ms: Predicted, of single texts.
        texts_per_s: Predicted, in bulk.
        size_mb: Predicted, of the file.
        loss: Share of the score that it is expected to lose, as `expected_loss` guesses.
    """

    structure: Structure
    runtime: str
    latency_ms: float
    texts_per_s: float
    size_mb: float
    loss: float


@dataclass(frozen=True)
class Space:
    """What a search may choose from.

    Attributes:
        whole: The teacher's sizes.
        layers: Numbers of layers.
        vocabularies: Numbers of tokens.
        costs: Of every runtime.
    """

    whole: Whole
    layers: tuple[int, ...]
    vocabularies: tuple[int, ...]
    costs: dict[str, Costs]


@dataclass(frozen=True)
class Slack:
    """Factors that predictions of a runtime are multiplied with: what a check found them off by."""

    latency: float = 1.0
    rate: float = 1.0
    size: float = 1.0


def best_of_each(
    space: Space, limits: Limits, slack: dict[str, Slack] | None = None
) -> list[Candidate]:
    """The best structure within the limits for every number of layers, the best of all first.

    The best keeps most by `expected_loss`; among equals it is the fastest.
    """
    found = []
    for layers in space.layers:
        fitting = [
            candidate
            for vocabulary in space.vocabularies
            for runtime in space.costs
            if (candidate := _best(space, limits, layers, vocabulary, runtime, slack or {}))
        ]
        if fitting:
            found.append(min(fitting, key=_order))
    return sorted(found, key=_order)


def _order(candidate: Candidate) -> tuple[float, float]:
    return (candidate.loss, candidate.latency_ms)


def _best(
    space: Space,
    limits: Limits,
    layers: int,
    vocabulary: int,
    runtime: str,
    slack: dict[str, Slack],
) -> Candidate | None:
    heads, neurons = head_counts(space.whole)[:, None], neuron_counts(space.whole)[None, :]
    predicted = space.costs[runtime].of(layers, heads, neurons, vocabulary)
    own = slack.get(runtime, Slack())
    shape = (heads.shape[0], neurons.shape[1])
    latency = np.broadcast_to(predicted.latency_ms * own.latency, shape)
    rate = np.broadcast_to(predicted.texts_per_s * own.rate, shape)
    size = np.broadcast_to(predicted.size_mb * own.size, shape)
    fits = np.ones(shape, dtype=bool)
    if limits.latency_ms is not None:
        fits &= latency <= limits.latency_ms
    if limits.texts_per_s is not None:
        fits &= rate >= limits.texts_per_s
    if limits.size_mb is not None:
        fits &= size <= limits.size_mb
    if not fits.any():
        return None
    trimmed = vocabulary < space.whole.vocabulary
    loss = np.where(fits, expected_loss(space.whole, layers, heads, neurons, trimmed=trimmed), 9.0)
    place = np.unravel_index(np.lexsort((latency.ravel(), loss.ravel()))[0], shape)
    return Candidate(
        structure=Structure(layers, int(heads[place[0], 0]), int(neurons[0, place[1]]), vocabulary),
        runtime=runtime,
        latency_ms=float(latency[place]),
        texts_per_s=float(rate[place]),
        size_mb=float(size[place]),
        loss=float(loss[place]),
    )


def least(space: Space) -> list[Candidate]:
    """The smallest structure in every runtime: what no search can go below."""
    whole = space.whole
    layers, vocabulary = min(space.layers), min(space.vocabularies)
    heads, neurons = int(head_counts(whole)[0]), int(neuron_counts(whole)[0])
    return list(_in_every(space, Structure(layers, heads, neurons, vocabulary)))


def uncut(space: Space) -> list[Candidate]:
    """The teacher itself in every runtime."""
    whole = space.whole
    structure = Structure(whole.layers, whole.heads, whole.neurons, whole.vocabulary)
    return list(_in_every(space, structure))


def within(candidates: Sequence[Candidate], limits: Limits) -> list[Candidate]:
    """Those that miss no limit."""
    return [
        one
        for one in candidates
        if max(limits.excess(one.latency_ms, one.texts_per_s, one.size_mb).values(), default=0) <= 1
    ]


def _in_every(space: Space, structure: Structure) -> Iterator[Candidate]:
    trimmed = structure.vocabulary < space.whole.vocabulary
    loss = expected_loss(
        space.whole,
        structure.layers,
        np.array(structure.heads),
        np.array(structure.neurons),
        trimmed=trimmed,
    )
    for runtime, costs in space.costs.items():
        predicted = costs.of_structure(structure)
        yield Candidate(
            structure,
            runtime,
            float(predicted.latency_ms),
            float(predicted.texts_per_s),
            float(predicted.size_mb),
            float(loss),
        )


def tightened(limits: Limits, headroom: float) -> Limits:
    """Limits that leave room for what varies from run to run: times alone, sizes do not."""
    return replace(
        limits,
        latency_ms=None if limits.latency_ms is None else limits.latency_ms * (1 - headroom),
        texts_per_s=None if limits.texts_per_s is None else limits.texts_per_s / (1 - headroom),
    )
