"""Budgets that cannot be met, and by how much."""

from __future__ import annotations

from typing import NoReturn

from limbeck.budget.search import Candidate, Limits, Space, least
from limbeck.config.budget import Budget
from limbeck.config.student import StudentConfig
from limbeck.errors import RecipeError

_WHERE = "student.budget"


def refuse_retention(budget: Budget) -> None:
    """Refuse a budget of nothing but retention: only trained students say what is kept.

    Raises:
        RecipeError: For ``retention>=…`` without a limit on time or size.
    """
    if budget == Budget(retention=budget.retention):
        raise RecipeError(
            _WHERE,
            f"{budget.in_words()} limits neither time nor size, and what a structure keeps is not "
            "known before it is trained",
            "`limbeck distill` with this budget trains smaller and smaller students and takes the "
            "smallest that holds it. To plan, add a limit, such as latency<=1ms or size<=10MB.",
        )


def refuse_impossible(
    space: Space, aim: Limits, limits: Limits, budget: Budget, wanted: StudentConfig
) -> NoReturn:
    """Say what the nearest to a budget is.

    Args:
        space: What was searched.
        aim: The limits that a plan holds to.
        limits: The user's.
        budget: In whose words they are told.
        wanted: What the recipe fixed.

    Raises:
        RecipeError: Always.
    """
    smallest = least(space)
    one = smallest[0].structure
    what = f"the smallest structure ({one.in_words()}, {one.vocabulary:,} tokens)"
    missed = [*_too_slow(smallest, aim), *_too_large(space, smallest, aim)]
    if missed:
        found = f"{what} {' and '.join(missed)}"
    else:
        each = "; ".join(f"{c.runtime}: {_figures(c)}" for c in smallest)
        found = f"no one export meets all of it, not even with {what}: {each}"
    raise RecipeError(
        _WHERE,
        f"{budget.in_words()} cannot be met here: {found}",
        f"Ask for {_nearest(smallest, limits)}{_loosened(wanted)}.",
    )


def _too_slow(smallest: list[Candidate], aim: Limits) -> list[str]:
    said = []
    fastest = min(smallest, key=lambda one: one.latency_ms)
    if aim.latency_ms is not None and fastest.latency_ms > aim.latency_ms:
        said.append(f"answers in {fastest.latency_ms:.2f} ms at best, as {fastest.runtime}")
    most = max(smallest, key=lambda one: one.texts_per_s)
    if aim.texts_per_s is not None and most.texts_per_s < aim.texts_per_s:
        said.append(f"answers {most.texts_per_s:,.0f} texts a second at best, as {most.runtime}")
    return said


def _too_large(space: Space, smallest: list[Candidate], aim: Limits) -> list[str]:
    one = min(smallest, key=lambda candidate: candidate.size_mb)
    if aim.size_mb is None or one.size_mb <= aim.size_mb:
        return []
    words = space.costs[one.runtime].size[1] * one.structure.vocabulary
    return [f"has {one.size_mb:.1f} MB as {one.runtime}, {words:.1f} MB of them its vocabulary"]


def _nearest(smallest: list[Candidate], limits: Limits) -> str:
    """What the export that comes nearest could meet, with a little room."""

    def worst(one: Candidate) -> float:
        return max(limits.excess(one.latency_ms, one.texts_per_s, one.size_mb).values())

    one = min(smallest, key=worst)
    parts = []
    if limits.latency_ms is not None:
        parts.append(f"latency<={max(limits.latency_ms, 1.1 * one.latency_ms):.3g}ms")
    if limits.texts_per_s is not None:
        parts.append(f"throughput>={min(limits.texts_per_s, one.texts_per_s / 1.1):.3g}/s")
    if limits.size_mb is not None:
        parts.append(f"size<={max(limits.size_mb, 1.01 * one.size_mb):.3g}MB")
    return " ".join(parts)


def _loosened(wanted: StudentConfig) -> str:
    """What the user fixed that stands in the way."""
    fixed = []
    if wanted.layers is not None or wanted.from_layers is not None:
        fixed.append("student.layers (or from)")
    if wanted.vocabulary == "full" and "vocabulary" in wanted.model_fields_set:
        fixed.append("student.vocabulary: full")
    if wanted.budget_runtime != "auto":
        fixed.append("student.budget_runtime")
    return f", or leave out {' and '.join(fixed)}" if fixed else " or more"


def _figures(one: Candidate) -> str:
    return f"{one.latency_ms:.2f} ms, {one.texts_per_s:,.0f} texts/s, {one.size_mb:.1f} MB"
