"""Rerankers, the whole road: queries with candidates in, a student that ranks them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_the_student_keeps_the_teachers_order(finished: tuple[Path, Any]) -> None:
    """A road that loses an easy task is broken somewhere."""
    _, report = finished
    print(report.verdict, report.warnings, report.exports, report.data, report.student)
    assert (report.task, report.score_name) == ("reranking", "nDCG@10")
    assert report.teacher.score.value > 0.9
    assert report.retention.value > 0.95
