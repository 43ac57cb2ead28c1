"""report.html: one file that opens anywhere and shows what report.json says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from limbeck.evaluation import plots
from limbeck.evaluation.report import Export, Performance, Report, Span
from limbeck.evaluation.templates import environment
from limbeck.evaluation.words import amount, is_share, signed

_DASH = "–"
_MANY_CLASSES = 20
_WORST_CLASSES = 15
_MOST_TABLE_CLASSES = 40
_SHOWN_DISAGREEMENTS = 8
_TEXT_LENGTH = 600
_ARM_NOTES = {
    "control": "the same student, labels alone",
    "own_texts": "the same student, no added texts",
    "teacher_int8": "the teacher's own int8 export",
}
_THE = {
    "teacher": "the teacher",
    "control": "the control arm, the same student trained on the labels alone",
    "own_texts": "the same student taught without the added texts",
    "teacher_int8": "the teacher's own int8 export",
}


@dataclass(frozen=True)
class _Model:
    """A row of the table of models; `figures` and `small` are keyed by column."""

    name: str
    note: str
    role: str
    refused: str
    figures: Mapping[str, float | None]
    span: Span | None
    small: Mapping[str, str]


@dataclass(frozen=True)
class _Column:
    """A column of that table; `better` is 1 where more is better, -1 where less, else 0."""

    key: str
    title: str
    unit: str
    show: Callable[[float], str]
    better: int


@dataclass(frozen=True)
class _Cell:
    value: str
    small: str
    best: bool


def render_page(report: Report, log: Sequence[Mapping[str, Any]]) -> str:
    """The report as one HTML file: no script, nothing loaded, the same bytes every time.

    Args:
        report: What was measured.
        log: The lines of log.jsonl, those of all arms; may be empty.
    """
    models = _models(report)
    arms = [name for name, facts in report.training.items() if isinstance(facts, Mapping)]
    page = (
        environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            output=str(report.recipe.get("output", "student")),
            subtitle=_subtitle(report),
            columns=_COLUMNS,
            rows=[(model, _cells(model, models)) for model in models],
            cost_plots=_cost_plots(models, report.score_name),
            loss_plot=plots.loss_curves(log, key="loss"),
            validation_plot=plots.validation_curves(log, key="validation"),
            training_arms=arms,
            training_keys=[key for key in report.training[arms[0]] if key != "notes"]
            if arms
            else [],
            training_notes=_notes(report.training, arms),
            classes=_classes(report),
            confusion=_confusion(report.student),
            shown_disagreements=_SHOWN_DISAGREEMENTS,
            text_length=_TEXT_LENGTH,
            differences=[
                _difference(key, span, report) for key, span in report.differences.items()
            ],
            recipe=yaml.safe_dump(
                report.model_dump(mode="json")["recipe"], sort_keys=False, allow_unicode=True
            ),
        )
    )
    return page.strip() + "\n"


def _subtitle(report: Report) -> str:
    teacher, method = report.recipe.get("teacher"), report.recipe.get("method")
    path = teacher.get("path") if isinstance(teacher, Mapping) else teacher
    answers = teacher.get("answers") if isinstance(teacher, Mapping) else None
    path = (answers.get("train") or path) if isinstance(answers, Mapping) else path
    parts = [f"distilled from {path}" if path else "", f"method {method}" if method else ""]
    rows = report.data.get("test_rows")
    parts.append(f"{rows:,} test rows" if isinstance(rows, int) else "")
    evaluation = report.recipe.get("evaluation")
    if isinstance(evaluation, Mapping) and "confidence" in evaluation:
        parts.append(f"{100 * evaluation['confidence']:.4g}% intervals")
    return " · ".join(part for part in parts if part)


# The table of models


def _models(report: Report) -> list[_Model]:
    arms = dict(report.arms)
    models = [] if report.teacher is None else [_of_arm("teacher", report.teacher, report)]
    models.append(_of_arm("student", report.student, report))
    models += [_of_arm(name, arms.pop(name), report) for name in _ARM_NOTES if name in arms]
    models += [_of_arm(name, arm, report) for name, arm in arms.items()]
    return models + [_of_export(export, report) for export in report.exports]


def _of_arm(name: str, arm: Performance, report: Report) -> _Model:
    small = {"score": _interval(arm.score)}
    kept = _kept(arm.score, report)
    if name == "student" and report.retention is not None:
        kept, small["kept"] = report.retention.value, _interval(report.retention, percent=True)
    return _Model(
        name=name,
        note=_ARM_NOTES.get(name) or ", ".join([arm.runtime, *_merits(name, report)]),
        role=_role(name),
        refused="",
        span=arm.score,
        figures={
            "score": arm.score.value,
            "kept": kept,
            "agreement": arm.agreement,
            "p50": arm.latency_ms_p50,
            "p95": arm.latency_ms_p95,
            "texts_per_s": arm.texts_per_s,
            "size": arm.size_mb,
            "memory": arm.peak_memory_mb,
            "parameters": arm.parameters,
            "training": arm.train_seconds,
        },
        small=small | (_times(arm, report.teacher) if name != "teacher" else {}),
    )


def _role(name: str) -> str:
    if "teacher" in name:
        return "teacher"
    return "control" if name in ("control", "own_texts") else "student"


def _of_export(export: Export, report: Report) -> _Model:
    small = {"score": _interval(export.score)} if export.score else {}
    if export.flips is not None:
        small["agreement"] = f"{export.flips:,} flip{'' if export.flips == 1 else 's'}"
    note = ", ".join(_merits(export.name, report)) or "accepted"
    return _Model(
        name=export.name,
        note=note if export.accepted else "refused",
        role="student",
        refused="" if export.accepted else export.reason.rstrip(". ") or "no reason was given",
        span=export.score,
        figures={
            "score": export.score.value if export.score else None,
            "kept": _kept(export.score, report) if export.score else None,
            "agreement": None,
            "p50": export.latency_ms_p50,
            "p95": export.latency_ms_p95,
            "texts_per_s": export.texts_per_s,
            "size": export.size_mb,
            "memory": export.peak_memory_mb,
            "parameters": export.parameters,
            "training": None,
        },
        small=small | _times(export, report.teacher),
    )


def _merits(name: str, report: Report) -> list[str]:
    """What a model is chosen for; the student in transformers serves where no export is."""
    single, bulk = report.best_single or "student", report.best_bulk or "student"
    return ["fastest single"] * (name == single) + ["fastest in bulk"] * (name == bulk)


def _kept(score: Span, report: Report) -> float | None:
    """A score over the teacher's, where that is known and above 0."""
    whole = report.teacher.score.value if report.teacher is not None else 0.0
    return score.value / whole if whole > 0 else None


