"""The shapes that a frontier's points may have."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from limbeck.config.frontier import FrontierConfig
from limbeck.student.descent import Shape, Whole, shapes

HALF = Whole(
    layers=3, heads=12, neurons=1536, hidden=384, encoder_parameters=5_320_000, tokens=14_000,
    width=384,
)  # fmt: skip
TEACHER = 10_640_000


def _encoder(shape: Shape) -> int:
    """Parameters of a point's layers, biases and norms left out."""
    heads, neurons = shape.target.heads, shape.target.neurons
    assert heads is not None
    assert neurons is not None
    return shape.layers * (heads * 32 * 4 * 384 + neurons * 2 * 384)


def _way_down(wanted: FrontierConfig, choice: int, first: Whole = HALF) -> list[Shape]:
    """The shapes of all points where always the deepest (0) or shallowest (-1) wins."""
    found: list[Shape] = []
    for number in range(2, wanted.points + 1):
        above = found[-1].layers if found else first.layers
        found.append(shapes(first, above, number, TEACHER, wanted)[choice])
    return found


@pytest.mark.parametrize("choice", [0, -1])
@pytest.mark.parametrize("points", [2, 3, 6, 12])
def test_points_go_down_to_what_was_asked_for(points: int, choice: int) -> None:
    """A point that were larger than the one above it could not be cut out of it."""
    wanted = FrontierConfig(points=points, smallest=0.02)
    found = _way_down(wanted, choice)
    sizes = [HALF.encoder_parameters, *map(_encoder, found)]
    assert all(below < above for above, below in itertools.pairwise(sizes))
    assert sizes[-1] == pytest.approx(0.02 * TEACHER, rel=0.1)
    layers = [HALF.layers, *(shape.layers for shape in found)]
    assert layers == sorted(layers, reverse=True)


@pytest.mark.parametrize("choice", [0, -1])
def test_steps_are_equal_ratios(choice: int) -> None:
    """One step that cuts far more than the others would break the student that it cuts."""
    found = _way_down(FrontierConfig(points=8, smallest=0.02), choice)
    sizes = [HALF.encoder_parameters, *map(_encoder, found)]
    ratios = [above / below for above, below in itertools.pairwise(sizes)]
    assert max(ratios) < 1.2 * min(ratios)


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_deep_and_shallow_shapes_of_a_point_cost_alike(number: int) -> None:
    """A deep candidate that may keep more parameters would win by them."""
    found = shapes(HALF, 3, number, TEACHER, FrontierConfig())
    assert len(found) == 2
    assert found[0].layers == found[1].layers + 1
    deep, shallow = map(_encoder, found)
    assert deep == pytest.approx(shallow, rel=0.12)
    assert found[0].target.rank == found[1].target.rank


def test_layers_that_cannot_be_thin_enough_go() -> None:
    """Three layers of one head and eight neurons are more than the last point may have."""
    assert [shape.layers for shape in shapes(HALF, 3, 6, TEACHER, FrontierConfig())] == [2, 1]
    kept = FrontierConfig(layers=3)
    assert [shape.layers for shape in shapes(HALF, 3, 6, TEACHER, kept)] == [3]
    assert [shape.layers for shape in shapes(HALF, 1, 4, TEACHER, kept)] == [1]


def test_embeddings_are_factored_only_where_that_saves_numbers() -> None:
    """A product of almost full rank is larger than the table that it stands for."""
    ranks = [shape.target.rank for shape in _way_down(FrontierConfig(points=9, rank=0.17), 0)]
    assert ranks[-1] == round(0.17 * 384)
    few = replace(HALF, tokens=300)
    assert _way_down(FrontierConfig(points=9, rank=0.9), 0, few)[-1].target.rank is None
    for rank in ranks:
        assert rank is None or rank * (14_000 + 384) < 14_000 * 384


def test_a_layer_keeps_a_head_and_some_neurons() -> None:
    """Without any, a layer would be but a sum."""
    for choice in (0, -1):
        last = _way_down(FrontierConfig(points=4, smallest=1e-6), choice)[-1]
        assert last == Shape(1, replace(last.target, heads=1, neurons=8))
