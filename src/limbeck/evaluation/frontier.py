"""The numbers of a frontier under stable names: what frontier.json holds, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from limbeck.evaluation.report import Export, Frozen, Performance, Span


class FrontierPoint(Frozen):
    """One student of the family. What it scores and costs is that of the export that serves it."""

    number: int = Field(description="From 1, the largest.")
    folder: str = Field(description="Below the run's: student/, thin/ and export/.")
    heads: list[int] = Field(description="Attention heads, layer by layer.")
    neurons: list[int] = Field(description="Feed-forward neurons, layer by layer.")
    embedding_rank: int | None = Field(description="Of the word embeddings; null where whole.")
    served_by: str = Field(description="The fastest accepted export, or transformers.")
    served: Performance
    retention: Span | None = Field(
        description="Its score over the teacher's; null where that is not above 0."
    )
    validation_score: float = Field(description="Of the trained model, in transformers.")
    validation_retention: float | None
    learning_rate: float
    compensated: bool = Field(description="Whether least squares refitted what the cut left.")
    train_seconds: float
    exports: list[Export]


class FrontierTrial(Frozen):
    """A way to make a point that was tried."""

    point: int
    layers: int
    learning_rate: float
    compensated: bool = Field(description="Whether least squares refitted what is left before it.")
    passes: float = Field(description="Over the training texts; finalists are trained in full.")
    validation_loss: float | None = Field(
        description="Distance to the teacher's answers about the validation texts, by which ways "
        "are chosen; null where the training broke down."
    )
    validation_score: float
    chosen: bool = Field(description="Whether it became the point.")


class Frontier(Frozen):
    """Everything that a frontier measured."""

    schema_version: int = 1
    limbeck_version: str
    machine: dict[str, Any]
    recipe: dict[str, Any]
    task: str
    data: dict[str, Any]
    score_name: str
    verdict: list[str]
    warnings: list[str]
    teacher: Performance = Field(description="As transformers serves it, in float32.")
    teacher_int8: Performance | None
    points: list[FrontierPoint]
    trials: list[FrontierTrial]
    knee: int = Field(description="The point below which score falls faster than before.")
    held: int | None = Field(
        description="The smallest point that keeps frontier.retention on validation; null where "
        "none was asked for, or none does."
    )
    seconds: float = Field(
        description="Of the call that finished it, from the first text to the last measurement; "
        "points that were finished before are not made again."
    )


def knee_of(costs: Sequence[float], scores: Sequence[float]) -> int:
    """The place that lies farthest above the line from the first point to the last.

    Args:
        costs: Of each point, falling, above 0; their logarithm counts.
        scores: Of each point.

    Reference:
        Satopää et al. Finding a "Kneedle" in a Haystack, 2011, section III: the largest distance
        between the normalized curve and its chord.
    """
    x, y = np.log(np.asarray(costs, dtype=float)), np.asarray(scores, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return len(x) - 1
    x, y = (x - x.min()) / np.ptp(x), (y - y.min()) / np.ptp(y)
    line = y[-1] + (x - x[-1]) * (y[0] - y[-1]) / (x[0] - x[-1] or 1.0)
    return int(np.argmax(y - line))


def smallest_that_holds(points: Sequence[FrontierPoint], share: float | None) -> int | None:
    """The number of the smallest point whose validation score keeps `share` of the teacher's."""
    if share is None:
        return None
    holding = [p.number for p in points if (p.validation_retention or 0.0) >= share]
    return max(holding, default=None)


def frontier_verdict(frontier: Frontier) -> list[str]:
    """What a frontier says, the most important first."""
    knee = frontier.points[frontier.knee - 1]
    said = [
        f"The knee is point {knee.number}: {_told(knee, frontier)}.",
        f"The largest, point 1: {_told(frontier.points[0], frontier)}. The smallest, point "
        f"{len(frontier.points)}: {_told(frontier.points[-1], frontier)}.",
    ]
    wanted = frontier.recipe["frontier"]["retention"]
    if frontier.held is not None:
        held = frontier.points[frontier.held - 1]
        said.insert(
            0,
            f"The smallest point that keeps {wanted:.1%} of the teacher on validation is point "
            f"{held.number}; on the test rows: {_told(held, frontier)}.",
        )
    elif wanted is not None:
        best = max(frontier.points, key=lambda point: point.validation_retention or 0.0)
        said.insert(
            0,
            f"No point keeps {wanted:.1%} of the teacher on validation; the nearest is point "
            f"{best.number} with {best.validation_retention or 0.0:.1%}. More layers "
            "(student.layers) or more texts (data.unlabelled, data.augment) may hold it.",
        )
    int8 = frontier.teacher_int8
    if int8 is not None:
        said.append(
            f"The teacher's own int8 export scores {int8.score.value:.4f} in "
            f"{int8.latency_ms_p50:.2f} ms and {int8.size_mb:.1f} MB: what lies above and left of "
            "it is what distillation bought."
        )
    return said


def _told(point: FrontierPoint, frontier: Frontier) -> str:
    served, teacher = point.served, frontier.teacher
    assert served.size_mb is not None
    assert teacher.size_mb is not None
    kept = "" if point.retention is None else (
        f"{point.retention.value:.1%} of the teacher (interval {point.retention.low:.1%} to "
        f"{point.retention.high:.1%}), "
    )  # fmt: skip
    faster = ""
    if served.latency_ms_p50 and teacher.latency_ms_p50:
        faster = (
            f"{teacher.latency_ms_p50 / served.latency_ms_p50:.1f}× faster "
            f"({served.latency_ms_p50:.2f} ms), "
        )
    return (
        f"{kept}{faster}{teacher.size_mb / served.size_mb:.1f}× smaller ({served.size_mb:.1f} MB), "
        f"{frontier.score_name} {served.score.value:.4f}"
    )
