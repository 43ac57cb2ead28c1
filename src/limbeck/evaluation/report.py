"""The numbers of a run under stable names: what report.json holds, and its JSON schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 3


class Frozen(BaseModel):
    """A result: complete, checked, unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Frozen):
    """A figure and its bootstrap confidence interval over the test rows."""

    value: float
    low: float
    high: float


class Performance(Frozen):
    """What one model does on the test rows and on this machine. Shares are 0 to 1."""

    score: Span = Field(description="The task's score, `score_name`.")
    latency_ms_p50: float | None = Field(description="Median of single texts, tokenizer included.")
    latency_ms_p95: float | None = Field(description="95th percentile of the same.")
    texts_per_s: float | None = Field(description="In bulk, batches by length, tokenizer included.")
    size_mb: float | None = Field(
        description="Weights as served: float32, or the file's size; 10^6 B. Null, with the "
        "parameters and all speeds, of a teacher of which only answers are known."
    )
    parameters: int | None = Field(description="All parameters.")
    encoder_parameters: int | None = Field(description="Those of the encoder layers alone.")
    runtime: str = Field(description="transformers, the export, or a file of answers.")
    metrics: dict[str, float] = Field(
        description="More figures of the task: macro averages of precision, recall and f1 for "
        "classes."
    )
    agreement: float | None = Field(
        description="Share of rows answered as the teacher answers; null where nobody knows."
    )
    calibration_error: float | None = Field(
        description="Expected calibration error, 15 bins, 0 to 1; null where none is defined."
    )
    peak_memory_mb: float | None = Field(description="Of a process that loads it and answers.")
    train_seconds: float | None = Field(description="Time spent training it.")
    per_class: dict[str, dict[str, float]] = Field(
        description="precision, recall, f1, support; empty without classes."
    )
    confusion: list[list[int]] = Field(
        description="Rows are labels, columns answers; empty where classes do not exclude others."
    )


class Export(Frozen):
    """One exported variant and what the gate said of it."""

    name: str
    file: str
    accepted: bool
    reason: str = Field(description="Why it was refused; empty if it was accepted.")
    score: Span | None
    score_change: float | None = Field(description="Its score minus the student's.")
    flips: int | None = Field(description="Test rows answered otherwise than by the student.")
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    texts_per_s: float | None
    size_mb: float | None
    parameters: int
    peak_memory_mb: float | None


class Disagreement(Frozen):
    """A test row on which teacher and student differ most."""

    id: str
    text: str
    label: str
    teacher: str
    student: str
    teacher_probability: float | None
    student_probability: float | None


class Report(Frozen):
    """Everything that a run measured."""

    schema_version: int = SCHEMA_VERSION
    limbeck_version: str
    machine: dict[str, Any]
    recipe: dict[str, Any]
    task: str
    data: dict[str, Any] = Field(description="Rows read, dropped, cut; class names.")
    score_name: str
    verdict: list[str] = Field(description="What the numbers say, in sentences.")
    warnings: list[str] = Field(description="What to mind when reading them.")
    teacher: Performance | None = Field(
        description="As transformers serves it, in float32; null where the teacher is a file that "
        "says nothing of some test row."
    )
    student: Performance = Field(description="As transformers serves it, in float32.")
    arms: dict[str, Performance] = Field(
        description="control: the student without a teacher; own_texts: the student without "
        "unlabelled texts and altered copies; teacher_int8: the teacher's own int8 ONNX export."
    )
    retention: Span | None = Field(
        description="The student's score over the teacher's; null where that is not above 0 or "
        "not known."
    )
    agreement: float | None = Field(
        description="Share of test rows answered alike; null where nobody knows."
    )
    differences: dict[str, Span] = Field(
        description="Paired differences of score: student_minus_teacher, student_minus_control, "
        "student_minus_own_texts, "
        "student_minus_teacher_int8, best_single_minus_teacher, best_single_minus_teacher_int8."
    )
    exports: list[Export]
    best_single: str | None = Field(
        description="Accepted export with the least p50; null where transformers itself serves: it "
        "is faster, or no export was accepted."
    )
    best_bulk: str | None = Field(
        description="Accepted export with the most texts_per_s; null likewise."
    )
    training: dict[str, Any] = Field(description="Steps, seconds, validation scores, knowledge.")
    disagreements: list[Disagreement]

    @property
    def asked(self) -> bool:
        """Whether the teacher could be asked and measured; a file of answers cannot."""
        return self.teacher is not None and self.teacher.parameters is not None

    def export(self, name: str | None) -> Export | None:
        """The export of a name."""
        return next((export for export in self.exports if export.name == name), None)


def json_schema() -> dict[str, Any]:
    """The JSON schema of report.json; docs/report.schema.json holds it."""
    return Report.model_json_schema()


class Comparison(Frozen):
    """Two models of the same classes on the same rows: what `limbeck evaluate` measures."""

    score_name: str
    rows: int
    teacher: Performance
    student: Performance
    retention: Span | None
    agreement: float
    difference: Span = Field(description="Student's score minus the teacher's, paired.")
