"""Numbers that change over a training."""

from __future__ import annotations

import math

import pytest
from pydantic import TypeAdapter

from limbeck.config.schedule import Number, Ramp, Steps, largest, number_at, smallest

READ = TypeAdapter(Number)


def test_a_linear_ramp_is_a_line_between_its_ends() -> None:
    """An off-by-one in the share would leave a weight that should end at 0 above it."""
    ramp = Ramp(shape="linear", start=2.0, stop=0.0, begin=0.25, end=0.75)
    found = [number_at(ramp, share) for share in (0.0, 0.25, 0.5, 0.625, 0.75, 1.0)]
    assert found == pytest.approx([2.0, 2.0, 1.0, 0.5, 0.0, 0.0])


def test_a_cosine_ramp_is_half_a_cosine() -> None:
    """From the formula: start + (stop - start) (1 - cos(pi x)) / 2."""
    ramp = Ramp(shape="cosine", start=1.0, stop=5.0)
    for share in (0.0, 0.2, 0.5, 0.9, 1.0):
        expected = 1 + 4 * (1 - math.cos(math.pi * share)) / 2
        assert number_at(ramp, share) == pytest.approx(expected)


def test_steps_change_where_they_say() -> None:
    """The new number counts from its place on, not after it."""
    steps = Steps(shape="step", values=(3.0, 2.0, 1.0), at=(0.3, 0.6))
    found = [number_at(steps, share) for share in (0.0, 0.29, 0.3, 0.59, 0.6, 1.0)]
    assert found == [3.0, 3.0, 2.0, 2.0, 1.0, 1.0]


def test_a_number_is_itself_at_any_share() -> None:
    """The common case."""
    assert number_at(READ.validate_python(0.7), 0.3) == 0.7


@pytest.mark.parametrize(
    ("number", "most", "least"),
    [
        (0.4, 0.4, 0.4),
        (Ramp(shape="linear", start=0.0, stop=0.3), 0.3, 0.0),
        (Steps(shape="step", values=(0.1, 0.9), at=(0.5,)), 0.9, 0.1),
    ],
)
def test_the_extremes_are_those_of_the_whole_training(
    number: float | Ramp | Steps, most: float, least: float
) -> None:
    """A term that fades in from 0 must not be dropped for its first weight."""
    assert largest(number) == most
    assert smallest(number) == least
