"""What a frontier says of its points."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.evaluation.frontier import (
    Frontier,
    FrontierPoint,
    FrontierTrial,
    frontier_verdict,
    knee_of,
    smallest_that_holds,
)
from limbeck.evaluation.frontier_page import render_frontier
from limbeck.evaluation.report import Performance, Span


def _performance(score: float, ms: float, mb: float) -> Performance:
    return Performance(
        score=Span(value=score, low=score - 0.01, high=score + 0.01), latency_ms_p50=ms,
        latency_ms_p95=2 * ms, texts_per_s=1000 / ms, size_mb=mb, parameters=int(1e6 * mb),
        encoder_parameters=int(5e5 * mb), runtime="onnx_int8", metrics={}, agreement=0.9,
        calibration_error=None, peak_memory_mb=None, train_seconds=3.0, per_class={}, confusion=[],
    )  # fmt: skip


def _point(number: int, score: float, ms: float, held: float) -> FrontierPoint:
    return FrontierPoint(
        number=number, folder=f"points/{number}", heads=[2, 1], neurons=[30, 9],
        embedding_rank=8 if number > 1 else None, served_by="onnx_int8",
        served=_performance(score, ms, 10 * ms),
        retention=Span(value=score / 0.9, low=score / 0.9 - 0.01, high=score / 0.9 + 0.01),
        validation_score=0.9 * held, validation_retention=held, learning_rate=3e-4,
        compensated=False, train_seconds=4.0, exports=[],
    )  # fmt: skip


def _trial(
    rate: float, passes: float, loss: float | None, *, chosen: bool = False
) -> FrontierTrial:
    return FrontierTrial(
        point=2, layers=2, learning_rate=rate, compensated=False, passes=passes,
        validation_loss=loss, validation_score=0.8, chosen=chosen,
    )  # fmt: skip


def _frontier(retention: float | None, **changes: object) -> Frontier:
    points = [_point(1, 0.89, 0.8, 0.99), _point(2, 0.888, 0.4, 0.985), _point(3, 0.7, 0.3, 0.8)]
    found = Frontier(
        limbeck_version="0", machine={}, task="single_label", data={"test_rows": 1000},
        recipe={"output": "runs/f", "teacher": {"path": "t"}, "frontier": {"retention": retention}},
        score_name="accuracy", verdict=[], warnings=["<b>mind</b>"],
        teacher=_performance(0.9, 8.0, 90.0), teacher_int8=_performance(0.899, 1.0, 23.0),
        points=points, knee=2, held=smallest_that_holds(points, retention), seconds=1.0,
        trials=[
            _trial(1e-4, 0.08, 0.31), _trial(3e-4, 0.08, 0.22), _trial(1e-3, 0.08, None),
            _trial(3e-4, 3.0, 0.125, chosen=True),
        ],
    )  # fmt: skip
    return found.model_copy(update=changes)


def test_the_knee_is_where_scores_begin_to_fall() -> None:
    """Naming the largest or the smallest point would need no knee."""
    costs = [1.0, 0.5, 0.25, 0.125, 0.0625]
    assert knee_of(costs, [0.90, 0.898, 0.895, 0.80, 0.70]) == 2
    assert knee_of(costs, [0.90, 0.85, 0.80, 0.75, 0.70]) in range(5)
    assert knee_of([1.0, 0.5], [0.9, 0.8]) == 1
    assert knee_of(costs, [0.9] * 5) == 4
    curve = 1 - np.linspace(0, 1, 5) ** 4
    assert knee_of(costs, curve.tolist()) == 2


def test_the_smallest_that_holds_is_chosen_on_validation() -> None:
    """Choosing on the test rows would report a student by the luck that chose it."""
    points = _frontier(None).points
    assert smallest_that_holds(points, 0.98) == 2
    assert smallest_that_holds(points, 0.9875) == 1
    assert smallest_that_holds(points, 0.999) is None
    assert smallest_that_holds(points, None) is None


def test_the_verdict_says_what_was_asked_for_first() -> None:
    """A user who wants 98 % asks which student to take, and what it costs."""
    said = frontier_verdict(_frontier(0.98))
    assert "keeps 98.0% of the teacher on validation is point 2" in said[0]
    assert "20.0× faster (0.40 ms)" in said[0]
    none = frontier_verdict(_frontier(0.999))
    assert none[0].startswith("No point keeps 99.9%")
    assert "point 1 with 99.0%" in none[0]
    bare = frontier_verdict(_frontier(None))
    assert bare[0].startswith("The knee is point 2")
    assert any("teacher's own int8 export" in sentence for sentence in bare)


def test_the_page_shows_every_point_and_escapes_what_is_the_users() -> None:
    """A page that leaves the smallest out hides where it breaks."""
    page = render_frontier(_frontier(0.98))
    for shown in ("point 1", "point 2", "point 3", "2/30 + 1/9, rank 8", "the knee", "chosen",
                  "0.1250", "broke down", "Point 2: 3 ways"):  # fmt: skip
        assert shown in page
    assert "<b>mind</b>" not in page
    assert "&lt;b&gt;mind" in page
    assert page.index("0.1250") < page.index("0.3100") < page.index("broke down")
    assert page.count("<figure") == 2
    assert "http://www.w3.org" in page or "src=" not in page


@pytest.mark.parametrize("field", ["retention", "validation_retention"])
def test_a_teacher_at_chance_has_nothing_to_keep(field: str) -> None:
    """A ratio over nothing is no ratio."""
    found = _frontier(0.5)
    points = [point.model_copy(update={field: None}) for point in found.points]
    found = found.model_copy(update={"points": points, "held": smallest_that_holds(points, 0.5)})
    assert render_frontier(found.model_copy(update={"verdict": frontier_verdict(found)}))
