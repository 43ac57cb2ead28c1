"""The report's plots as inline SVG: colors are the page's CSS variables, text is its font.

No user's text is drawn here (labels of classes stand in the page's own tables): matplotlib would
read ``$`` as mathematics and has no glyphs for most scripts.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.evaluation.labelling import Box, Place, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Stand-ins that matplotlib can draw with; `_svg` turns each into var(--name), so that one drawing
# follows the page into dark mode and onto paper.
_INK = {
    name: f"#0102{place:02x}"
    for place, name in enumerate(
        ("page", "ink", "muted", "rule", "teacher", "student", "control", "third", "fourth")
    )
}
_SERIES = ("student", "teacher", "third", "fourth", "control")
_MARKERS = {"teacher": "s", "student": "o", "control": "^"}
_FONT = 9.6
_LINE = 1.2 * _FONT
_EM = 0.58 * _FONT  # a letter's width in a wide system font
_WIDTH, _HEIGHT = 370.0, 270.0
_MOST_POINTS = 300
_SQUARE = 360.0
_HEAT = (0.24, 0.56, 0.80)


@dataclass(frozen=True)
class Point:
    """One model in a plot of score against cost.

    Attributes:
        name: The label drawn beside it.
        role: teacher, student or control: color and marker.
        cost: Horizontal position, above 0.
        score: Vertical position, with the ends of its interval in `low` and `high`.
        refused: Drawn hollow.
    """

    name: str
    role: str
    cost: float
    score: float
    low: float
    high: float
    refused: bool


def score_against(points: Sequence[Point], *, key: str, cost_name: str, score_name: str) -> str:
    """Score against a cost on a log axis, every point labelled, intervals as thin bars.

    Args:
        points: At least one.
        key: Prefix of the drawing's ids; must be unique in the page.
        cost_name: Title of the horizontal axis, with its unit.
        score_name: Title of the vertical axis.
    """
    with _axes(_WIDTH, _HEIGHT, left=42, right=8, bottom=36, top=22) as (figure, axes):
        axes.set_xscale("log")
        costs = [point.cost for point in points]
        _limit_log(axes, min(costs) / 1.5, max(costs) * 1.5)
        low, high = min(p.low for p in points), max(p.high for p in points)
        room = 0.08 * (high - low) or 0.01
        axes.set_ylim(low - room, high + room)
        for point in points:
            color = _INK[point.role]
            bar = [point.low, point.high]
            axes.plot([point.cost] * 2, bar, color=color, linewidth=0.8, alpha=0.55, zorder=1)
            axes.plot(
                [point.cost], [point.score], _MARKERS[point.role], markersize=6.5, zorder=2,
                markeredgecolor=color, markeredgewidth=1.4,
                markerfacecolor=_INK["page"] if point.refused else color,
            )  # fmt: skip
        _write_names(axes, points)
        axes.set_xlabel(cost_name)
        _headline(axes, score_name)
        names = ", ".join(f"{p.name} {p.score:.4f} at {p.cost:.3g}" for p in points)
        return _svg(figure, key, f"{score_name} against {cost_name}: {names}")


def loss_curves(log: Sequence[Mapping[str, Any]], *, key: str) -> str | None:
    """The student's loss and its unweighted terms over the steps; None if nothing was logged."""
    series: dict[str, list[tuple[float, float]]] = {}
    for line in log:
        if line.get("arm") != "student":
            continue
        for name, value in line.items():
            if name in ("loss", "hard") or name.startswith(("logits_", "hidden_")):
                series.setdefault(name, []).append((line["step"], value))
    terms = [name for name in series if name != "loss"]
    colors = {"loss": _INK["ink"]}
    colors |= {name: _INK[_SERIES[place % len(_SERIES)]] for place, name in enumerate(terms)}
    return _curves(series, colors, key=key, title="loss terms", marked=False)


def validation_curves(log: Sequence[Mapping[str, Any]], *, key: str) -> str | None:
    """Validation score of student and control, the best look ringed; None if there was none."""
    series: dict[str, list[tuple[float, float]]] = {}
    for line in log:
        if line.get("arm") in ("student", "control") and "validation_score" in line:
            series.setdefault(line["arm"], []).append((line["step"], line["validation_score"]))
    colors = {arm: _INK[arm] for arm in series}
    return _curves(series, colors, key=key, title="validation score", marked=True)


