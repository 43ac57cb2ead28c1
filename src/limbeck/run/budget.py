"""A recipe with a budget becomes one with layers, heads, neurons and a vocabulary."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from limbeck.budget.probe import Mold, Probe, take_probes
from limbeck.budget.refusals import refuse_impossible, refuse_retention
from limbeck.budget.search import (
    Candidate,
    Limits,
    Slack,
    Space,
    best_of_each,
    limits_of,
    tightened,
    uncut,
    within,
)
from limbeck.budget.structure import Whole, whole_of
from limbeck.budget.table import Table, measure_table, read_table, table_path, write_table
from limbeck.config.budget import Budget, parse_budget
from limbeck.config.recipe import Recipe
from limbeck.config.student import PlannedConfig, StudentConfig
from limbeck.data.encode import Encoded
from limbeck.errors import ExportError, RecipeError, StudentError
from limbeck.export.onnx_files import FUSABLE
from limbeck.progress import say
from limbeck.run.material import Material
from limbeck.run.mold import mold_of, teacher_latency_ms
from limbeck.runtime.openvino_model import INSTALL
from limbeck.student.plan import count_parameters
from limbeck.student.vocabulary import trim_vocabulary
from limbeck.tasks.task import Task
from limbeck.teacher.load import Checkpoint

HEADROOM = 0.05
"""Share of a limit on time that a plan leaves free: medians of two runs differ by as much."""
CORRECTIONS = 2
"""How often a run prunes on where what was measured misses the budget."""
_CHECKS = 4
_BESIDE = 2
_RIGHT = 0.05
"""How far a prediction may be off for the search to end with it."""


@dataclass(frozen=True)
class BudgetPlan:
    """What a budget became, and what else there was.

    Attributes:
        budget: As the user wrote it.
        limits: In absolute numbers.
        whole: The teacher's sizes.
        teacher_mb: Of its weights in float32.
        table: What structures cost on this machine.
        chosen: The structure; its figures are those of a random model of just this structure,
            exported and timed.
        others: What else meets the budget, by prediction alone.
        teacher: The teacher's own exports, by prediction.
        needs_cut: Whether none of these meets the budget.
        fixed: The recipe's `student` before.
    """

    budget: Budget
    limits: Limits
    whole: Whole
    teacher_mb: float
    table: Table
    chosen: Candidate
    others: tuple[Candidate, ...]
    teacher: tuple[Candidate, ...]
    needs_cut: bool
    fixed: StudentConfig

    def student(self) -> StudentConfig:
        """The recipe's `student` with the structure written out."""
        one, whole = self.chosen, self.whole
        shape = one.structure
        pruning = self.fixed.pruning.model_copy(
            update={
                "heads": shape.heads if shape.heads < whole.heads else None,
                "neurons": shape.neurons if shape.neurons < whole.neurons else None,
            }
        )
        planned = PlannedConfig.model_validate(
            {
                "runtime": one.runtime,
                "latency_ms": round(one.latency_ms, 4),
                "texts_per_s": round(one.texts_per_s, 1),
                "size_mb": round(one.size_mb, 3),
                "corrections": CORRECTIONS if whole.prunable else 0,
            }
        )
        return self.fixed.model_copy(
            update={
                "layers": shape.layers,
                "pruning": pruning,
                "vocabulary": "trim" if shape.vocabulary < whole.vocabulary else "full",
                "planned": planned,
            }
        )


def with_structure(
    recipe: Recipe,
    teacher: Checkpoint,
    task: Task,
    material: Material,
    encoded: Encoded,
    *,
    cache: Path,
) -> Recipe:
    """The recipe with its budget turned into a structure.

    Args:
        recipe: With a budget that nothing was chosen for yet.
        teacher: From `look_at`.
        task: What is learned.
        material: Texts and labels.
        encoded: The training texts under the teacher's tokenizer.
        cache: Where token ids are kept.

    Raises:
        RecipeError: If the budget cannot be met, or the teacher meets it as it is.
    """
    found = plan_budget(recipe, teacher, task, material, encoded, cache=cache)
    if not found.needs_cut:
        one = found.chosen
        raise RecipeError(
            "student.budget",
            f"{found.budget.in_words()} needs no cut: the teacher's own {one.runtime} export is "
            f"predicted to answer in {one.latency_ms:.2f} ms, {one.texts_per_s:,.0f} texts a "
            f"second in bulk, and to have {one.size_mb:.1f} MB",
            f"Run `limbeck export --model {teacher.path} --test … --output …`, ask for less time "
            "or size, or fix student.layers.",
        )
    say(f"  budget {found.budget.in_words()}: {in_words(found.chosen)}")
    return recipe.model_copy(update={"student": found.student()})


