"""Measures any number of models on the same rows: quality, speed, memory, size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.config.recipe import EvaluationConfig
from limbeck.data.texts import Texts
from limbeck.evaluation.bootstrap import Interval, Resamples
from limbeck.evaluation.memory import peak_memory_mb
from limbeck.evaluation.quality import agreement, calibration_error
from limbeck.evaluation.report import Performance, Span
from limbeck.evaluation.speed import Served, Speed, measure_speed
from limbeck.progress import step
from limbeck.runtime.answerer import Answerer
from limbeck.runtime.bulk import answer_all
from limbeck.tasks import classification


@dataclass(frozen=True)
class Contender:
    """A model to measure.

    Attributes:
        name: Its name in the report.
        runtime: transformers, or the name of an export.
        answerer: The loaded model, for one text at a time.
        in_bulk: The same for many texts at a time.
        place: Folder, hub name or .onnx file to load in a process of its own for the memory
            figure; None to leave that out.
        size_mb: Size of its weights, in MB.
        parameters: All of them.
        encoder_parameters: Those of the encoder layers.
        logits: On the test rows, where they are known already.
        train_seconds: What it took to train.
    """

    name: str
    runtime: str
    answerer: Answerer
    in_bulk: Answerer
    place: str | None
    size_mb: float
    parameters: int
    encoder_parameters: int
    logits: np.ndarray | None = None
    train_seconds: float | None = None


@dataclass(frozen=True)
class Measurements:
    """What was measured, by contender name."""

    logits: dict[str, np.ndarray]
    speed: dict[str, Speed]
    memory_mb: dict[str, float | None]
    resamples: Resamples


def measure(
    contenders: Sequence[Contender],
    test: Texts,
    labels: np.ndarray,
    *,
    config: EvaluationConfig,
    max_tokens: int,
    seed: int,
) -> Measurements:
    """Logits, speed and memory of every contender on the test rows.

    Args:
        contenders: The models; names are unique.
        test: The rows.
        labels: Their class indices.
        config: Resamples, rounds and texts.
        max_tokens: Where texts are cut.
        seed: Of resampling and of the texts that are timed.
    """
    texts: list[str] = list(test.texts)
    logits: dict[str, np.ndarray] = {}
    with step("answering the test rows", len(contenders)) as bar:
        for contender in contenders:
            known = contender.logits
            logits[contender.name] = (
                known if known is not None else answer_all(contender.in_bulk, texts)
            )
            bar.advance(1)
    speed = measure_speed(
        {one.name: Served(one.answerer, one.in_bulk) for one in contenders},
        texts,
        count=config.speed_texts,
        rounds=config.speed_rounds,
        seed=seed,
    )
    memory = _memory(contenders, texts, config, max_tokens)
    resamples = Resamples(
        {name: classification.correct(values, labels) for name, values in logits.items()},
        count=config.bootstrap,
        confidence=config.confidence,
        seed=seed,
    )
    return Measurements(logits, speed, memory, resamples)


def _memory(
    contenders: Sequence[Contender], texts: Sequence[str], config: EvaluationConfig, max_tokens: int
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
    labels: np.ndarray,
    names: Sequence[str],
    *,
    teacher: str = "teacher",
) -> Performance:
    """One contender's figures; `teacher` names the contender that agreement is with."""
    logits = measured.logits[contender.name]
    scores = classification.scores(logits, labels, names)
    speed = measured.speed[contender.name]
    return Performance(
        score=span(measured.resamples.score(contender.name)),
        latency_ms_p50=speed.latency_ms_p50,
        latency_ms_p95=speed.latency_ms_p95,
        texts_per_s=speed.texts_per_s,
        size_mb=contender.size_mb,
        parameters=contender.parameters,
        encoder_parameters=contender.encoder_parameters,
        runtime=contender.runtime,
        precision=scores.precision,
        recall=scores.recall,
        f1=scores.f1,
        agreement=agreement(logits, measured.logits[teacher]),
        calibration_error=calibration_error(logits, labels),
        peak_memory_mb=measured.memory_mb[contender.name],
        train_seconds=contender.train_seconds,
        per_class=scores.per_class,
        confusion=scores.confusion,
    )


def span(interval: Interval) -> Span:
    """An interval as the report keeps it."""
    return Span(value=interval.value, low=interval.low, high=interval.high)