def heat_map(shares: np.ndarray, *, key: str) -> str:
    """A matrix too large for numbers, as an image of one pixel a cell.

    Args:
        shares: [labels, answers], 0 to 1; shown as opacity.
        key: Prefix of the drawing's ids.
    """
    image = np.empty((*shares.shape, 4))
    image[..., :3], image[..., 3] = _HEAT, shares
    with _axes(_SQUARE, _SQUARE, left=20, right=2, bottom=20, top=2) as (figure, axes):
        # Alpha 0 must stay clear: the page's own background shows through.
        axes.imshow(image, interpolation="none", aspect="equal", extent=(0, 1, 1, 0))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        axes.set_xlabel("answered")
        axes.set_ylabel("label")
        return _svg(figure, key, f"confusion matrix of {len(shares)} classes")


def _write_names(axes: Axes, points: Sequence[Point]) -> None:
    def at(cost: float, score: float) -> tuple[float, float]:
        x, y = axes.transData.transform((cost, score))
        return float(x), float(y)

    anchors = [at(point.cost, point.score) for point in points]
    bars = [
        Box(x - 1, at(point.cost, point.low)[1], x + 1, at(point.cost, point.high)[1])
        for point, (x, _) in zip(points, anchors, strict=True)
    ]
    labels = {
        index: textwrap.wrap(name, 18, break_long_words=False, break_on_hyphens=False)
        for index, name in _joined_names(points, anchors).items()
    }
    places = place_labels(
        [anchors[index] for index in labels],
        [(_EM * max(map(len, lines)), _LINE * len(lines)) for lines in labels.values()],
        bars,
        Box(*axes.bbox.extents),
    )
    for (index, lines), place in zip(labels.items(), places, strict=True):
        _write_name(axes, points[index], lines, place)


def _write_name(axes: Axes, point: Point, lines: Sequence[str], place: Place) -> None:
    leader = {
        "arrowstyle": "-", "color": _INK[point.role], "linewidth": 0.6, "alpha": 0.7,
        "shrinkA": 0, "shrinkB": 4, "relpos": ((1 - place.side) / 2, 0.5),
    }  # fmt: skip
    for number, line in enumerate(lines):
        axes.annotate(
            line,
            (point.cost, point.score),
            (place.dx, place.dy + _LINE * ((len(lines) - 1) / 2 - number)),
            textcoords="offset points",
            ha={-1: "right", 0: "center", 1: "left"}[place.side],
            va="center",
            color=_INK[point.role],
            arrowprops=leader if place.far and not number else None,
        )


def _joined_names(
    points: Sequence[Point], anchors: Sequence[tuple[float, float]]
) -> dict[int, str]:
    """Labels by the place of their point; points that lie on one another share one."""
    names: dict[int, str] = {}
    for place, point in enumerate(points):
        for other in names:
            alike = (point.role, point.refused) == (points[other].role, points[other].refused)
            if alike and math.dist(anchors[place], anchors[other]) < 3:
                names[other] += f", {point.name}"
                break
        else:
            names[place] = point.name
    return names


def _curves(
    series: Mapping[str, Sequence[tuple[float, float]]],
    colors: Mapping[str, str],
    *,
    key: str,
    title: str,
    marked: bool,
) -> str | None:
    lines = {name: _thinned(points) for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if len(points)}
    if not lines:
        return None
    room = 12 + _EM * max(map(len, lines))
    with _axes(_WIDTH, _HEIGHT, left=42, right=room, bottom=36, top=22) as (figure, axes):
        _limit_values(axes, np.concatenate(list(lines.values())), from_zero=not marked)
        for name, points in lines.items():
            dots = "o" if marked or len(points) < 3 else ""
            axes.plot(*points.T, color=colors[name], linewidth=1.4, marker=dots, markersize=3.2)
            if marked:
                best = points[points[:, 1].argmax()]
                axes.plot(*best, "o", markersize=9, markerfacecolor="none", color=colors[name])
        ends = {name: float(axes.transData.transform(p[-1])[1]) for name, p in lines.items()}
        for name, y in _spread(ends, 1.25 * _FONT, axes.bbox.y0, axes.bbox.y1).items():
            axes.text(axes.bbox.x1 + 6, y, name, transform=None, va="center", color=colors[name])
        axes.set_xlabel("step")
        _headline(axes, title)
        told = ", ".join(f"{name} ends at {points[-1][1]:.4g}" for name, points in lines.items())
        return _svg(figure, key, f"{title} over steps: {told}")


