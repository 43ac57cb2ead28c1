"""Where the names of points go in a plot: beside them, and never over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)


class Place(NamedTuple):
    """Where a label stands: the offset of its box's anchor from the point, in points."""

    dx: float
    dy: float
    side: int
    far: bool
    box: Box


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    bounds: Box,
) -> list[Place]:
    """Where labels stand so that they cover neither each other nor the points.

    Each label in turn, the largest first, takes the cheapest of 8 directions at several
    distances, a few times over, until none moves. Deterministic.

    Args:
        anchors: The points, in points from the lower left.
        sizes: Width and height of the labels.
        obstacles: What costs a little to cover (the intervals).
        bounds: What labels should not leave.
    """
    marks = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in anchors]
    options = [_options(a, s, bounds) for a, s in zip(anchors, sizes, strict=True)]
    fixed = [
        [cost + _covered(place.box, marks, 6) + _covered(place.box, obstacles, 2)
         for place, cost in some]
        for some in options
    ]  # fmt: skip
    chosen: dict[int, int] = {}
    by_size = sorted(range(len(sizes)), key=lambda label: -sizes[label][0] * sizes[label][1])
    for _ in range(8):
        before = dict(chosen)
        for label in by_size:
            others = [options[o][place][0].box for o, place in chosen.items() if o != label]
            costs = [
                cost + _covered(place.box, others, 20)
                for (place, _), cost in zip(options[label], fixed[label], strict=True)
            ]
            chosen[label] = int(np.argmin(costs))
        if chosen == before:
            break
    return [options[label][chosen[label]][0] for label in range(len(sizes))]


def _options(
    anchor: tuple[float, float], size: tuple[float, float], bounds: Box
) -> list[tuple[Place, float]]:
    (x, y), (width, height) = anchor, size
    options = []
    for distance, (side, up) in product(
        (7.0, 13.0, 20.0, 30.0, 42.0, 56.0, 72.0),
        ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)),
    ):
        reach = distance / math.hypot(side, up)
        dx, dy = side * reach, up * reach
        left = x + dx - width * (1 - side) / 2
        bottom = y + dy - height * (1 - up) / 2
        box = Box(left, bottom, left + width, bottom + height)
        outside = width * height - box.overlap(bounds)
        cost = 40 * outside + 2.0 * distance + 2.0 * abs(up)
        options.append((Place(dx, dy + up * height / 2, side, distance > 13, box), cost))
    return options


def _covered(box: Box, others: Sequence[Box], price: float) -> float:
    return price * sum(box.overlap(other) for other in others)
