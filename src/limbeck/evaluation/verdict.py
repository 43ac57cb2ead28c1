"""What the numbers say, in sentences: what was kept, what was gained, and what bought it."""

from __future__ import annotations

from limbeck.evaluation.black_box import kept_of_answers, served_alone
from limbeck.evaluation.budget import budget_sentence
from limbeck.evaluation.report import Export, Performance, Report
from limbeck.evaluation.words import alike, change


def verdict(report: Report) -> list[str]:
    """The verdict's sentences, the most important first."""
    best = report.export(report.best_single)
    if report.teacher is None or not report.asked:
        return [kept_of_answers(report), served_alone(report, best), _bought(report)]
    sentences = [_kept(report, report.teacher), _gained(report, report.teacher, best)]
    if best is not None and "teacher_int8" in report.arms:
        sentences.append(_beyond_int8(report, best))
    budget = budget_sentence(report)
    if budget is not None:
        sentences.append(budget)
    sentences.append(_bought(report))
    if "own_texts" in report.arms:
        sentences.append(_added(report))
    return sentences


def _kept(report: Report, theirs: Performance) -> str:
    kept, teacher, student = report.retention, theirs.score, report.student.score
    assert theirs.parameters is not None
    assert report.student.parameters is not None
    assert report.agreement is not None
    fewer = f"{_times(theirs.parameters, report.student.parameters)} fewer parameters"
    same = alike(report.agreement, "the test rows", report.score_name)
    if kept is None:
        return (
            f"The teacher's {report.score_name} on the test rows is {teacher.value:.4f}: there is "
            f"nothing to keep. The student scores {student.value:.4f} with {fewer}, and {same}."
        )
    if kept.low > 1:
        return (
            f"The student goes beyond the teacher: {report.score_name} {student.value:.4f} "
            f"against {teacher.value:.4f} (interval of the ratio {kept.low:.1%} to "
            f"{kept.high:.1%}), with {fewer}; it {same}."
        )
    return (
        f"The student keeps {kept.value:.1%} of the teacher's {report.score_name} "
        f"({student.value:.4f} of {teacher.value:.4f}; interval {kept.low:.1%} to "
        f"{kept.high:.1%}) with {fewer}, and {same}."
    )


def _gained(report: Report, teacher: Performance, best: Export | None) -> str:
    student = report.student
    if best is None:
        accepted = any(export.accepted for export in report.exports)
        why = "is faster for single texts" if accepted else "passed the gate"
        return (
            f"No export {why}, so the student is served by transformers: "
            f"{_than(_faster(teacher.latency_ms_p50, student.latency_ms_p50))} the teacher."
        )
    assert best.size_mb is not None
    assert best.score is not None
    assert teacher.size_mb is not None
    whole = teacher.score.value
    share = f", {best.score.value / whole:.1%} of the teacher" if whole > 0 else ""
    speed = _than(_faster(teacher.latency_ms_p50, best.latency_ms_p50))
    return (
        f"Its fastest accepted export for single texts, {best.name}, is {speed} the teacher as "
        f"transformers serves it (p50 {best.latency_ms_p50:.2f} ms against "
        f"{teacher.latency_ms_p50:.2f} ms) and "
        f"{_smaller(teacher.size_mb, best.size_mb)} ({best.size_mb:.1f} MB against "
        f"{teacher.size_mb:.1f} MB); it scores {best.score.value:.4f}{share}."
    )


def _beyond_int8(report: Report, best: Export) -> str:
    arm = report.arms["teacher_int8"]
    assert best.size_mb is not None
    assert arm.size_mb is not None
    difference = report.differences["best_single_minus_teacher_int8"]
    return (
        "Much of that is the runtime and not the distillation: the teacher's own int8 export "
        f"scores {arm.score.value:.4f} in {arm.latency_ms_p50:.2f} ms and {arm.size_mb:.1f} MB. "
        f"Beyond it, the student's export is {_faster(arm.latency_ms_p50, best.latency_ms_p50)} "
        f"and {_smaller(arm.size_mb, best.size_mb)}, for "
        f"{change(difference, report.score_name)} of {report.score_name}."
    )


def _bought(report: Report) -> str:
    if "control" not in report.arms:
        return "There is no control arm, so what the teacher bought was not measured."
    difference = report.differences["student_minus_control"]
    control = report.arms["control"].score.value
    what = (
        f"against the same student trained on the labels alone ({control:.4f}), distillation "
        f"changed the {report.score_name} by {change(difference, report.score_name)}"
    )
    if difference.low > 0:
        return f"Distillation paid: {what}; the interval excludes 0."
    if difference.high < 0:
        return f"Distillation harmed: {what}; the interval excludes 0. Train on the labels instead."
    return (
        f"Distillation bought nothing that {report.data['test_rows']} test rows can show: {what}, "
        "and the interval includes 0. More unlabelled texts of the domain, or a smaller student, "
        "is where a teacher helps."
    )


def _added(report: Report) -> str:
    """What unlabelled texts and altered copies bought."""
    difference = report.differences["student_minus_own_texts"]
    kinds = {"unlabelled_rows": "unlabelled texts", "altered_rows": "altered copies"}
    what = " and ".join(name for key, name in kinds.items() if report.data.get(key))
    said = (
        f"against the same student taught without the {what} "
        f"({report.arms['own_texts'].score.value:.4f}), they changed the {report.score_name} by "
        f"{change(difference, report.score_name)}"
    )
    if difference.low > 0:
        return f"The {what} paid: {said}; the interval excludes 0."
    if difference.high < 0:
        return f"The {what} harmed: {said}; the interval excludes 0. Leave them out."
    return f"What the {what} bought is within noise: {said}, and the interval includes 0."


def _times(more: float, less: float) -> str:
    return f"{more / less:.1f}×"


_ALIKE = 0.03
"""Ratios nearer to 1 than this are no difference worth a number."""


def _smaller(large: float, small: float) -> str:
    if abs(large / small - 1) < _ALIKE:
        return "as large"
    if small < large:
        return f"{large / small:.1f}× smaller"
    return f"{small / large:.1f}× larger"


def _faster(slow: float | None, fast: float | None) -> str:
    if slow is None or fast is None:
        return "of a speed that was not measured, compared"
    if abs(slow / fast - 1) < _ALIKE:
        return "as fast"
    return f"{slow / fast:.1f}× faster" if fast < slow else f"{fast / slow:.1f}× slower"


def _than(comparison: str) -> str:
    return f"{comparison} as" if comparison.startswith("as ") else f"{comparison} than"