def _thinned(points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Finite points [points, 2]; means of neighbours where there are more than one can see."""
    array = np.array(points, dtype=float).reshape(-1, 2)
    array = array[np.isfinite(array).all(axis=1)]
    if len(array) <= _MOST_POINTS:
        return array
    return np.stack([part.mean(axis=0) for part in np.array_split(array, _MOST_POINTS)])


def _limit_values(axes: Axes, points: np.ndarray, *, from_zero: bool) -> None:
    steps, values = points.T
    axes.set_xlim(0 if from_zero else 0.95 * steps.min(), steps.max() * 1.02 or 1)
    low, high = float(values.min()), float(values.max())
    if from_zero and low > 0 and high > 20 * low:
        axes.set_yscale("log")
        _limit_log(axes, low / 1.2, high * 1.2, axis="y")
        return
    room = 0.08 * (high - low) or 0.01
    axes.set_ylim(min(0.0, low) if from_zero else low - room, high + room)


def _limit_log(axes: Axes, low: float, high: float, *, axis: str = "x") -> None:
    """Limits, and ticks in plain numbers: 1-2-5, more where the range is short, less where long."""
    span = math.log10(high / low)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 1.5, 2, 3, 4, 5, 7) if span < 0.9 else (1, 2, 5) if span < 2.6 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high] or [math.sqrt(low * high)]
    names = [f"{tick:,.0f}" if tick >= 20 else f"{tick:.3g}" for tick in ticks]
    (axes.set_xlim if axis == "x" else axes.set_ylim)(low, high)
    (axes.set_xticks if axis == "x" else axes.set_yticks)(ticks, names)
    axes.minorticks_off()


def _spread(wanted: Mapping[str, float], gap: float, low: float, high: float) -> dict[str, float]:
    """The wanted heights, moved apart by at least `gap` and kept within the ends."""
    names = sorted(wanted, key=wanted.__getitem__)
    heights: list[float] = []
    for name in names:
        heights.append(max(wanted[name], heights[-1] + gap if heights else low))
    top = high
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], top)
        top = heights[place] - gap
    return dict(zip(names, heights, strict=True))


@contextmanager
def _axes(
    width: float, height: float, *, left: float, right: float, bottom: float, top: float
) -> Iterator[tuple[Figure, Axes]]:
    """One pair of axes with margins in points, under our settings and no one else's."""
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "limbeck", "text.parse_math": False,
        "font.family": "DejaVu Sans", "font.size": _FONT, "axes.unicode_minus": True,
        "axes.edgecolor": _INK["rule"], "axes.labelcolor": _INK["muted"],
        "axes.spines.left": False, "axes.spines.right": False, "axes.spines.top": False,
        "axes.grid": True, "grid.color": _INK["rule"], "grid.linewidth": 0.6,
        "axes.axisbelow": True, "xtick.color": _INK["muted"], "ytick.color": _INK["muted"],
        "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
        "path.simplify": False,
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        axes = figure.add_axes(
            (
                left / width,
                bottom / height,
                (width - left - right) / width,
                (height - bottom - top) / height,
            )
        )
        axes.patch.set_visible(False)
        yield figure, axes


def _headline(axes: Axes, text: str) -> None:
    """The vertical axis' title, above it and level: easier to read than one turned by 90°."""
    axes.text(0, axes.figure.bbox.height - 4, text, transform=None, va="top", color=_INK["muted"])


def _svg(figure: Figure, key: str, description: str) -> str:
    """The figure as an <svg> element that can stand in a page beside others."""
    from markupsafe import escape

    stream = io.StringIO()
    figure.savefig(
        stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    text = stream.getvalue()
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    body = text[text.index(">", box.end()) + 1 :]
    # A style element would speak to the whole page, and names of groups are nobody's business.
    for dropped in (r"<defs>\s*<style.*?</style>\s*</defs>", r"<metadata>.*?</metadata>"):
        body = re.sub(dropped, "", body, flags=re.DOTALL)
    body = re.sub(r'(<g) id="[^"]*"', r"\1", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r" font-family: [^;\"]*;", "", body)
    body = re.sub(r'\bid="', f'id="{key}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", body)
    body = re.sub(r"\n\s*", "\n", body)
    text = f'<svg {box[0]} role="img" aria-label="{escape(description)}">{body}'
    for name, stand_in in _INK.items():
        text = text.replace(stand_in, f"var(--{name})")
    return text
