"""Single-label classification: a text or a pair of texts, one of several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.labels import encode_labels, label_names, names_from_data, one_class_only
from limbeck.data.raw_labels import ONE_LABEL, LabelForm
from limbeck.data.targets import labelled
from limbeck.data.texts import Item, Texts
from limbeck.metrics.drawn import mean_of_rows
from limbeck.tasks.calibration import calibration_error
from limbeck.tasks.label_order import check_label_order
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout


class SingleLabel:
    """One of several classes, by accuracy."""

    name = "single_label"
    score_name = "accuracy"
    reads: Reads = "texts"
    head: ClassifierHead = "classifier"
    problem_type: ProblemType | None = "single_label_classification"
    pipeline = "text-classification"
    distributes = True
    apart = False
    statistic = staticmethod(mean_of_rows)

    def form(self, data: DataConfig) -> LabelForm:
        """One string or integer a row."""
        return ONE_LABEL

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """Class names in the teacher's order."""
        if teacher is None:
            return names_from_data(texts, data.labels, source)
        return label_names(data.labels, teacher)

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> np.ndarray:
        """Class indices [rows], int64."""
        return encode_labels(texts, names, source=source, beside=beside)

    def refuse_unlearnable(self, targets: np.ndarray, names: Sequence[str], source: str) -> None:
        """Refuse labels of one class alone."""
        classes = np.unique(targets[labelled(targets)])
        if len(classes) == 1:
            raise one_class_only([names[int(classes[0])]], source)

    def refuse_stranger(
        self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str], *, where: str
    ) -> None:
        """Refuse labels that fit the teacher far better under another numbering."""
        check_label_order(outputs, targets, names, where=where)

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """Cross-entropy to the labels."""
        from limbeck.objective import hard_cross_entropy

        return hard_cross_entropy(student_logits, targets)

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """KL over classes."""
        from limbeck.objective import logit_kl

        return logit_kl(student_logits, teacher_logits, temperature=temperature)

    def unfit(self, term: LogitsTerm) -> str:
        """Every divergence says something about classes."""
        return ""

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """The logarithm of the mixed probabilities."""
        import torch

        log_probabilities = torch.log_softmax(outputs.float(), dim=-1)
        return torch.logsumexp(log_probabilities + weights.log()[..., None], dim=0)

    def merit(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """The score says it."""

    def parts(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """1.0 a row whose largest logit is the label's, else 0.0."""
        return (outputs.argmax(axis=1) == targets).astype(np.float64)

    def measures(self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Measures:
        """Macro precision, recall and F1 over the classes that occur, confusion, calibration."""
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        answers, classes = outputs.argmax(axis=1), np.arange(len(names))
        found = precision_recall_fscore_support(
            targets,
            answers,
            labels=classes,
            zero_division=0.0,  # pyright: ignore[reportArgumentType]
        )
        figures = np.asarray(found, dtype=np.float64)
        present = figures[3] > 0
        kinds = ("precision", "recall", "f1")
        return Measures(
            metrics={
                kind: float(figures[place][present].mean()) for place, kind in enumerate(kinds)
            },
            per_class={
                name: {kind: float(figures[place, index]) for place, kind in enumerate(kinds)}
                | {"support": int(figures[3, index])}
                for index, name in enumerate(names)
            },
            confusion=confusion_matrix(targets, answers, labels=classes).tolist(),
            calibration_error=calibration_error(self.answers(outputs), targets),
        )

    def changed(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Where the likeliest class differs."""
        return outputs.argmax(axis=1) != others.argmax(axis=1)

    def alike(self, outputs: np.ndarray) -> bool:
        """Whether no row is answered otherwise than the first."""
        return not self.changed(outputs, np.broadcast_to(outputs[:1], outputs.shape)).any()

    def distance(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Where they answer otherwise, the product of both models' sureness."""
        sure = self.answers(outputs).max(axis=1) * self.answers(others).max(axis=1)
        return sure * self.changed(outputs, others)

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """Softmax over the classes."""
        logits = outputs.astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def said(self, answer: np.ndarray, names: Sequence[str], item: Item | None = None) -> Said:
        """The likeliest class."""
        place = int(answer.argmax())
        return Said(names[place], float(answer[place]))

    def wanted(self, target: Any, names: Sequence[str]) -> str:
        """The label's name."""
        return names[int(target)]


SINGLE_LABEL = SingleLabel()
"""The task of most classifiers."""
