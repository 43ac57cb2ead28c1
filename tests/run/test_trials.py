"""Which way to a frontier's point is tried, and which goes on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from limbeck.run.trials import Trial, Way, best_first, halved


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
