"""The verdict says what the numbers say, and never more."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.evaluation.report import Export, Performance, Report, Span
from limbeck.evaluation.verdict import verdict


def _span(value: float, low: float | None = None, high: float | None = None) -> Span:
    return Span(
        value=value,
        low=value - 0.01 if low is None else low,
        high=value + 0.01 if high is None else high,
    )


def _performance(score: float, p50: float, size: float, parameters: int) -> Performance:
    return Performance(
        score=_span(score), latency_ms_p50=p50, latency_ms_p95=2 * p50, texts_per_s=1000 / p50,
        size_mb=size, parameters=parameters, encoder_parameters=parameters // 2,
        runtime="transformers", metrics={"f1": score}, agreement=0.9,
        calibration_error=0.05, peak_memory_mb=None, train_seconds=None, per_class={},
        confusion=[],
    )  # fmt: skip


def _report(*, gain: tuple[float, float, float], **changes: Any) -> Report:
    export = Export(
        name="onnx_int8", file="model_int8.onnx", accepted=True, reason="", score=_span(0.88),
        score_change=-0.01, flips=3, latency_ms_p50=0.5, latency_ms_p95=1.0, texts_per_s=2000,
        size_mb=10.0, parameters=10, peak_memory_mb=None,
    )  # fmt: skip
    settings: dict[str, Any] = {
        "limbeck_version": "0", "machine": {}, "recipe": {},
        "task": "single_label", "data": {"test_rows": 1000},
        "score_name": "accuracy", "verdict": [], "warnings": [],
        "teacher": _performance(0.90, 10.0, 90.0, 20),
        "student": _performance(0.89, 5.0, 40.0, 10),
        "arms": {
            "control": _performance(0.88, 5.0, 40.0, 10),
            "teacher_int8": _performance(0.90, 2.0, 25.0, 20),
        },
        "retention": _span(0.989), "agreement": 0.93,
        "differences": {
            "student_minus_control": _span(*gain),
            "best_single_minus_teacher_int8": _span(-0.02),
        },
        "exports": [export], "best_single": "onnx_int8", "best_bulk": "onnx_int8",
        "training": {}, "disagreements": [],
    }  # fmt: skip
    return Report(**{**settings, **changes})


def test_it_says_when_distillation_paid() -> None:
    """Only an interval above 0 is a gain."""
    said = verdict(_report(gain=(0.02, 0.01, 0.03)))
    assert said[-1].startswith("Distillation paid")
    assert "+2.00 points (interval +1.00 to +3.00)" in said[-1]


def test_it_says_when_distillation_bought_nothing() -> None:
    """A gain that may be noise is told as such, whatever its sign."""
    for value in (0.01, -0.01):
        assert "bought nothing" in verdict(_report(gain=(value, -0.02, 0.03)))[-1]


def test_it_says_when_distillation_harmed() -> None:
    """Users must hear it from us first."""
    assert verdict(_report(gain=(-0.02, -0.03, -0.01)))[-1].startswith("Distillation harmed")


def test_it_credits_the_runtime_with_what_the_runtime_bought() -> None:
    """Most of a speed-up is the teacher's own int8 export; hiding that misleads."""
    said = " ".join(verdict(_report(gain=(0.02, 0.01, 0.03))))
    assert "20.0× faster than the teacher as transformers serves it" in said
    assert "the teacher's own int8 export scores 0.9000 in 2.00 ms and 25.0 MB" in said
    assert "4.0× faster and 2.5× smaller, for -2.00 points" in said


def test_an_export_that_is_larger_or_slower_is_called_so() -> None:
    """0.7× smaller is not a size."""
    arms = {"teacher_int8": _performance(0.9, 0.4, 8.0, 20)}
    differences = {"best_single_minus_teacher_int8": _span(-0.02)}
    said = " ".join(verdict(_report(gain=(0, 0, 0), arms=arms, differences=differences)))
    assert "1.2× slower and 1.2× larger" in said
    arms = {"teacher_int8": _performance(0.9, 0.5, 10.0, 20)}
    said = " ".join(verdict(_report(gain=(0, 0, 0), arms=arms, differences=differences)))
    assert "as fast and as large" in said


def test_without_a_control_arm_it_claims_nothing() -> None:
    """What was not measured is not said."""
    report = _report(gain=(0, 0, 0), arms={}, differences={})
    assert verdict(report)[-1] == (
        "There is no control arm, so what the teacher bought was not measured."
    )


@pytest.mark.parametrize("slower", [False, True])
def test_without_an_accepted_export_transformers_serves(slower: bool) -> None:
    """The student is still there."""
    student = _performance(0.89, 20.0 if slower else 5.0, 40.0, 10)
    said = verdict(_report(gain=(0, 0, 0), exports=[], best_single=None, student=student))[1]
    assert "No export passed the gate" in said
    assert ("2.0× slower" if slower else "2.0× faster") in said


def test_where_transformers_is_faster_it_is_said() -> None:
    """Exports that passed and are not used need an explanation."""
    said = verdict(_report(gain=(0, 0, 0), best_single=None))[1]
    assert "No export is faster for single texts" in said
