"""frontier.html: one file that shows what frontier.json says."""

from __future__ import annotations

from typing import Any

from limbeck.evaluation import plots
from limbeck.evaluation.frontier import Frontier, FrontierPoint, FrontierTrial
from limbeck.evaluation.report import Performance
from limbeck.evaluation.templates import environment


def render_frontier(frontier: Frontier) -> str:
    """The frontier as one HTML file: no script, nothing loaded, the same bytes every time."""
    page = (
        environment()
        .get_template("frontier.html.jinja")
        .render(
            frontier=frontier,
            output=str(frontier.recipe.get("output", "frontier")),
            subtitle=f"cut out of {frontier.recipe['teacher']['path']} · "
            f"{frontier.data['test_rows']:,} test rows",
            rows=[_row(point, frontier) for point in frontier.points],
            others=_others(frontier),
            tried=[_tried(point, frontier) for point in frontier.points[1:]],
            cost_plots=_plots(frontier),
        )
    )
    return page.strip() + "\n"


def _row(point: FrontierPoint, frontier: Frontier) -> dict[str, str]:
    shown = _figures(point.served, frontier.teacher)
    kept = point.retention
    rank = f", rank {point.embedding_rank}" if point.embedding_rank is not None else ""
    return shown | {
        "name": f"point {point.number}",
        "note": point.served_by + (", the knee" if point.number == frontier.knee else ""),
        "kept": f"{kept.value:.1%}" if kept is not None else "–",
        "kept_small": f"{100 * kept.low:.1f}–{100 * kept.high:.1f}" if kept is not None else "",
        "shape": " + ".join(
            f"{heads}/{neurons}" for heads, neurons in zip(point.heads, point.neurons, strict=True)
        )
        + rank,
        "seconds": f"{point.train_seconds:,.0f} s",
    }


def _others(frontier: Frontier) -> list[dict[str, str]]:
    found = {"teacher": frontier.teacher, "teacher int8": frontier.teacher_int8}
    whole = frontier.teacher.score.value
    return [
        _figures(one, frontier.teacher)
        | {
            "name": name,
            "note": one.runtime,
            "kept": f"{one.score.value / whole:.1%}" if whole > 0 else "–",
            "kept_small": "",
            "shape": "",
            "seconds": "",
        }
        for name, one in found.items()
        if one is not None
    ]


def _figures(one: Performance, teacher: Performance) -> dict[str, str]:
    ms, whole_ms = one.latency_ms_p50, teacher.latency_ms_p50
    assert one.size_mb is not None
    assert one.encoder_parameters is not None
    assert teacher.size_mb is not None
    return {
        "score": f"{one.score.value:.4f}",
        "score_small": f"{one.score.low:.3f}–{one.score.high:.3f}",
        "p50": f"{ms:.2f}" if ms else "–",
        "p50_small": f"{whole_ms / ms:.1f}×" if ms and whole_ms and one is not teacher else "",
        "bulk": f"{one.texts_per_s:,.0f}" if one.texts_per_s else "–",
        "size": f"{one.size_mb:,.1f}",
        "size_small": f"{teacher.size_mb / one.size_mb:.1f}×" if one is not teacher else "",
        "encoder": f"{one.encoder_parameters / 1e6:.3f}",
    }


def _tried(point: FrontierPoint, frontier: Frontier) -> dict[str, Any]:
    """The ways to make a point, the one that got farthest first, with their losses by passes."""
    trials = [trial for trial in frontier.trials if trial.point == point.number]
    passes = sorted({trial.passes for trial in trials})
    ways: dict[tuple[int, float, bool], dict[float, FrontierTrial]] = {}
    for trial in trials:
        way = (trial.layers, trial.learning_rate, trial.compensated)
        ways.setdefault(way, {})[trial.passes] = trial
    worst = float("inf")
    rows = sorted(
        ways.items(),
        key=lambda one: (-max(one[1]), one[1][max(one[1])].validation_loss or worst),
    )
    return {
        "number": point.number,
        "passes": [f"{share:.2g}" for share in passes],
        "ways": [
            {
                "layers": layers,
                "rate": f"{rate:g}",
                "compensated": "yes" if compensated else "no",
                "losses": [_loss(told.get(share)) for share in passes],
                "chosen": any(trial.chosen for trial in told.values()),
            }
            for (layers, rate, compensated), told in rows
        ],
    }


def _loss(trial: FrontierTrial | None) -> str:
    if trial is None:
        return ""
    return "broke down" if trial.validation_loss is None else f"{trial.validation_loss:.4f}"


def _plots(frontier: Frontier) -> list[str]:
    shown = [(f"{point.number}", "student", point.served) for point in frontier.points]
    shown.append(("teacher", "teacher", frontier.teacher))
    if frontier.teacher_int8 is not None:
        shown.append(("teacher int8", "teacher", frontier.teacher_int8))
    drawn = []
    for key, title in (("p50", "p50 latency, ms (log scale)"), ("size", "size, MB (log scale)")):
        points = [
            plots.Point(name, role, cost, one.score.value, one.score.low, one.score.high, False)
            for name, role, one in shown
            if (cost := one.latency_ms_p50 if key == "p50" else one.size_mb)
        ]
        if points:
            drawn.append(
                plots.score_against(
                    points, key=key, cost_name=title, score_name=frontier.score_name
                )
            )
    return drawn
