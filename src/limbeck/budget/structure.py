"""Structures that can be cut out of a teacher, and what a cut is expected to lose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.teacher.family import Family, head_count, layer_count
from limbeck.teacher.pooling import vectors_of
from limbeck.teacher.thin import PATHS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FEWEST_NEURONS = 8
"""Of a layer, and the step in which neurons are counted."""
_UPPER_LAYERS, _LOWER_LAYERS, _HEADS, _NEURONS, _TRIMMED = 0.015, 0.04, 0.0055, 0.0055, 0.001
"""Shares of the score for each factor e; see `expected_loss`."""


@dataclass(frozen=True)
class Whole:
    """What there is to cut.

    Attributes:
        layers: The teacher's.
        heads: Of a layer.
        neurons: Of a layer.
        vocabulary: Tokens.
        prunable: Whether heads and neurons can be taken out of its layers.
    """

    layers: int
    heads: int
    neurons: int
    vocabulary: int
    prunable: bool


@dataclass(frozen=True)
class Structure:
    """A student's sizes; heads and neurons are averages over its layers.

    Attributes:
        layers: Encoder layers.
        heads: Attention heads a layer.
        neurons: Feed-forward neurons a layer.
        vocabulary: Tokens.
    """

    layers: int
    heads: int
    neurons: int
    vocabulary: int

    def in_words(self) -> str:
        """Without the vocabulary."""
        parts = ((self.layers, "layer"), (self.heads, "head"), (self.neurons, "neuron"))
        return ", ".join(f"{count:,} {name}{'s' * (count != 1)}" for count, name in parts)


def whole_of(config: PreTrainedConfig, family: Family) -> Whole:
    """What can be cut out of a model of this config."""
    neurons = getattr(config, family.intermediate_key, None) or 4 * int(config.hidden_size)
    return Whole(
        layers=layer_count(config),
        heads=head_count(config),
        neurons=int(neurons),
        vocabulary=int(config.vocab_size),
        prunable=config.model_type in PATHS and vectors_of(config) is None,
    )


def neuron_counts(whole: Whole) -> np.ndarray:
    """Numbers of neurons that a search looks at, rising: multiples of 8, and all of them."""
    if not whole.prunable:
        return np.array([whole.neurons])
    steps = np.arange(FEWEST_NEURONS, whole.neurons, FEWEST_NEURONS)
    return np.append(steps, whole.neurons)


def head_counts(whole: Whole) -> np.ndarray:
    """Numbers of heads likewise."""
    return np.arange(1, whole.heads + 1) if whole.prunable else np.array([whole.heads])


def expected_loss(
    whole: Whole, layers: int, heads: np.ndarray, neurons: np.ndarray, *, trimmed: bool
) -> np.ndarray:
    """The share of the teacher's score that a cut is expected to lose, before anything is known.

    Each factor by which heads, or neurons, a layer get fewer costs 0.55 % of the score for a
    factor e; layers 1.5 % down to half of them and 4 % below, where nothing was measured: half the
    layers go first, then heads and neurons, which get equal shares of the time, as the sum of
    their logarithms is largest then. A trimmed vocabulary costs 0.1 %.

    Fitted by eye to docs/budgets.md's table (two tasks, one teacher of 6 layers), where it is off
    by about a point. It ranks structures; only the run knows what is lost.

    Args:
        whole: What there is to cut.
        layers: That stay.
        heads: A layer that stay; any shape that broadcasts with `neurons`.
        neurons: Likewise.
        trimmed: Whether the vocabulary is smaller than the teacher's.
    """
    half = whole.layers / 2
    upper = math.log(whole.layers / max(layers, half))
    lower = math.log(half / min(layers, half))
    return (
        _UPPER_LAYERS * upper
        + _LOWER_LAYERS * lower
        + _HEADS * np.log(whole.heads / heads)
        + _NEURONS * np.log(whole.neurons / neurons)
        + _TRIMMED * trimmed
    )
