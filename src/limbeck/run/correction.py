"""A run whose student missed its budget prunes on from it, by what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from limbeck.budget.search import Slack, Space, best_of_each, limits_of, tightened
from limbeck.budget.structure import Structure
from limbeck.budget.table import Predicted
from limbeck.config.budget import parse_budget
from limbeck.config.recipe import Recipe
from limbeck.config.student import CutConfig, PlannedConfig
from limbeck.evaluation.budget import nearest_to_budget
from limbeck.evaluation.report import Export, Report
from limbeck.progress import say
from limbeck.run.budget import HEADROOM, in_words, runtimes_of, table_of
from limbeck.run.mold import mold_of
from limbeck.run.online import learns_along
from limbeck.run.plan import Plan
from limbeck.teacher.family import layer_count


def corrected(recipe: Recipe, plan: Plan, report: Report, *, cache: Path) -> Recipe | None:
    """The recipe with one more cut, or None where the budget is met or nothing more can be cut.

    The accepted exports tell by how much predictions are off for this very student; the search
    goes on below what it has, its layers and vocabulary as they are.

    Args:
        recipe: The run's, settled.
        plan: The run's.
        report: What was measured.
        cache: Where token ids are kept.
    """
    student, planned = recipe.student, recipe.student.planned
    if student.budget is None or planned is None or not planned.corrections:
        return None
    budget = parse_budget(student.budget, where="student.budget")
    limited = replace(budget, retention=None)
    nearest = nearest_to_budget(report, limited)
    if nearest is None or nearest.worst <= 1 or learns_along(recipe):
        return None
    mold = mold_of(recipe, plan.teacher, plan.task, plan.material, cache)
    table, _ = table_of(recipe, mold, runtimes_of(student, plan.teacher))
    assert report.teacher is not None  # a black box is refused with a budget
    teacher_ms, teacher_mb = report.teacher.latency_ms_p50, report.teacher.size_mb
    served = [one for one in report.exports if one.accepted and one.name in table.costs]
    if not served or teacher_ms is None or teacher_mb is None:
        return None
    left, whole = student.pruning.left, mold.whole
    now = replace(whole, heads=left.heads or whole.heads, neurons=left.neurons or whole.neurons)
    layers, tokens = layer_count(plan.student.config), int(plan.student.config.vocab_size)
    structure = Structure(layers, now.heads, now.neurons, tokens)
    slack = {one.name: _slack(one, table.costs[one.name].of_structure(structure)) for one in served}
    limits = limits_of(budget, teacher_ms=teacher_ms, teacher_mb=teacher_mb)
    space = Space(now, (layers,), (tokens,), {one.name: table.costs[one.name] for one in served})
    found = best_of_each(space, tightened(limits, HEADROOM), slack)
    if not found:
        return None
    one = found[0]
    say(f"  {student.budget} is missed by {nearest.worst - 1:.1%}; pruning on to {in_words(one)}")
    cut = CutConfig(heads=one.structure.heads, neurons=one.structure.neurons)
    pruning = student.pruning.model_copy(update={"again": (*student.pruning.again, cut)})
    update = {
        "pruning": pruning,
        "planned": PlannedConfig.model_validate(
            {
                "runtime": one.runtime,
                "latency_ms": round(one.latency_ms, 4),
                "texts_per_s": round(one.texts_per_s, 1),
                "size_mb": round(one.size_mb, 3),
                "corrections": planned.corrections - 1,
            }
        ),
    }
    return recipe.model_copy(update={"student": student.model_copy(update=update)})


def _slack(export: Export, predicted: Predicted) -> Slack:
    """By how much the predictions of a structure are off from what was measured of it."""
    assert export.latency_ms_p50 is not None
    assert export.texts_per_s is not None
    assert export.size_mb is not None
    return Slack(
        latency=export.latency_ms_p50 / predicted.latency_ms,
        rate=export.texts_per_s / predicted.texts_per_s,
        size=export.size_mb / predicted.size_mb,
    )


def without_corrections(recipe: Recipe) -> Recipe:
    """The recipe of a run that is done: run again, it makes the same student and no further cut."""
    planned = recipe.student.planned
    if planned is None:
        return recipe
    done = recipe.student.model_copy(
        update={"planned": planned.model_copy(update={"corrections": 0})}
    )
    return recipe.model_copy(update={"student": done})
