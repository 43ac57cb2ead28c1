"""A planned budget in words: what `limbeck plan` prints, 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from limbeck.budget.search import Candidate
from limbeck.run.budget import HEADROOM, BudgetPlan

_WIDTH = 80


def plan_lines(plan: BudgetPlan) -> list[str]:
    """The budget, what the table says of this machine, the structure, its rivals, and what to do.

    Figures of the chosen structure are measured on a random model of it, those of the others are
    the table's predictions.
    """
    table, whole = plan.table, plan.whole
    lines = [
        *_entry("budget", plan.budget.in_words() + _absolute(plan)),
        *_entry(
            "teacher",
            f"{whole.layers} layers, {whole.heads} heads, {whole.neurons:,} neurons, "
            f"{whole.vocabulary:,} tokens: {table.teacher_ms:.2f} ms in transformers, "
            f"{plan.teacher_mb:.1f} MB in float32",
        ),
        *_entry("machine", _errors(plan)),
        "",
    ]
    rows = [_row(plan.chosen, "")] if plan.needs_cut else []
    rows += [_row(one, "") for one in plan.others]
    rows += [_row(one, "teacher") for one in plan.teacher]
    header = ("layers", "heads", "neurons", "tokens", "runtime", "ms", "texts/s", "MB", "keeps")
    lines += _aligned([header, *rows], marked=1 if plan.needs_cut else None)
    lines += ["", *textwrap.wrap(_advice(plan), _WIDTH)]
    return lines


def _entry(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)


def _absolute(plan: BudgetPlan) -> str:
    """The limits that the user wrote as ratios, in numbers."""
    said = []
    if plan.budget.speedup is not None:
        said.append(f"{plan.table.teacher_ms / plan.budget.speedup:.2f} ms")
    if plan.budget.smaller is not None:
        said.append(f"{plan.teacher_mb / plan.budget.smaller:.1f} MB")
    return f" ({', '.join(said)})" if said else ""


def _errors(plan: BudgetPlan) -> str:
    table = plan.table
    errors = ", ".join(f"{name} {costs.single_error:.0%}" for name, costs in table.costs.items())
    failed = "".join(f"; no {name}: {why}" for name, why in table.failures.items())
    return (
        f"single texts of {table.length} tokens; predictions of structures that were not fitted "
        f"to are off by {errors}{failed}"
    )


def _row(one: Candidate, keeps: str) -> tuple[str, ...]:
    shape = one.structure
    return (
        str(shape.layers),
        str(shape.heads),
        f"{shape.neurons:,}",
        f"{shape.vocabulary:,}",
        one.runtime,
        f"{one.latency_ms:.2f}",
        f"{one.texts_per_s:,.0f}",
        f"{one.size_mb:.1f}",
        keeps or f"{1 - one.loss:.1%}",
    )


def _aligned(rows: Sequence[tuple[str, ...]], *, marked: int | None) -> list[str]:
    """The rows in columns, as far apart as 80 columns let them be."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    room = "  " if sum(widths) + 2 * len(widths) <= _WIDTH else " "
    return [
        ("* " if number == marked else "  ")
        + room.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for number, row in enumerate(rows)
    ]


def _advice(plan: BudgetPlan) -> str:
    one = plan.chosen
    if not plan.needs_cut:
        return (
            f"No cut is needed: the teacher's own {one.runtime} export meets the budget by "
            f"prediction. Make it with: limbeck export --model TEACHER --test TEST --output FOLDER"
        )
    trimmed = one.structure.vocabulary < plan.whole.vocabulary
    student = plan.student()
    keys = [f"layers={student.layers}"]
    if student.pruning.heads is not None:
        keys.append(f"pruning.heads={student.pruning.heads}")
    if student.pruning.neurons is not None:
        keys.append(f"pruning.neurons={student.pruning.neurons}")
    keys += ["vocabulary=trim"] if trimmed else []
    tokens = f", with {one.structure.vocabulary:,} tokens" if trimmed else ""
    return (
        f"distill --budget makes the student behind *{tokens}; its time and size were measured on "
        f"a random model of that structure, with {HEADROOM:.0%} of the time left free. keeps is a "
        "guess from experiments with other texts (docs/budgets.md): it ranks, it does not "
        f'promise. The same by hand: --student "{" ".join(keys)}"'
    )
