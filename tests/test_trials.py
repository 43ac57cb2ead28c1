"""Which way to a frontier's point is tried, and which goes on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.config.frontier import FrontierConfig
from limbeck.run.trials import Trial, Way, best_first, halved
from limbeck.student.descent import Whole, shapes

FIRST = Whole(
    layers=3, heads=12, neurons=1536, hidden=384, encoder_parameters=3 * 1_774_464, tokens=13_486,
    width=384,
)  # fmt: skip
TEACHER = 6 * 1_774_464


def _ways(count: int) -> list[Way]:
    return [Way(1, float(number + 1), compensated=False) for number in range(count)]


@given(count=st.integers(1, 40), finalists=st.integers(1, 5), share=st.floats(0.01, 1.0))
def test_the_best_third_goes_on_with_three_times_the_texts(
    count: int, finalists: int, share: float
) -> None:
    """A candidate that is ahead at every length must never be lost on the way."""
    asked: list[tuple[float, float]] = []

    def tried(way: Way, part: float) -> Trial:
        asked.append((way.learning_rate, part))
        return Trial(2, way, part, 1 / way.learning_rate, 0.5)

    trials, left = halved(_ways(count), tried, share=share, finalists=finalists)
    assert len(trials) == len(asked)
    assert len(left) == min(count, finalists)
    best = [float(count - place) for place in range(len(left))]
    if count > finalists:
        assert [way.learning_rate for way in left] == best
    parts = sorted({part for _, part in asked})
    counts = [sum(part == one for _, part in asked) for one in parts]
    assert all(part <= 1.0 for part in parts)
    if len(parts) > 1 and parts[-1] < 1.0:
        assert np.allclose(np.diff(np.log(parts)), np.log(3))
        assert all(after <= max(finalists, -(-before // 3)) for before, after in
                   pairwise(counts))  # fmt: skip


def test_a_training_that_broke_down_comes_last() -> None:
    """NaN compares as neither more nor less, and would be anywhere in a sorted list."""
    losses = (0.3, None, 0.1, None, 0.2)
    trials = [Trial(2, way, 0.1, loss, 0.0) for way, loss in zip(_ways(5), losses, strict=True)]
    assert [trial.loss for trial in best_first(trials)] == [0.1, 0.2, 0.3, None, None]


def _parameters(layers: int, heads: int, neurons: int) -> int:
    return layers * (heads * 32 * 4 * 384 + neurons * 2 * 384)


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_deep_and_shallow_shapes_of_a_point_cost_alike(number: int) -> None:
    """A deep candidate that may keep more parameters would win by them."""
    wanted = FrontierConfig()
    found = shapes(FIRST, 3, number, TEACHER, wanted)
    assert 1 <= len(found) <= 2
    assert [shape.layers for shape in found] == sorted(
        {shape.layers for shape in found}, reverse=True
    )
    share = (wanted.smallest * 2) ** ((number - 1) / 5)
    asked = share * FIRST.encoder_parameters
    for shape in found:
        target = shape.target
        assert target.heads is not None
        assert target.neurons is not None
        counted = _parameters(shape.layers, target.heads, target.neurons)
        assert counted == pytest.approx(asked, rel=0.12)
        assert target.rank == found[0].target.rank


def test_layers_that_cannot_be_thin_enough_go() -> None:
    """Three layers of one head and eight neurons are more than the last point may have."""
    last = shapes(FIRST, 3, 6, TEACHER, FrontierConfig())
    assert [shape.layers for shape in last] == [2, 1]
    assert [shape.layers for shape in shapes(FIRST, 3, 6, TEACHER, FrontierConfig(layers=3))] == [3]
    assert [shape.layers for shape in shapes(FIRST, 1, 4, TEACHER, FrontierConfig(layers=3))] == [1]
