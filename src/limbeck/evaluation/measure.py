"""Measures any number of models on the same rows: quality, speed, memory, size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from limbeck.config.recipe import EvaluationConfig
from limbeck.data.per_word import Outputs, Targets
from limbeck.data.texts import Item, Texts, brief
from limbeck.evaluation.bootstrap import Interval, Resamples
from limbeck.evaluation.memory import peak_memory_mb
from limbeck.evaluation.report import Performance, Span
from limbeck.evaluation.speed import Served, Speed, measure_speed
from limbeck.metrics.detection import auroc
from limbeck.progress import step
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import answer_all
from limbeck.tasks.task import Task, agreement

_CHARACTERS = 4
"""A token's, about: of running text no more than a block is timed, as a service is asked."""


@dataclass(frozen=True)
class Contender:
    """A model to measure.

    Attributes:
        name: Its name in the report.
        runtime: transformers, or the name of an export.
        answerer: The loaded model, for one text at a time; None where only its answers are known.
        in_bulk: The same for many texts at a time.
        place: Folder, hub name or .onnx file to load in a process of its own for the memory
            figure; None to leave that out.
        size_mb: Size of its weights, in MB; None where nobody knows, as below.
        parameters: All of them.
        encoder_parameters: Those of the encoder layers.
        logits: On the test rows, where they are known already.
        train_seconds: What it took to train.
    """

    name: str
    runtime: str
    answerer: Answerer | None
    in_bulk: Answerer | None
    place: str | None
    size_mb: float | None
    parameters: int | None
    encoder_parameters: int | None
    logits: Outputs | None = None
    train_seconds: float | None = None


@dataclass(frozen=True)
class Measurements:
    """What was measured, by contender name.

    Attributes:
        logits: On the test rows.
        speed: Of single texts, and in bulk.
        memory_mb: Peaks, where they were measured.
        resamples: Of the scores.
        outside_auroc: Chance that a text of no class has a lower highest probability than a test
            row; empty without such texts.
    """

    logits: dict[str, Outputs]
    speed: dict[str, Speed]
    memory_mb: dict[str, float | None]
    resamples: Resamples
    outside_auroc: dict[str, float] = field(default_factory=dict)


def measure(
    contenders: Sequence[Contender],
    test: Texts,
    labels: Targets,
    task: Task,
    *,
    config: EvaluationConfig,
    max_tokens: int,
    seed: int,
    outside: Texts | None = None,
) -> Measurements:
    """Logits, speed and memory of every contender on the test rows.

    Args:
        contenders: The models; names are unique.
        test: The rows.
        labels: Their targets.
        task: What the score is.
        config: Resamples, rounds and texts.
        max_tokens: Where texts are cut.
        seed: Of resampling and of the texts that are timed.
        outside: Texts that belong to no class.
    """
    texts = list(test.items())
    asked = [brief(text, _CHARACTERS * max_tokens) for text in texts]
    logits: dict[str, Outputs] = {}
    with step("answering the test rows", len(contenders)) as bar:
        for contender in contenders:
            logits[contender.name] = _outputs(contender, texts)
            bar.advance(1)
    speed = measure_speed(
        {
            one.name: Served(one.answerer, one.in_bulk)
            for one in contenders
            if one.answerer is not None and one.in_bulk is not None
        },
        asked,
        count=config.speed_texts,
        rounds=config.speed_rounds,
        seed=seed,
    )
    memory = _memory(contenders, asked, config, max_tokens)
    resamples = Resamples(
        {name: task.parts(values, labels) for name, values in logits.items()},
        count=config.bootstrap,
        confidence=config.confidence,
        seed=seed,
        statistic=task.statistic,
    )
    return Measurements(
        logits, speed, memory, resamples, _outside(contenders, logits, outside, task)
    )


def _outputs(contender: Contender, texts: Sequence[Item]) -> Outputs:
    """What it says, from where it is known already, or by asking it."""
    if contender.logits is not None:
        return contender.logits
    assert contender.in_bulk is not None
    return answer_all(contender.in_bulk, texts)


def _outside(
    contenders: Sequence[Contender], logits: dict[str, Outputs], outside: Texts | None, task: Task
) -> dict[str, float]:
    if outside is None:
        return {}
    texts = list(outside.items())
    found = {}
    with step("answering texts of no class", len(contenders)) as bar:
        for one in contenders:
            assert one.in_bulk is not None  # a black box is refused with such texts
            inside = task.answers(logits[one.name]).max(axis=1)
            others = task.answers(answer_all(one.in_bulk, texts)).max(axis=1)
            doubts = -np.concatenate([inside, others])
            found[one.name] = auroc(doubts, np.arange(len(doubts)) >= len(inside))
            bar.advance(1)
    return found


def _memory(
    contenders: Sequence[Contender],
    texts: Sequence[Item],
    config: EvaluationConfig,
    max_tokens: int,
) -> dict[str, float | None]:
    memory: dict[str, float | None] = dict.fromkeys([one.name for one in contenders])
    placed = [one for one in contenders if one.place is not None]
    if not config.memory:
        return memory
    with step("measuring memory", len(placed)) as bar:
        for one in placed:
            assert one.place is not None
            memory[one.name] = peak_memory_mb(one.runtime, one.place, texts, max_tokens=max_tokens)
            bar.advance(1)
    return memory


def performance(
    contender: Contender,
    measured: Measurements,
    labels: Targets,
    names: Sequence[str],
    task: Task,
    *,
    teacher: str = "teacher",
) -> Performance:
    """One contender's figures; `teacher` names the contender that agreement is with, if any."""
    logits = measured.logits[contender.name]
    found = task.measures(logits, labels, names)
    speed, theirs = measured.speed.get(contender.name), measured.logits.get(teacher)
    return Performance(
        score=span(measured.resamples.score(contender.name)),
        latency_ms_p50=None if speed is None else speed.latency_ms_p50,
        latency_ms_p95=None if speed is None else speed.latency_ms_p95,
        texts_per_s=None if speed is None else speed.texts_per_s,
        size_mb=contender.size_mb,
        parameters=contender.parameters,
        encoder_parameters=contender.encoder_parameters,
        runtime=contender.runtime,
        metrics=found.metrics
        | (
            {"AUROC_of_no_class": measured.outside_auroc[contender.name]}
            if measured.outside_auroc
            else {}
        ),
        agreement=None if theirs is None else agreement(task, logits, theirs),
        calibration_error=found.calibration_error,
        peak_memory_mb=measured.memory_mb[contender.name],
        train_seconds=contender.train_seconds,
        per_class=found.per_class,
        confusion=found.confusion,
    )


def retention(resamples: Resamples) -> Span | None:
    """The student's score over the teacher's; None without one, or where it is not above 0."""
    if "teacher" not in resamples.names or resamples.score("teacher").value <= 0:
        return None
    return span(resamples.ratio("student", "teacher"))


def span(interval: Interval) -> Span:
    """An interval as the report keeps it."""
    return Span(value=interval.value, low=interval.low, high=interval.high)
