"""The shapes of a frontier's points: fewer layers, heads, neurons and directions at each."""

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
        encoder_parameters: Of all layers.
        tokens: Rows of the word embeddings.
        width: Columns of the word embeddings.
    """

    layers: int
    heads: int
    neurons: int
    encoder_parameters: int
    tokens: int
    width: int


@dataclass(frozen=True)
class Shape:
    """What a point is to have: layers, and what is left of them."""

    layers: int
    target: Target


_FEWEST_NEURONS = 8


def shapes(first: Whole, teacher_parameters: int, wanted: FrontierConfig) -> list[Shape]:
    """The points after the first, from the largest to the smallest.

    Encoder parameters fall by equal ratios. Layers go late and one after the other, since the first
    ones that go cost most: what is left of the parameters is shared out among the layers there are,
    and heads and neurons of a layer fall alike. The embeddings' rank falls late too, and is written
    only where a product is smaller than the table.

    Args:
        first: The recipe's own student.
        teacher_parameters: Of the teacher's encoder.
        wanted: How far down, in how many points.
    """
    last = min(1.0, wanted.smallest * teacher_parameters / first.encoder_parameters)
    found = []
    for number in range(1, wanted.points):
        way = number / (wanted.points - 1)
        layers = round(first.layers - (first.layers - min(wanted.layers, first.layers)) * way**2)
        share = min(1.0, last**way * first.layers / layers)
        rank = max(1, round(first.width * wanted.rank ** (way**2)))
        found.append(
            Shape(
                layers,
                Target(
                    heads=max(1, round(first.heads * share)),
                    neurons=max(min(_FEWEST_NEURONS, first.neurons), round(first.neurons * share)),
                    rank=rank if worth_factoring(first.tokens, first.width, rank) else None,
                ),
            )
        )
    return found
