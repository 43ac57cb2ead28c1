"""The shapes of a frontier's points."""

from __future__ import annotations

import itertools

import pytest

from limbeck.config.frontier import FrontierConfig
from limbeck.student.descent import Whole, shapes

HALF = Whole(
    layers=3, heads=12, neurons=1536, encoder_parameters=5_320_000, tokens=14_000, width=384
)
TEACHER = 10_640_000


def _encoder(shape: object) -> float:
    """Parameters of a point's layers, biases and norms left out."""
    target = shape.target  # type: ignore[attr-defined]
    return shape.layers * (target.heads * 32 * 4 * 384 + target.neurons * 2 * 384)  # type: ignore[attr-defined]


@pytest.mark.parametrize("points", [2, 3, 6, 12])
def test_points_go_down_to_what_was_asked_for(points: int) -> None:
    """A point that were larger than the one above it could not be cut out of it."""
    wanted = FrontierConfig(points=points, smallest=0.02)
    found = shapes(HALF, TEACHER, wanted)
    assert len(found) == points - 1
    sizes = [HALF.encoder_parameters, *map(_encoder, found)]
    assert all(below < above for above, below in itertools.pairwise(sizes))
    assert sizes[-1] == pytest.approx(0.02 * TEACHER, rel=0.25)
    layers = [HALF.layers, *(shape.layers for shape in found)]
    assert layers == sorted(layers, reverse=True)
    assert layers[-1] == 1


def test_steps_are_equal_ratios() -> None:
    """One step that cuts far more than the others would break the student that it cuts."""
    found = shapes(HALF, TEACHER, FrontierConfig(points=8, smallest=0.02))
    sizes = [HALF.encoder_parameters, *map(_encoder, found)]
    ratios = [above / below for above, below in itertools.pairwise(sizes)]
    assert max(ratios) < 1.6 * min(ratios)


def test_embeddings_are_factored_only_where_that_saves_numbers() -> None:
    """A product of almost full rank is larger than the table that it stands for."""
    found = shapes(HALF, TEACHER, FrontierConfig(points=9, rank=0.17))
    ranks = [shape.target.rank for shape in found]
    assert ranks[-1] == round(0.17 * 384)
    small = Whole(3, 12, 1536, 5_320_000, tokens=300, width=384)
    assert shapes(small, TEACHER, FrontierConfig(points=9, rank=0.9))[-1].target.rank is None
    for rank in ranks:
        assert rank is None or rank * (14_000 + 384) < 14_000 * 384


def test_a_layer_keeps_a_head_and_some_neurons() -> None:
    """Without any, a layer would be but a sum."""
    found = shapes(HALF, TEACHER, FrontierConfig(points=4, smallest=1e-6))
    assert found[-1].target.heads == 1
    assert found[-1].target.neurons == 8
