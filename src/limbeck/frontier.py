"""A family of students, each cut out of the one before it: from the recipe's own to the smallest.

`frontier` is `distill` with many students: the same texts, teacher and knowledge, then the
descent, and one measurement of all of them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from limbeck.config.recipe import Recipe, TeacherConfig
from limbeck.errors import RecipeError
from limbeck.evaluation.frontier import (
    Frontier,
    FrontierPoint,
    FrontierTrial,
    frontier_verdict,
    knee_of,
    smallest_that_holds,
)
from limbeck.evaluation.frontier_page import render_frontier
from limbeck.evaluation.measure import Contender, Measurements, measure, performance, span
from limbeck.evaluation.report import Export, Span
from limbeck.export.gate import best_bulk, best_single, close_gate, judge, variant_contenders
from limbeck.export.onnx_files import export_variants
from limbeck.files import read_json, size_mb, whole_file, write_json
from limbeck.machine import cores_or, kept_pages, threads
from limbeck.machine import describe as describe_machine
from limbeck.progress import say
from limbeck.run.arms import teacher_int8
from limbeck.run.descent import descend, refuse_undescendable
from limbeck.run.folder import RunFolder
from limbeck.run.material import Datasets
from limbeck.run.opening import Opened, open_run, planned
from limbeck.run.point import Point
from limbeck.run.recording import Knowledge, ask_teacher, judged_by
from limbeck.run.trials import Trial
from limbeck.run.vocabulary import vocabulary_facts
from limbeck.runtime.load import load_export
from limbeck.runtime.transformers_model import from_folder
from limbeck.student.plan import Counts, counts_of
from limbeck.student.pruned import whole
from limbeck.tasks.task import merit
from limbeck.teacher.load import load_classifier, look_at


def frontier(recipe: Recipe, *, datasets: Datasets | None = None) -> Frontier:
    """Make the recipe's student and smaller ones out of it, and measure them all.

    Interrupted at any moment, the same call goes on from the last finished point. Called again on
    a finished folder, it returns what was measured.

    Args:
        recipe: What to do; `frontier` says how far down.
        datasets: Splits as `datasets.Dataset` objects, in place of the files.

    Raises:
        LimbeckError: For anything that the user can mend, before it costs time where possible.
    """
    run = RunFolder(recipe.output)
    with run.claimed(recipe) as settled:
        run.refuse_single()
        if run.frontier_json.exists():
            say(f"{run.path} is finished: what was measured is returned as it is.")
            return Frontier.model_validate(read_json(run.frontier_json))
        with threads(cores_or(settled.training.threads)), kept_pages():
            return _frontier(settled, run, datasets)


def _frontier(recipe: Recipe, run: RunFolder, datasets: Datasets | None) -> Frontier:
    start = time.monotonic()
    if recipe.teacher.answers is not None:
        raise RecipeError(
            "teacher.answers",
            "the teacher is a file, and a frontier is measured beside its teacher",
            "Use `limbeck distill`.",
        )
    plan = planned(recipe, datasets)
    refuse_undescendable(plan)
    opened = open_run(plan, run, command="frontier")
    knowledge = ask_teacher(plan, opened.teacher, cache=opened.cache)
    opened = Opened(
        judged_by(plan, knowledge), opened.recipe, opened.machine, opened.teacher, opened.cache
    )
    points = descend(opened.plan, opened.teacher, knowledge, opened.machine, run, opened.cache)
    gated = [_gate(opened, point) for point in points]
    found = _measured(opened, run, knowledge, gated)
    found = found.model_copy(update={"seconds": round(time.monotonic() - start, 1)})
    with whole_file(run.frontier_html) as part:
        part.write_text(render_frontier(found), encoding="utf-8")
    write_json(run.frontier_json, found.model_dump(mode="json"))
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return found


@dataclass(frozen=True)
class _Gated:
    """A point with its exports judged, and what serves it."""

    point: Point
    heads: list[int]
    neurons: list[int]
    counts: Counts
    exports: list[Export]
    serving: str | None


def _gate(opened: Opened, point: Point) -> _Gated:
    """Export a point and judge the exports by the point itself; done once."""
    plan, recipe, folder = opened.plan, opened.recipe, point.folder / "export"
    heads, neurons, counts = _counted(point)
    if (folder / "gate.json").exists():
        told = read_json(folder / "gate.json")
        exports = [Export.model_validate(export) for export in told["exports"]]
        return _Gated(point, heads, neurons, counts, exports, told["best_single"])
    variants = export_variants(
        point.smallest,
        folder,
        max_tokens=plan.max_tokens,
        clean=recipe.data.clean,
        task=plan.task,
        paired=plan.material.train.texts.paired,
        title=f"exporting point {point.number}",
    )
    contenders = [_in_transformers(point, counts, plan.max_tokens, "student")]
    contenders += variant_contenders(variants, counts)
    measured = measure(
        contenders,
        plan.material.test.texts,
        plan.material.test.labels,
        plan.task,
        config=recipe.evaluation.model_copy(update={"memory": False}),
        max_tokens=plan.max_tokens,
        seed=recipe.seed,
    )
    exports = judge(
        variants, measured, plan.task, parameters=counts.parameters, config=recipe.export
    )
    speed = measured.speed["student"]
    single = _least(exports, best_single(exports, speed.latency_ms_p50))
    bulk = best_bulk(exports, speed.texts_per_s)
    close_gate(folder, exports, recipe.export, single=single, bulk=bulk)
    return _Gated(point, heads, neurons, counts, exports, single)


_AS_FAST = 1.1


def _least(exports: Sequence[Export], fastest: str | None) -> str | None:
    """The smallest file among those that are about as fast as the fastest."""
    known = {export.name: export for export in exports if export.accepted}
    if fastest is None:
        return None
    limit = _AS_FAST * (known[fastest].latency_ms_p50 or 0.0)
    fast = [export for export in known.values() if (export.latency_ms_p50 or limit + 1) <= limit]
    return min(fast, key=lambda export: export.size_mb or 0.0).name


def _counted(point: Point) -> tuple[list[int], list[int], Counts]:
    """Heads and neurons of each layer, and parameters, of the model as it is on disk."""
    checkpoint = look_at(TeacherConfig(path=str(point.smallest)), role="student")
    model = load_classifier(checkpoint, attention="eager")
    there = whole(model, checkpoint.family)
    counts = counts_of(model, checkpoint.family)
    return [len(layer) for layer in there.heads], [len(layer) for layer in there.neurons], counts


def _in_transformers(point: Point, counts: Counts, max_tokens: int, name: str) -> Contender:
    answerer = from_folder(str(point.smallest), max_tokens=max_tokens)
    return Contender(
        name=name,
        runtime="transformers",
        answerer=answerer,
        in_bulk=answerer,
        place=str(point.smallest),
        size_mb=counts.float32_mb,
        parameters=counts.parameters,
        encoder_parameters=counts.encoder_parameters,
        train_seconds=point.outcome.progress.seconds,
    )


def _serving(gated: _Gated, max_tokens: int) -> Contender:
    """What serves a point: its fastest accepted export, or transformers."""
    name = _name(gated.point)
    if gated.serving is None:
        return _in_transformers(gated.point, gated.counts, max_tokens, name)
    file = next(export.file for export in gated.exports if export.name == gated.serving)
    path = gated.point.folder / "export" / file
    return Contender(
        name=name,
        runtime=gated.serving,
        answerer=load_export(gated.serving, path),
        in_bulk=load_export(gated.serving, path, bulk=True),
        place=str(path),
        size_mb=size_mb(path),
        parameters=gated.counts.parameters,
        encoder_parameters=gated.counts.encoder_parameters,
        train_seconds=gated.point.outcome.progress.seconds,
    )


def _name(point: Point) -> str:
    return f"point {point.number}"


def _measured(
    opened: Opened, run: RunFolder, knowledge: Knowledge, gated: Sequence[_Gated]
) -> Frontier:
    """All points beside the teacher, in one alternating measurement."""
    from limbeck import __version__

    plan, recipe = opened.plan, opened.recipe
    served = from_folder(recipe.teacher, max_tokens=plan.max_tokens)
    counts = plan.teacher_counts
    contenders = [
        Contender(
            name="teacher",
            runtime="transformers",
            answerer=served,
            in_bulk=served,
            place=plan.teacher.path,
            size_mb=counts.float32_mb,
            parameters=counts.parameters,
            encoder_parameters=counts.encoder_parameters,
            logits=knowledge.test_logits,
        )
    ]
    int8 = teacher_int8(plan, run)
    contenders += [int8] if int8 is not None else []
    contenders += [_serving(one, plan.max_tokens) for one in gated]
    test = plan.material.test
    measured = measure(
        contenders,
        test.texts,
        test.labels,
        plan.task,
        config=recipe.evaluation,
        max_tokens=plan.max_tokens,
        seed=recipe.seed,
        outside=plan.material.outside,
    )
    shown = {
        one.name: performance(one, measured, test.labels, plan.material.names, plan.task)
        for one in contenders
    }
    validation = plan.material.validation
    assert knowledge.validation is not None
    asked = knowledge.validation.all_logits()
    whole = merit(plan.task, asked, validation.labels)
    points = [
        FrontierPoint(
            number=one.point.number,
            folder=str(one.point.folder.relative_to(run.path)),
            heads=one.heads,
            neurons=one.neurons,
            embedding_rank=one.point.kept.rank if one.point.kept else None,
            served_by=one.serving or "transformers",
            served=shown[_name(one.point)],
            retention=_retention(measured, _name(one.point)),
            validation_score=one.point.validation_score,
            validation_retention=one.point.validation_score / whole if whole > 0 else None,
            learning_rate=one.point.way.learning_rate,
            compensated=one.point.way.compensated,
            train_seconds=one.point.outcome.progress.seconds,
            exports=one.exports,
        )
        for one in gated
    ]
    costs = [point.served.latency_ms_p50 or point.served.size_mb or 0.0 for point in points]
    knee = knee_of(costs, [point.served.score.value for point in points])
    found = Frontier(
        limbeck_version=__version__,
        machine=describe_machine(),
        recipe=recipe.model_dump(mode="json", by_alias=True),
        task=plan.task.name,
        data={
            **plan.material.counts,
            "classes": plan.material.names,
            "max_tokens": plan.max_tokens,
            "test_is_validation": plan.material.tested_on_validation,
            **vocabulary_facts(plan.lengths, plan.crossed.unaligned if plan.crossed else None),
        },
        score_name=plan.task.score_name,
        verdict=[],
        warnings=_warnings(opened),
        teacher=shown["teacher"],
        teacher_int8=shown.get("teacher_int8"),
        points=points,
        trials=[_told(trial, one.point) for one in gated for trial in one.point.trials],
        knee=points[knee].number,
        held=smallest_that_holds(points, recipe.frontier.retention),
        seconds=0.0,
    )
    return found.model_copy(update={"verdict": frontier_verdict(found)})


def _told(trial: Trial, point: Point) -> FrontierTrial:
    return FrontierTrial(
        point=trial.point,
        **asdict(trial.way),
        passes=trial.passes,
        validation_loss=trial.loss,
        validation_score=trial.validation_score,
        chosen=trial.way == point.way and trial.passes == point.trials[-1].passes,
    )


def _retention(measured: Measurements, name: str) -> Span | None:
    if measured.resamples.score("teacher").value <= 0:
        return None
    return span(measured.resamples.ratio(name, "teacher"))


def _warnings(opened: Opened) -> list[str]:
    warnings = []
    if opened.plan.material.tested_on_validation:
        warnings.append(
            "There is no test file: scores are those of the validation rows, which chose the best "
            "state of each point, and are a little too good. Give data.test."
        )
    rows = len(opened.plan.material.test.texts)
    if rows < 500:
        warnings.append(
            f"{rows} test rows are few: differences under {100 / rows**0.5:.0f} points are noise."
        )
    return warnings