def in_words(one: Candidate) -> str:
    """A candidate as a clause."""
    return (
        f"{one.structure.in_words()}, {one.structure.vocabulary:,} tokens as {one.runtime}: "
        f"{one.latency_ms:.2f} ms, {one.texts_per_s:,.0f} texts/s, {one.size_mb:.1f} MB"
    )


def plan_budget(
    recipe: Recipe,
    teacher: Checkpoint,
    task: Task,
    material: Material,
    encoded: Encoded,
    *,
    cache: Path,
) -> BudgetPlan:
    """What the recipe's budget becomes; no weights of the teacher are read.

    Args:
        recipe: With a budget.
        teacher: From `look_at`.
        task: What is learned.
        material: Texts and labels; the test texts are those that models are timed with.
        encoded: The training texts under the teacher's tokenizer.
        cache: Where token ids are kept.

    Raises:
        RecipeError: If no structure meets the budget, saying what the nearest is.
    """
    wanted = recipe.student
    assert wanted.budget is not None
    budget = parse_budget(wanted.budget, where="student.budget")
    refuse_retention(budget)
    runtimes = runtimes_of(wanted, teacher)
    layers = _layer_counts(wanted, whole_of(teacher.config, teacher.family))
    mold = mold_of(recipe, teacher, task, material, cache)
    table, place = table_of(recipe, mold, runtimes)
    teacher_mb = count_parameters(teacher.config, teacher, head=task.head).float32_mb
    limits = limits_of(budget, teacher_ms=table.teacher_ms, teacher_mb=teacher_mb)
    sized = limits.size_mb is not None
    space = Space(
        mold.whole,
        layers,
        _vocabularies(wanted, teacher, encoded, mold.whole, sized=sized),
        table.costs,
    )
    as_it_is = uncut(space)
    free = wanted.layers is None and wanted.from_layers is None and wanted.vocabulary == "full"
    enough = within(as_it_is, tightened(limits, HEADROOM)) if free else []
    if enough:
        chosen, others = min(enough, key=lambda one: one.latency_ms), ()
    else:
        chosen, others, table = _chosen(mold, table, space, limits, place, budget, wanted)
    return BudgetPlan(
        budget=budget,
        limits=limits,
        whole=mold.whole,
        teacher_mb=teacher_mb,
        table=table,
        chosen=chosen,
        others=others,
        teacher=tuple(as_it_is),
        needs_cut=not enough,
        fixed=wanted,
    )


def _chosen(
    mold: Mold,
    table: Table,
    space: Space,
    limits: Limits,
    place: Path,
    budget: Budget,
    wanted: StudentConfig,
) -> tuple[Candidate, tuple[Candidate, ...], Table]:
    """The best structure, by what a random model of it was measured to cost; and others.

    A prediction may be off by some percent: where the check says so, the search goes on with
    predictions that are corrected by as much.
    """
    slack: dict[str, Slack] = {}
    aim = tightened(limits, HEADROOM)
    checked: list[Candidate] = []
    others: tuple[Candidate, ...] = ()
    for _ in range(_CHECKS):
        ranked = best_of_each(space, aim, slack)
        if not ranked:
            break
        best, others = ranked[0], others or tuple(ranked[1:])
        if any((best.structure, best.runtime) == (c.structure, c.runtime) for c in checked):
            break
        twin, table = _twin(mold, table, best, place)
        real = _as_measured(best, twin, table)
        checked.append(real)
        off = [abs(after / before - 1) for after, before in _pairs(real, best, limits)]
        if within([real], aim) and max(off) < _RIGHT:
            break
        plain = table.costs[best.runtime].of_structure(best.structure)
        slack[best.runtime] = Slack(
            latency=real.latency_ms / plain.latency_ms,
            rate=real.texts_per_s / plain.texts_per_s,
            size=real.size_mb / plain.size_mb,
        )
    good = within(checked, aim) or within(checked, limits)
    if not good:
        refuse_impossible(space, aim, limits, budget, wanted)
    best = min(good, key=lambda one: (one.loss, one.latency_ms))
    shown = tuple(one for one in others if one.structure.layers != best.structure.layers)
    return best, shown[:3], table


def _pairs(real: Candidate, said: Candidate, limits: Limits) -> Iterator[tuple[float, float]]:
    """What was measured and what was predicted of all that is limited."""
    if limits.latency_ms is not None:
        yield real.latency_ms, said.latency_ms
    if limits.texts_per_s is not None:
        yield real.texts_per_s, said.texts_per_s
    if limits.size_mb is not None:
        yield real.size_mb, said.size_mb