def _times(one: Performance | Export, teacher: Performance | None) -> dict[str, str]:
    """How many times better than the teacher, by column."""
    if teacher is None:
        return {}
    ratios = {
        "p50": _ratio(teacher.latency_ms_p50, one.latency_ms_p50),
        "p95": _ratio(teacher.latency_ms_p95, one.latency_ms_p95),
        "texts_per_s": _ratio(one.texts_per_s, teacher.texts_per_s),
        "size": _ratio(teacher.size_mb, one.size_mb),
        "memory": _ratio(teacher.peak_memory_mb, one.peak_memory_mb),
        "parameters": _ratio(teacher.parameters, one.parameters),
    }
    return {key: ratio for key, ratio in ratios.items() if ratio}


def _ratio(over: float | None, under: float | None) -> str:
    if not over or not under:
        return ""
    times = over / under
    return f"{times:.0f}×" if times >= 9.95 else f"{times:.{1 if times >= 0.95 else 2}f}×"


def _cells(model: _Model, models: Sequence[_Model]) -> list[_Cell]:
    return [_cell(column, model, models) for column in _COLUMNS]


def _cell(column: _Column, model: _Model, models: Sequence[_Model]) -> _Cell:
    figure = model.figures[column.key]
    small = model.small.get(column.key, "")
    if figure is None:
        return _Cell(_DASH, small, best=False)
    shown = column.show(figure)
    return _Cell(shown, small, best=shown in _best(column, models) and _competes(model))


def _best(column: _Column, models: Sequence[_Model]) -> set[str]:
    """The column's best figure as it is shown; none if most of the models share it."""
    figures = [model.figures[column.key] for model in models if _competes(model)]
    known = [figure for figure in figures if figure is not None]
    if not column.better or len(known) < 2:
        return set()
    best = column.show(max(known, key=lambda figure: column.better * figure))
    sharing = sum(column.show(figure) == best for figure in known)
    return {best} if 2 * sharing <= len(known) else set()


def _competes(model: _Model) -> bool:
    """Whether a model's figures can be the best: the teacher is the measure, not a contender."""
    return model.name != "teacher" and not model.refused


def _millions(count: float) -> str:
    return f"{count / 1e6:.1f}" if count >= 1e6 else f"{count / 1e6:.3f}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


