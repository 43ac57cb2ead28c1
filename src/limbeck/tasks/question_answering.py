"""Extractive question answering: the piece of a text that answers a question, if any does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.answers import told_answers
from limbeck.data.asked import Asked, Windowing
from limbeck.data.per_question import NO_ANSWER, SpanAnswers, SpanOutputs, SpanTargets
from limbeck.data.raw_labels import LabelForm, one_label
from limbeck.data.texts import Item, Texts
from limbeck.errors import DataError
from limbeck.metrics.drawn import mean_of_rows
from limbeck.metrics.question_answering import exact_match, token_f1
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout

OUTPUTS = ("start", "end")
"""Of each place: whether an answer starts there, and whether it ends there."""
LONGEST = 30
"""Tokens of the longest answer that is given. Of 4,000 of SQuAD's training answers 0.3 % are longer
under BERT's English tokenizer; of XQuAD's Russian ones, which it cuts into letters, 7 %."""
_SAID_NOTHING = "no answer"


class QuestionAnswering:
    """Pieces of texts by SQuAD's F1: the words that an answer shares with the nearest right one.

    A long context is read in windows, which are the rows that models are asked about and learn
    from. The answer is the best of all windows of its question.

    Args:
        no_answer: Whether some questions have no answer. Where none lacks one, the best piece is
            always given.
        windowing: How long contexts are read.
    """

    name = "question_answering"
    score_name = "F1"
    reads: Reads = "questions"
    head: ClassifierHead = "span"
    problem_type: ProblemType | None = None
    pipeline = "question-answering"
    distributes = False
    apart = False
    statistic = staticmethod(mean_of_rows)

    def __init__(self, *, no_answer: bool = False, windowing: Windowing | None = None) -> None:
        self.no_answer = no_answer
        self.windowing = windowing or Windowing()

    def form(self, data: DataConfig) -> LabelForm:
        """Of no use: answers are read with the questions (`tasks.reading`)."""
        return LabelForm(("answers",), one_label)

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """Start and end, whatever the teacher calls them."""
        return list(OUTPUTS)

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> SpanTargets:
        """The answers as they were written."""
        return SpanTargets(texts.written, texts.codes, texts.pairs, np.arange(len(texts)))

    def refuse_unlearnable(self, targets: SpanTargets, names: Sequence[str], source: str) -> None:
        """Refuse labelled questions none of which has an answer."""
        if (targets.codes >= 0).any() and not targets.answerable().any():
            raise DataError(
                source,
                "no question of it has an answer, so there is nothing to find",
                "Check the column answers.",
            )

    def refuse_stranger(
        self, outputs: SpanOutputs, targets: SpanTargets, names: Sequence[str], *, where: str
    ) -> None:
        """Nothing: answers have no order that could be another."""

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """Cross-entropy of start and end over a window's places, one of which is no answer."""
        from limbeck.objective import span_cross_entropy

        assert layout is not None  # of every batch of windows
        starts, ends = targets.unbind(dim=1)
        return span_cross_entropy(layout.padded(student_logits), starts, ends, layout.mask())

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """KL over a window's places, of start and of end."""
        from limbeck.objective import span_kl

        assert layout is not None
        student, teacher = layout.padded(student_logits), layout.padded(teacher_logits)
        return span_kl(student, teacher, layout.mask(), temperature=temperature)

    def unfit(self, term: LogitsTerm) -> str:
        """The places of a window are no classes: there are others in each."""
        if term.divergence not in ("kl", "cross_entropy"):
            return f"divergence {term.divergence} compares distributions over classes"
        if term.standardize:
            return "standardize brings classes to one scale, and places of an answer are none"
        if term.examples != "equal":
            return f"examples {term.examples} weighs rows by a distribution over classes"
        return ""

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean; weights are of places."""
        return (outputs.float() * weights[..., None]).sum(dim=0)

    def merit(self, outputs: SpanOutputs, targets: SpanTargets) -> None:
        """The score says it."""

    def parts(self, outputs: SpanOutputs, targets: SpanTargets) -> np.ndarray:
        """Each question's F1 [questions]."""
        return token_f1(self._texts(outputs, targets), targets.answers())

    def measures(
        self, outputs: SpanOutputs, targets: SpanTargets, names: Sequence[str]
    ) -> Measures:
        """Exact match; and how answers and their absence do, where some questions have none."""
        said, right = self._texts(outputs, targets), targets.answers()
        found = {"exact_match": float(exact_match(said, right).mean())}
        there = targets.answerable()
        if not there.all():
            scores = token_f1(said, right)
            nothing = np.array([not text for text in said])
            found |= {
                "answerable": float(there.mean()),
                "f1_of_answerable": float(scores[there].mean()) if there.any() else 0.0,
                "no_answer_accuracy": float(nothing[~there].mean()),
            }
        return Measures(metrics=found)

    def changed(self, outputs: SpanOutputs, others: SpanOutputs) -> np.ndarray:
        """Questions that are answered with another piece of the context."""
        return (self.answers(outputs).spans != self.answers(others).spans).any(axis=1)

    def alike(self, outputs: SpanOutputs) -> bool:
        """Whether no question is answered, or all with the same characters."""
        spans = self.answers(outputs).spans
        return bool((spans == spans[:1]).all())

    def distance(self, outputs: SpanOutputs, others: SpanOutputs) -> np.ndarray:
        """Where answers differ, the product of both models' sureness."""
        own, theirs = self.answers(outputs), self.answers(others)
        differ = (own.spans != theirs.spans).any(axis=1)
        return own.probabilities * theirs.probabilities * differ

    def answers(self, outputs: SpanOutputs) -> SpanAnswers:
        """The best piece of each context, or none, and its probability."""
        return told_answers(outputs, max_answer_tokens=LONGEST, no_answer=self.no_answer)

    def said(self, answer: SpanAnswers, names: Sequence[str], item: Item | None = None) -> Said:
        """The piece of the context."""
        assert isinstance(item, Asked)  # a piece of nothing cannot be told
        [(start, end)] = answer.spans.tolist()
        words = item.context[start:end] if start >= 0 else _SAID_NOTHING
        return Said(words, float(answer.probabilities[0]))

    def wanted(self, target: SpanTargets, names: Sequence[str]) -> str:
        """The right answers, each once."""
        [answers] = target.answers()
        return " | ".join(dict.fromkeys(answers)) or _SAID_NOTHING

    def _texts(self, outputs: SpanOutputs, targets: SpanTargets) -> list[str]:
        return targets.texts(self.answers(outputs).spans)


def settled(
    task: QuestionAnswering, data: DataConfig, splits: Sequence[Texts]
) -> QuestionAnswering:
    """The task as these rows want it: whether some questions have no answer.

    Args:
        task: As it was found.
        data: How contexts are read.
        splits: All rows with labels.
    """
    lacking = any(NO_ANSWER in texts.labels() for texts in splits)
    return QuestionAnswering(no_answer=task.no_answer or lacking, windowing=windowing_of(data))


def windowing_of(data: DataConfig) -> Windowing:
    """How a recipe's contexts are read."""
    return Windowing(data.stride, data.question_tokens)