def _twin(mold: Mold, table: Table, best: Candidate, place: Path) -> tuple[Probe, Table]:
    """A random model of just this structure, measured now or before.

    Beside it two of the table's are measured again: a machine that is busier now than it was then
    would pass for a slow structure. One that is less busy now was slow then, so that counts.
    """
    structure = replace(best.structure, vocabulary=mold.vocabulary)
    known = table.twin(structure, best.runtime)
    if known is not None:
        return known, table
    beside = [probe for probe in table.probes if probe.runtime == best.runtime][:_BESIDE]
    shapes = [structure, *(probe.structure for probe in beside)]
    with tempfile.TemporaryDirectory() as folder:
        probes, failures = take_probes(mold, shapes, [best.runtime], Path(folder))
    if not probes:
        raise ExportError(
            best.runtime,
            f"a student of {structure.in_words()} cannot be exported: {failures[best.runtime]}",
            "Choose another student.budget_runtime.",
        )
    twin, again = probes[0], probes[1:]
    now = [one.latency_ms / before.latency_ms for one, before in zip(again, beside, strict=True)]
    rate = [one.texts_per_s / before.texts_per_s for one, before in zip(again, beside, strict=True)]
    twin = replace(
        twin,
        latency_ms=twin.latency_ms / max(1.0, float(np.mean(now))),
        texts_per_s=twin.texts_per_s / min(1.0, float(np.mean(rate))),
    )
    table = replace(table, probes=(*table.probes, twin))
    write_table(place, table)
    return twin, table


def _as_measured(best: Candidate, twin: Probe, table: Table) -> Candidate:
    """The candidate with its twin's figures; the twin's file has fewer tokens."""
    costs = table.costs[best.runtime]
    small = costs.of_structure(twin.structure).size_mb
    large = costs.of_structure(best.structure).size_mb
    return replace(
        best,
        latency_ms=twin.latency_ms,
        texts_per_s=twin.texts_per_s,
        size_mb=twin.size_mb + float(large - small),
    )


def table_of(recipe: Recipe, mold: Mold, runtimes: tuple[str, ...]) -> tuple[Table, Path]:
    """The table of this machine, measured where that was not done before."""
    place = table_path(Path(recipe.knowledge.folder) / "latency", mold, runtimes)
    table = read_table(place)
    if table is None:
        say("  timing thin models with random weights on this machine (once)")
        table = measure_table(mold, runtimes, teacher_ms=teacher_latency_ms(mold))
        write_table(place, table)
    if not table.costs:
        name, why = next(iter(table.failures.items()))
        raise ExportError(
            "student.budget_runtime",
            f"no student of this teacher can be exported; {name}: {why}",
            "A budget needs an export; cut the student by student.layers instead.",
        )
    return table, place


def runtimes_of(wanted: StudentConfig, teacher: Checkpoint) -> tuple[str, ...]:
    """The exports that may be chosen among; by themselves those that win somewhere.

    onnx_fused_int8 was slower than onnx_int8 in all but the smallest (BERT, 384 wide), and onnx
    than onnx_fused.

    Raises:
        RecipeError: For one that is not installed, or that this architecture has not.
    """
    fusable = teacher.config.model_type in FUSABLE
    there = ["onnx_fused" if fusable else "onnx", "onnx_int8"]
    there += ["openvino"] if find_spec("openvino") is not None else []
    name = wanted.budget_runtime
    if name == "auto":
        return tuple(there)
    if name == "openvino" and name not in there:
        raise RecipeError("student.budget_runtime", "openvino is not installed", f"Type: {INSTALL}")
    if "fused" in name and not fusable:
        raise RecipeError(
            "student.budget_runtime",
            f"{name} is not made of {teacher.config.model_type!r} models: onnxruntime's fusions "
            "do not know them",
            f"Use one of {', '.join(there)}.",
        )
    return (name,)


def _layer_counts(wanted: StudentConfig, whole: Whole) -> tuple[int, ...]:
    fixed = wanted.layers or len(wanted.from_layers or ())
    if not fixed:
        return tuple(range(1, whole.layers + 1))
    if fixed > whole.layers:
        raise StudentError(
            "student.layers",
            f"{fixed} layers are wanted, but the teacher has {whole.layers}",
            f"Use 1 to {whole.layers} layers.",
        )
    return (fixed,)


def _vocabularies(
    wanted: StudentConfig, teacher: Checkpoint, encoded: Encoded, whole: Whole, *, sized: bool
) -> tuple[int, ...]:
    """Numbers of tokens to choose from: a trimmed one where size counts and nobody objected."""
    said = "vocabulary" in wanted.model_fields_set
    if wanted.vocabulary == "full" and (said or not sized):
        return (whole.vocabulary,)
    trimmed = len(trim_vocabulary(teacher.tokenizer, [encoded]).kept)
    return (trimmed,) if wanted.vocabulary == "trim" else (whole.vocabulary, trimmed)
