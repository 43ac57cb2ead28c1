"""Whether a run met the budget that its student was made for, and by how much it did not."""

from __future__ import annotations

from dataclasses import dataclass

from limbeck.config.budget import Budget, parse_budget
from limbeck.evaluation.report import Export, Report


@dataclass(frozen=True)
class Judged:
    """An accepted export against a budget.

    Attributes:
        export: Which one.
        excess: By which factor each limit is missed; above 1 it is.
    """

    export: Export
    excess: dict[str, float]

    @property
    def worst(self) -> float:
        """The largest of these factors."""
        return max(self.excess.values(), default=0.0)


def budget_of(report: Report) -> Budget | None:
    """The budget of a report's recipe, or None where there is none."""
    written = report.recipe.get("student", {}).get("budget")
    return None if written is None else parse_budget(written, where="student.budget")


def nearest_to_budget(report: Report, budget: Budget) -> Judged | None:
    """The fastest accepted export that meets the budget, else the one that misses it least.

    None where none was accepted.
    """
    judged = [Judged(one, _excess(report, one, budget)) for one in report.exports if one.accepted]
    met = [one for one in judged if one.worst <= 1]
    if met:
        return min(met, key=lambda one: one.export.latency_ms_p50 or float("inf"))
    return min(judged, key=lambda one: one.worst, default=None)


def budget_sentence(report: Report) -> str | None:
    """The budget, what was predicted, what was measured, met or missed; None without a budget."""
    budget = budget_of(report)
    if budget is None:
        return None
    said = f"The budget was {budget.in_words()}{_planned(report)}."
    nearest = nearest_to_budget(report, budget)
    if nearest is None:
        return f"{said} It is missed: no export was accepted."
    measured = f"{nearest.export.name} {_figures(nearest.export)}"
    missed = {name: factor for name, factor in nearest.excess.items() if factor > 1}
    if not missed:
        kept = _kept(report, nearest.export, budget)
        return f"{said} It is met: {measured}{kept}."
    by = " and ".join(f"{name} by {factor - 1:.1%}" for name, factor in missed.items())
    return f"{said} It is missed: {measured}, which misses {by}. {_remedy(budget, missed)}"


def _excess(report: Report, export: Export, budget: Budget) -> dict[str, float]:
    assert export.latency_ms_p50 is not None
    assert export.texts_per_s is not None
    assert export.size_mb is not None
    teacher, found = report.teacher, {}
    assert teacher is not None  # a black box is refused with a budget
    assert teacher.size_mb is not None
    if budget.latency_ms is not None:
        found["latency"] = export.latency_ms_p50 / budget.latency_ms
    if budget.speedup is not None and teacher.latency_ms_p50 is not None:
        found["speedup"] = budget.speedup * export.latency_ms_p50 / teacher.latency_ms_p50
    if budget.size_mb is not None:
        found["size"] = export.size_mb / budget.size_mb
    if budget.smaller is not None:
        found["smaller"] = budget.smaller * export.size_mb / teacher.size_mb
    if budget.texts_per_s is not None:
        found["throughput"] = budget.texts_per_s / export.texts_per_s
    retention = _retention(report, export)
    if budget.retention is not None and retention is not None:
        found["retention"] = budget.retention / retention if retention > 0 else float("inf")
    return found


def _retention(report: Report, export: Export) -> float | None:
    whole = report.teacher.score.value if report.teacher is not None else 0.0
    return export.score.value / whole if export.score is not None and whole > 0 else None


def _planned(report: Report) -> str:
    planned = report.recipe["student"].get("planned")
    if planned is None:
        return ""
    return (
        f", planned for {planned['runtime']} with {planned['latency_ms']:.2f} ms, "
        f"{planned['texts_per_s']:,.0f} texts/s and {planned['size_mb']:.1f} MB"
    )


def _figures(export: Export) -> str:
    return (
        f"answers in {export.latency_ms_p50:.2f} ms, {export.texts_per_s:,.0f} texts/s, and has "
        f"{export.size_mb:.1f} MB"
    )


def _kept(report: Report, export: Export, budget: Budget) -> str:
    retention = _retention(report, export)
    if budget.retention is None or retention is None:
        return ""
    return f", and keeps {retention:.1%} of the teacher's score"


def _remedy(budget: Budget, missed: dict[str, float]) -> str:
    """The budget to ask for instead, so that this one is met."""
    fields = {"latency": "latency_ms", "speedup": "speedup", "size": "size_mb",
              "smaller": "smaller", "throughput": "texts_per_s"}  # fmt: skip
    values = {field: getattr(budget, field) for field in vars(budget)}
    for name, factor in missed.items():
        if name in fields:
            up = name in ("speedup", "smaller", "throughput")
            values[fields[name]] *= 1.02 * factor if up else 1 / (1.02 * factor)
    if set(missed) == {"retention"}:
        more = (
            "More layers (student.layers)"
            if budget == Budget(retention=budget.retention)
            else "A larger budget"
        )
        return f"{more}, more unlabelled texts or longer training would keep more."
    asked = Budget(**{**values, "retention": budget.retention}).in_words()
    return (
        f'To meet it, run with the budget "{asked}" in a new folder: the student is planned '
        "smaller by what was missed, and the teacher is not asked again."
    )
