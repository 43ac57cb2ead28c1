"""Reports as a person reads them in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from limbeck.config.catalog import METHODS
from limbeck.evaluation.frontier import Frontier
from limbeck.evaluation.report import Comparison, Export, Performance, Report
from limbeck.evaluation.words import alike, change


def print_report(report: Report, folder: Path) -> None:
    """Verdict, table of arms and exports, and where everything lies."""
    console = Console(highlight=False)
    console.print()
    console.print(_table(report))
    _print_refusals(console, report.exports)
    console.print()
    for sentence in [*report.verdict, *(f"Note: {warning}" for warning in report.warnings)]:
        console.print(textwrap.fill(sentence, min(console.width, 100)), markup=False)
        console.print()
    console.print(f"report   {folder / 'report.html'}", markup=False)
    console.print(f"student  {folder / 'student'}", markup=False)
    console.print(f"exports  {folder / 'export'}", markup=False)
    console.print(f"answer   limbeck predict {folder} texts.txt", markup=False)


def print_frontier(frontier: Frontier, folder: Path) -> None:
    """A row a point, the verdict, and where everything lies."""
    console = Console(highlight=False)
    console.print()
    table = _empty_table()
    _add(table, "teacher", frontier.teacher)
    if frontier.teacher_int8 is not None:
        _add(table, "teacher int8", frontier.teacher_int8)
    for point in frontier.points:
        _add(table, f"point {point.number} {point.served_by}", point.served)
    console.print(table)
    console.print()
    for sentence in [*frontier.verdict, *(f"Note: {warning}" for warning in frontier.warnings)]:
        console.print(textwrap.fill(sentence, min(console.width, 100)), markup=False)
        console.print()
    console.print(f"report   {folder / 'frontier.html'}", markup=False)
    console.print(f"students {folder / 'points'}", markup=False)
    console.print(f"answer   limbeck predict {folder / 'points' / 'N'} texts.txt", markup=False)


def print_exports(exports: Sequence[Export]) -> None:
    """What the gate took and what it refused."""
    console = Console(highlight=False)
    table = _empty_table()
    for export in exports:
        _add_export(table, export)
    console.print(table)
    _print_refusals(console, exports)


def print_comparison(comparison: Comparison) -> None:
    """Two models side by side."""
    console = Console(highlight=False)
    table = _empty_table()
    _add(table, "teacher", comparison.teacher)
    _add(table, "student", comparison.student)
    console.print(table)
    kept, difference = comparison.retention, comparison.difference
    name = comparison.score_name
    same = alike(comparison.agreement, f"{comparison.rows} rows", name)
    if kept is None:
        said = f"The teacher's {name} is not above 0, so nothing can be kept of it; the student"
    else:
        said = (
            f"The student keeps {kept.value:.1%} of the teacher's {name} (interval "
            f"{kept.low:.1%} to {kept.high:.1%}),"
        )
    console.print(f"{said} {change(difference, name)}, and {same}.")


def print_methods() -> None:
    """Every method with its needs, its cost and when to choose it."""
    console = Console(highlight=False)
    for method in METHODS:
        console.print(f"[bold]{method.name}[/bold]")
        for label, text in (
            ("", method.summary),
            ("needs", method.needs),
            ("costs", method.cost),
            ("choose", method.choose_when),
            *([("paper", method.paper)] if method.paper else []),
        ):
            line = textwrap.fill(
                text,
                min(console.width, 100),
                initial_indent=f"  {label:<7} ",
                subsequent_indent=" " * 10,
            )
            console.print(line, markup=False)
    console.print("\nUse one with: limbeck distill --method NAME …", markup=False)


def _table(report: Report) -> Table:
    table = _empty_table()
    if report.teacher is not None:
        _add(table, "teacher", report.teacher)
    _add(table, "student", report.student)
    for name, arm in report.arms.items():
        _add(table, name.replace("_", " "), arm)
    for export in report.exports:
        _add_export(table, export)
    return table


def _empty_table() -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("", no_wrap=True)
    for title in ("score", "±", "p50 ms", "p95 ms", "texts/s", "MB", "RAM MB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("gate", no_wrap=True)
    return table


def _add(table: Table, name: str, shown: Performance) -> None:
    _add_row(table, name, shown, "")


def _add_export(table: Table, export: Export) -> None:
    gate = "accepted" if export.accepted else "refused"
    _add_row(table, f" {export.name}", export, gate)


def _add_row(table: Table, name: str, shown: Performance | Export, gate: str) -> None:
    score = shown.score
    table.add_row(
        name,
        f"{score.value:.4f}" if score else "",
        f"{(score.high - score.low) / 2:.3f}" if score else "",
        _number(shown.latency_ms_p50, 2),
        _number(shown.latency_ms_p95, 2),
        _number(shown.texts_per_s, 0),
        _number(shown.size_mb, 1),
        _number(shown.peak_memory_mb, 0),
        gate,
        style="dim" if gate == "refused" else None,
    )


def _print_refusals(console: Console, exports: Sequence[Export]) -> None:
    for export in exports:
        if not export.accepted:
            console.print(f"{export.name} is refused: {export.reason}", markup=False)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
