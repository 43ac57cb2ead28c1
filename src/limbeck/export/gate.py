"""The gate: an export is taken only if its answers and its speed hold on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limbeck.config.recipe import ExportConfig
from limbeck.data.per_word import Outputs, finite
from limbeck.evaluation.measure import Contender, Measurements, span
from limbeck.evaluation.report import Export
from limbeck.evaluation.speed import Speed
from limbeck.export.onnx_files import Variant, remove_unaccepted
from limbeck.files import size_mb, write_json
from limbeck.runtime.load import load_export
from limbeck.student.plan import Counts
from limbeck.tasks.task import Task, agreement


def variant_contenders(variants: Sequence[Variant], counts: Counts) -> list[Contender]:
    """The variants that could be made, loaded and ready to be measured."""
    return [
        Contender(
            name=variant.name,
            runtime=variant.name,
            answerer=load_export(variant.name, variant.path),
            in_bulk=load_export(variant.name, variant.path, bulk=True),
            place=str(variant.path),
            size_mb=size_mb(variant.path),
            parameters=counts.parameters,
            encoder_parameters=counts.encoder_parameters,
        )
        for variant in variants
        if variant.failure is None
    ]


def judge(
    variants: Sequence[Variant],
    measured: Measurements,
    task: Task,
    *,
    parameters: int,
    config: ExportConfig,
    student: str = "student",
) -> list[Export]:
    """Every variant with its figures, accepted or refused with the reason.

    Refused is what could not be made, loses more than the tolerated score, flips more than the
    tolerated share of answers, or is slower than the student as transformers serves it, both in
    single texts and in bulk.

    Args:
        variants: From `export_variants`.
        measured: Of the student and of every variant that could be made, by name.
        task: When answers differ.
        parameters: The student's.
        config: The tolerances.
        student: The student's name among the measurements.
    """
    return [
        _unmade(variant, parameters)
        if variant.failure is not None
        else _judged(variant, measured, student, task, parameters, config)
        for variant in variants
    ]


def _unmade(variant: Variant, parameters: int) -> Export:
    return Export(
        name=variant.name,
        file=variant.path.name,
        accepted=False,
        reason=f"it could not be made: {variant.failure}",
        score=None,
        score_change=None,
        flips=None,
        latency_ms_p50=None,
        latency_ms_p95=None,
        texts_per_s=None,
        size_mb=None,
        parameters=parameters,
        peak_memory_mb=None,
    )


def _judged(
    variant: Variant,
    measured: Measurements,
    student: str,
    task: Task,
    parameters: int,
    config: ExportConfig,
) -> Export:
    name = variant.name
    logits, speed = measured.logits[name], measured.speed[name]
    change = measured.resamples.difference(name, student).value
    tolerated = config.score_tolerance
    if task.reads == "prose":  # a likelihood a token is small: what counts is the share of it
        tolerated *= measured.resamples.score(student).value
    flips, answers, what = _flips(logits, measured.logits[student], task)
    reason = _unequal(logits, change, tolerated)
    if not reason and flips > config.flip_tolerance * answers:
        reason = (
            f"it answers {flips} of {answers} {what} otherwise than the student, more than the "
            f"{config.flip_tolerance:.1%} tolerated"
        )
    reason = reason or _slower(speed, measured.speed[student])
    return Export(
        name=name,
        file=variant.path.name,
        accepted=not reason,
        reason=reason,
        score=span(measured.resamples.score(name)),
        score_change=change,
        flips=flips,
        latency_ms_p50=speed.latency_ms_p50,
        latency_ms_p95=speed.latency_ms_p95,
        texts_per_s=speed.texts_per_s,
        size_mb=size_mb(variant.path),
        parameters=parameters,
        peak_memory_mb=measured.memory_mb[name],
    )


def _flips(logits: Outputs, student: Outputs, task: Task) -> tuple[int, int, str]:
    """Answers that differ from the student's, all of them, and what they are of."""
    if task.reads != "prose":
        return int(task.changed(logits, student).sum()), len(logits), "test rows"
    answers = int(logits.offsets[-1])
    return round((1 - agreement(task, logits, student)) * answers), answers, "test tokens"


def _unequal(logits: Outputs, change: float, tolerated: float) -> str:
    if not finite(logits):
        return "some of its answers are NaN or infinite"
    if change < -tolerated:
        return (
            f"it loses {-change:.4f} of the student's score, more than the tolerated "
            f"{tolerated:.4g}"
        )
    return ""


def _slower(speed: Speed, student_speed: Speed) -> str:
    slower_single = speed.latency_ms_p50 > student_speed.latency_ms_p50
    slower_bulk = speed.texts_per_s < student_speed.texts_per_s
    if slower_single and slower_bulk:
        return (
            f"it is slower here than the student in transformers "
            f"({speed.latency_ms_p50:.2f} ms against "
            f"{student_speed.latency_ms_p50:.2f} ms a text)"
        )
    return ""


def best_single(exports: Sequence[Export], student_ms: float | None) -> str | None:
    """What answers single texts with the least median latency.

    Args:
        exports: Judged by `judge`.
        student_ms: The student's own median in transformers, in ms.

    Returns:
        An accepted export, or None where transformers itself is faster or none was accepted.
    """
    speeds = {export.name: -(export.latency_ms_p50 or 0.0) for export in exports if export.accepted}
    return _faster_than(speeds, -student_ms if student_ms is not None else None)


def best_bulk(exports: Sequence[Export], student_texts_per_s: float | None) -> str | None:
    """What answers most texts a second in bulk, likewise."""
    speeds = {export.name: export.texts_per_s or 0.0 for export in exports if export.accepted}
    return _faster_than(speeds, student_texts_per_s)


def _faster_than(speeds: dict[str, float], student: float | None) -> str | None:
    best = max(speeds, key=lambda name: speeds[name], default=None)
    if best is None or (student is not None and speeds[best] < student):
        return None
    return best


def close_gate(
    folder: Path,
    exports: Sequence[Export],
    config: ExportConfig,
    *,
    single: str | None,
    bulk: str | None,
) -> None:
    """Delete the refused files and write gate.json: what was accepted, and why the rest was not.

    Args:
        folder: Where the files are.
        exports: Judged by `judge`.
        config: The tolerances, which are written down.
        single: From `best_single`.
        bulk: From `best_bulk`.
    """
    remove_unaccepted(folder, keep={export.name for export in exports if export.accepted})
    write_json(
        folder / "gate.json",
        {
            "best_single": single,
            "best_bulk": bulk,
            "tolerances": config.model_dump(),
            "exports": [export.model_dump(mode="json") for export in exports],
        },
    )
