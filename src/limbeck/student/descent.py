"""The shapes that a frontier's points may have: layers, heads, neurons and directions."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.config.frontier import FrontierConfig
from limbeck.student.pruned import Target
from limbeck.teacher.factored import worth_factoring


@dataclass(frozen=True)
class Whole:
    """What the first point has.

    Attributes:
        layers: Encoder layers.
        heads: A layer.
        neurons: A layer.
        hidden: Width of the hidden states.
        encoder_parameters: Of all layers.
        tokens: Rows of the word embeddings.
        width: Columns of the word embeddings.
    """

    layers: int
    heads: int
    neurons: int
    hidden: int
    encoder_parameters: int
    tokens: int
    width: int

    @property
    def attention_share(self) -> float:
        """The share of a layer's parameters that its heads hold: 4 h² beside 2 h neurons."""
        return 2 * self.hidden / (2 * self.hidden + self.neurons)


@dataclass(frozen=True)
class Shape:
    """What a point is to have: layers, and what is left of them."""

    layers: int
    target: Target


_FEWEST_NEURONS = 8
_DEPTHS = 2
"""Of as many layers as the parameters allow, and one fewer."""


def shapes(
    first: Whole, above: int, number: int, teacher_parameters: int, wanted: FrontierConfig
) -> tuple[Shape, ...]:
    """What the point of a number may have, the deepest first.

    Encoder parameters fall by equal ratios from point to point. The same number of parameters makes
    a deep student of thin layers or a shallow one of thick ones; which is better differs from data
    to data, so both are to be tried. Within a layer heads and neurons fall alike. The embeddings'
    rank falls late, and is written only where a product is smaller than the table.

    Args:
        first: The recipe's own student.
        above: Layers of the point that this one is cut out of.
        number: From 2.
        teacher_parameters: Of the teacher's encoder.
        wanted: How far down, in how many points.
    """
    way = (number - 1) / (wanted.points - 1)
    last = min(1.0, wanted.smallest * teacher_parameters / first.encoder_parameters)
    rank = max(1, round(first.width * wanted.rank ** (way**2)))
    if not worth_factoring(first.tokens, first.width, rank):
        rank = None
    fewest = min(wanted.layers, above)
    found: list[Shape] = []
    for layers in range(above, fewest - 1, -1):
        share = last**way * first.layers / layers
        if found and share > 1:
            break  # even whole, so few layers are less than the point may have
        share = min(1.0, share)
        heads = max(1, round(first.heads * share))
        attention = first.attention_share
        left = (share - attention * heads / first.heads) / (1 - attention)
        neurons = round(first.neurons * min(left, 1.0))
        fewest_neurons = min(_FEWEST_NEURONS, first.neurons)
        if neurons < fewest_neurons and layers > fewest:
            continue  # layers as thin as can be are too much already
        target = Target(heads=heads, neurons=max(fewest_neurons, neurons), rank=rank)
        found.append(Shape(layers, target))
    return tuple(found[:_DEPTHS])