_COLUMNS = (
    _Column("score", "Score", "", "{:.4f}".format, 1),
    _Column("kept", "Kept", "of teacher", "{:.1%}".format, 1),
    _Column("agreement", "Agreement", "with teacher", "{:.1%}".format, 1),
    _Column("p50", "p50", "ms", "{:,.2f}".format, -1),
    _Column("p95", "p95", "ms", "{:,.2f}".format, -1),
    _Column("texts_per_s", "In bulk", "texts/s", "{:,.0f}".format, 1),
    _Column("size", "Size", "MB", "{:,.1f}".format, -1),
    _Column("memory", "Memory", "peak MB", "{:,.0f}".format, -1),
    _Column("parameters", "Parameters", "million", _millions, -1),
    _Column("training", "Training", "time", _duration, 0),
)


# Plots


def _cost_plots(models: Sequence[_Model], score_name: str) -> list[str]:
    """Score against p50 and against size, without what was not measured."""
    drawn = []
    for key, title in (("p50", "p50 latency, ms (log scale)"), ("size", "size, MB (log scale)")):
        points = [
            plots.Point(
                model.name, model.role, cost, model.span.value, model.span.low, model.span.high,
                refused=bool(model.refused),
            )
            for model in models
            if (cost := model.figures[key]) and model.span
        ]  # fmt: skip
        if points:
            drawn.append(
                plots.score_against(points, key=key, cost_name=title, score_name=score_name)
            )
    return drawn


# Classes


def _classes(report: Report) -> dict[str, Any]:
    """Rows of the table of classes: in class order, or the worst where there are many."""
    student = report.student.per_class
    teacher = report.teacher.per_class if report.teacher is not None else {}
    names = list(student)
    if len(names) > _MANY_CLASSES:
        names = sorted(names, key=lambda name: student[name].get("f1", 0.0))[:_WORST_CLASSES]
    return {
        "total": len(student),
        "rows": [(name, student[name], teacher.get(name, {}).get("f1")) for name in names],
    }


def _confusion(student: Performance) -> dict[str, Any]:
    """The confusion matrix as a table of shaded cells, or as an image where it is too large."""
    if not student.confusion:
        return {"names": [], "image": None, "cells": [], "frequent": []}
    counts = np.array(student.confusion, dtype=float).reshape(len(student.confusion), -1)
    names = list(student.per_class)
    if len(names) != len(counts):
        names = [str(place) for place in range(1, len(counts) + 1)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root lets an error of a few percent be seen beside a diagonal near 100 %.
    shades = np.sqrt(shares)
    large = len(counts) > _MOST_TABLE_CLASSES
    cells = [
        [(f"{count:,.0f}", share, f"{shade:.2f}") for count, share, shade in zip(*row, strict=True)]
        for row in zip(counts, shares, shades, strict=True)
    ]
    wrong = np.argwhere((counts > 0) & ~np.eye(len(counts), dtype=bool))
    wrong = sorted(map(tuple, wrong), key=lambda cell: (-counts[cell], cell))[:10]
    return {
        "names": names,
        "numbered": len(names) > 6 or max(map(len, names), default=0) > 24,
        "figures": len(counts) <= _MANY_CLASSES,
        "cells": [] if large else cells,
        "image": plots.heat_map(shades, key="confusion") if large else None,
        "frequent": [
            (names[row], names[column], int(counts[row, column]), shares[row, column])
            for row, column in wrong
        ]
        if len(counts) > _MANY_CLASSES
        else [],
    }


# Words


def _notes(training: Mapping[str, Any], arms: Sequence[str]) -> dict[str, list[str]]:
    """What there is to say of how an arm was made, with the arms that it holds for."""
    notes: dict[str, list[str]] = {}
    for arm in arms:
        for note in training[arm].get("notes") or ():
            notes.setdefault(str(note).rstrip("."), []).append(arm)
    return notes


def _difference(key: str, span: Span, report: Report) -> tuple[str, str]:
    """A paired difference as a sentence, and what its interval allows to say."""
    one, _, other = key.partition("_minus_")
    points, name = amount(span.value, report.score_name), report.score_name
    than = _THE.get(other, other.replace("_", " "))
    same = not float(points.split()[0])
    compared = "the same as" if same else (
        f"{points} {'more' if span.value > 0 else 'less'} than"
    )  # fmt: skip
    sentence = (
        f"The {one.replace('_', ' ')} scores {compared} {than} "
        f"(interval {_signed(span.low, name)} to {_signed(span.high, name)} "
        f"{'points ' if is_share(name) else ''}of {name})."
    )
    if span.low > 0 or span.high < 0:
        return sentence, "The interval excludes 0."
    return sentence, "The interval includes 0: these rows do not tell the two apart."


def _signed(value: float, score_name: str) -> str:
    return signed(value, score_name).replace("-", "−")


def _interval(span: Span, *, percent: bool = False) -> str:
    if percent:
        return f"{100 * span.low:.1f}–{100 * span.high:.1f}"
    return f"{span.low:.3f}–{span.high:.3f}"
