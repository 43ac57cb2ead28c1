"""What can be said of a student whose teacher is a file: nobody can ask or time that one."""

from __future__ import annotations

from limbeck.evaluation.report import Export, Report
from limbeck.evaluation.words import alike


def kept_of_answers(report: Report) -> str:
    """The student beside the file's answers, or the student alone where there are none on test."""
    kept, student = report.retention, report.student.score
    name = report.score_name
    if report.teacher is None or report.agreement is None:
        return (
            f"The student scores {student.value:.4f} ({name}; interval {student.low:.4f} to "
            f"{student.high:.4f}). The teacher is a file without answers on the test rows, so "
            "that its score, and how much of it is kept, are unknown."
        )
    theirs, same = report.teacher.score.value, alike(report.agreement, "the test rows", name)
    if kept is None:
        return (
            f"The {name} of the teacher's answers on the test rows is {theirs:.4f}: there is "
            f"nothing to keep. The student scores {student.value:.4f}, and {same}."
        )
    return (
        f"The student keeps {kept.value:.1%} of the {name} of the teacher's answers "
        f"({student.value:.4f} of {theirs:.4f}; interval {kept.low:.1%} to {kept.high:.1%}), and "
        f"{same}."
    )


def served_alone(report: Report, best: Export | None) -> str:
    """What the student costs; nobody knows what its teacher does."""
    one = report.student if best is None else best
    name = "transformers" if best is None else f"its fastest accepted export, {best.name},"
    latency = (
        "was not timed" if one.latency_ms_p50 is None else f"takes {one.latency_ms_p50:.2f} ms"
    )
    size = "" if one.size_mb is None else f" and has {one.size_mb:.1f} MB"
    return (
        f"A single text by {name} {latency}{size}. What the teacher takes is unknown: it was "
        "not here to be measured."
    )


def unasked_warnings(report: Report) -> list[str]:
    """What to mind where the teacher is a file."""
    if report.asked:
        return []
    told, used = report.data.get("train_rows_told"), report.data.get("train_rows_used")
    found = [
        "The teacher is a file: its speed, its size and an int8 export of it cannot be measured."
    ]
    if told is not None and used is not None and told < used:
        found.append(
            f"{used - told:,} of {used:,} training rows have no answer and taught by their labels "
            "alone."
        )
    if report.teacher is None:
        found.append(
            "There are no answers on all test rows (teacher.answers.test), so that fidelity to "
            "the teacher is unknown."
        )
    return found
