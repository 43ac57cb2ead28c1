"""What every task says of itself: the rest of limbeck asks it, and never which task it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.per_word import Outputs, Targets
from limbeck.data.raw_labels import LabelForm
from limbeck.data.texts import Item, Texts
from limbeck.metrics.drawn import Statistic

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout

ClassifierHead = Literal[
    "classifier", "token_classifier", "span", "vectors", "masked_lm", "causal_lm"
]
ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]
Reads = Literal["texts", "words", "questions", "queries", "prose"]


@dataclass(frozen=True)
class Measures:
    """How well outputs answer targets, beyond the score.

    Attributes:
        metrics: Name to figure, in the order in which they are shown.
        per_class: Class name to precision, recall, f1 and support (rows); empty without classes.
        confusion: Rows are labels, columns answers, in class order; empty where that says nothing.
        calibration_error: Expected calibration error, 0 to 1, or None.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    calibration_error: float | None = None


@dataclass(frozen=True)
class Said:
    """An answer in words, and how sure of it the model is (None where it does not say)."""

    words: str
    probability: float | None


class Task(Protocol):
    """A task: which columns it reads, which losses are right for it, how it is judged.

    Outputs are what the model's head gives, [rows, outputs]; targets are arrays of
    `data.targets`. Of a task of words they are `WordOutputs` and `WordTargets`, which are indexed
    by rows too; its losses are of words [words, outputs]. Of a task of questions they are
    `SpanOutputs` and `SpanTargets`; its losses are of windows, whose places a `Layout` gives rows,
    and of targets [windows, 2]. Of a task of queries they are `RankOutputs` and `RankTargets`; its
    losses are of candidates [candidates, 1], to which a `Layout` gives a row a query, and of their
    grades [candidates]. Of prose outputs are `WordOutputs` of places (`data.likely`); the
    supervised loss is of log-probabilities [places] and tokens [places], and teachers are matched
    over the teacher's likeliest tokens and the rest.

    Attributes:
        name: In recipes (`task`).
        score_name: Of the score that chooses states and that retention is a ratio of.
        reads: What a row is: a text (or pair) that is answered, one whose words are, a question
            that a piece of its context answers, a query whose candidates are ranked, or prose whose
            tokens are foretold.
        head: What stands on top of the encoder.
        problem_type: What transformers calls the task of the head; None where it has no name.
        pipeline: transformers' name of the pipeline that serves it.
        distributes: Whether a softmax over the outputs is a distribution over classes, which is
            what the divergences, their temperatures and the weights of examples are about.
        apart: Whether the texts of a pair are answered one by one, and no row needs a label.
        statistic: Makes the score of what `parts` gives.
    """

    name: str
    score_name: str
    reads: Reads
    head: ClassifierHead
    problem_type: ProblemType | None
    pipeline: str
    distributes: bool
    apart: bool
    statistic: Statistic

    def form(self, data: DataConfig) -> LabelForm:
        """How labels stand in the rows."""
        ...

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """The outputs' names in their order: the teacher's, or (without one) the data's."""
        ...

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> Targets:
        """The rows' labels as targets.

        Args:
            texts: The split.
            names: Of the outputs.
            source: The file, for messages.
            beside: Other splits whose labels are written in the same way.
        """
        ...

    def refuse_unlearnable(self, targets: Targets, names: Sequence[str], source: str) -> None:
        """Refuse training targets that leave nothing to learn."""
        ...

    def refuse_stranger(
        self, outputs: Outputs, targets: Targets, names: Sequence[str], *, where: str
    ) -> None:
        """Refuse a teacher whose outputs and these targets do not belong together."""
        ...

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """The supervised loss, over the rows that have a target; 0 without any.

        Args:
            student_logits: Of a batch.
            targets: Likewise.
            layout: How the logits lie in the rows, where a row has any number of them.
        """
        ...

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """The loss that matches the teacher's outputs; `layout` as of `hard`."""
        ...

    def unfit(self, term: LogitsTerm) -> str:
        """Why a term says nothing about this task's outputs; empty if it does."""
        ...

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """Several teachers' outputs as one.

        Args:
            outputs: [teachers, rows, outputs].
            weights: [teachers, rows], summing to 1 over the teachers.

        Returns:
            [rows, outputs], float32.
        """
        ...

    def merit(self, outputs: Outputs, targets: Targets) -> float | None:
        """What chooses states where the score alone does not say which is better; else None."""
        ...

    def parts(self, outputs: Outputs, targets: Targets) -> np.ndarray:
        """What the score is made of, row by row, for resampling: [rows, ...]."""
        ...

    def measures(self, outputs: Outputs, targets: Targets, names: Sequence[str]) -> Measures:
        """Everything else that is worth showing."""
        ...

    def changed(self, outputs: Outputs, others: Outputs) -> np.ndarray:
        """On which rows two models answer otherwise (bool [rows]).

        Of prose, where a row is many answers, on what share of each row's tokens.
        """
        ...

    def alike(self, outputs: Outputs) -> bool:
        """Whether a model answers every row alike."""
        ...

    def distance(self, outputs: Outputs, others: Outputs) -> np.ndarray:
        """How far apart two models' answers are, 0 where they are alike [rows]."""
        ...

    def answers(self, outputs: Outputs) -> Outputs:
        """What users are told: probabilities or values [rows, outputs], float64."""
        ...

    def said(self, answer: Outputs, names: Sequence[str], item: Item | None = None) -> Said:
        """A row of `answers` in words.

        Args:
            answer: The row.
            names: Of the outputs.
            item: What was asked; of questions it must be given.
        """
        ...

    def wanted(self, target: Any, names: Sequence[str]) -> str:
        """A row's target in words."""
        ...


def score(task: Task, outputs: Outputs, targets: Targets) -> float:
    """The task's score; more is better."""
    parts = task.parts(outputs, targets)
    return float(task.statistic(parts, np.ones((len(parts), 1)))[0])


def says_one_thing(task: Task, outputs: Outputs) -> bool:
    """Whether a model answers every row alike: it has learned what is frequent, and no more."""
    return task.alike(outputs)


def merit(task: Task, outputs: Outputs, targets: Targets) -> float:
    """What validation chooses states by, more is better: the score, or what the task says."""
    known = task.merit(outputs, targets)
    return score(task, outputs, targets) if known is None else known


def agreement(task: Task, outputs: Outputs, others: Outputs) -> float:
    """Share of rows, or of the tokens of prose, on which two models answer alike, 0 to 1."""
    changed = task.changed(outputs, others)
    if task.reads == "prose":
        counts = np.diff(outputs.offsets)
        return float(1 - (changed * counts).sum() / max(1, counts.sum()))
    return float(1 - changed.mean())
