"""Regression: one number a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.raw_labels import SCORE_COLUMNS, LabelForm, scores
from limbeck.data.targets import labelled
from limbeck.data.texts import Item, Texts
from limbeck.errors import DataError, TeacherError
from limbeck.metrics.correlation import concordance, drawn_spearman, pearson
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout

_MOVED = 0.1
"""Of the other model's standard deviation: a value that moves further is another answer."""
_SLOPE = 2.5
"""Scores that are so many times the teacher's answers are on another scale."""


class Regression:
    """One number, by Spearman's rank correlation."""

    name = "regression"
    score_name = "Spearman"
    reads: Reads = "texts"
    head: ClassifierHead = "classifier"
    problem_type: ProblemType | None = "regression"
    pipeline = "text-classification"
    distributes = False
    apart = False
    statistic = staticmethod(drawn_spearman)

    def form(self, data: DataConfig) -> LabelForm:
        """A number a row."""
        low, high = data.score_range or (None, None)
        return LabelForm(SCORE_COLUMNS, scores(low, high))

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """One output."""
        return list(teacher) if teacher is not None else ["score"]

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> np.ndarray:
        """The numbers, NaN in rows without one: [rows]."""
        known = np.array([*map(float, texts.written), np.nan], dtype=np.float32)
        return known[texts.codes]  # -1 is the last

    def refuse_unlearnable(self, targets: np.ndarray, names: Sequence[str], source: str) -> None:
        """Refuse scores that are all the same."""
        known = targets[labelled(targets)]
        if len(known) and (known == known[0]).all():
            raise DataError(
                source,
                f"every scored row has the score {known[0]:g}",
                "Give rows of different scores; check data.label_column.",
            )

    def refuse_stranger(
        self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str], *, where: str
    ) -> None:
        """Refuse scores on another scale than the teacher's answers, or upside down.

        Raises:
            TeacherError: If the answers follow the scores, but by another scale or sign: the
                labels would train towards other numbers than the teacher.
        """
        told = outputs[:, 0].astype(np.float64)
        if len(told) < 10 or not told.std() or not targets.std():
            return
        correlation = float(np.corrcoef(told, targets)[0, 1])
        slope = float(targets.std() / told.std())
        if abs(correlation) < 0.5 or (correlation > 0 and 1 / _SLOPE < slope < _SLOPE):
            return
        raise TeacherError(
            where,
            f"its answers on the validation rows run from {told.min():.2g} to {told.max():.2g} "
            f"(correlation {correlation:.2f}), the scores from {targets.min():.2g} to "
            f"{targets.max():.2g}: labels and teacher would pull to different numbers",
            "Bring the scores to the teacher's scale, or leave them out of training "
            "(data.unlabelled); train the teacher longer if its answers hardly differ.",
        )

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """Mean squared error to the scores."""
        from limbeck.objective import target_mse

        return target_mse(student_logits, targets[:, None])

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """Mean squared error to the teacher's values; numbers have no temperature."""
        from limbeck.objective import value_mse

        return value_mse(student_logits, teacher_logits)

    def unfit(self, term: LogitsTerm) -> str:
        """Numbers have no distribution over classes."""
        if term.divergence not in ("kl", "cross_entropy"):
            return f"divergence {term.divergence} compares distributions over classes"
        if term.standardize:
            return "standardize brings the classes of a row to one scale, and a number has none"
        if term.examples != "equal":
            return f"examples {term.examples} weighs rows by a distribution over classes"
        return ""

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean."""
        return (outputs.float() * weights[..., None]).sum(dim=0)

    def merit(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Lin's concordance: ranks alone would keep a state whose answers hardly differ."""
        return concordance(outputs[:, 0], targets)

    def parts(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Answer and score: [rows, 2]."""
        return np.stack([outputs[:, 0], targets], axis=1).astype(np.float64)

    def measures(self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Measures:
        """Pearson's correlation and the root of the mean squared error."""
        told = outputs[:, 0].astype(np.float64)
        return Measures(
            metrics={
                "pearson": float(pearson(told, targets)),
                "root_mean_squared_error": float(np.sqrt(((told - targets) ** 2).mean())),
            }
        )

    def changed(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Where the value moves by more than a tenth of the others' standard deviation."""
        return np.abs(outputs - others)[:, 0] > _MOVED * others.std()

    def alike(self, outputs: np.ndarray) -> bool:
        """Whether no row is answered otherwise than the first."""
        return not self.changed(outputs, np.broadcast_to(outputs[:1], outputs.shape)).any()

    def distance(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The absolute difference."""
        return np.abs(outputs - others)[:, 0]

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """The numbers themselves."""
        return outputs.astype(np.float64)

    def said(self, answer: np.ndarray, names: Sequence[str], item: Item | None = None) -> Said:
        """The number."""
        return Said(f"{answer[0]:.3g}", None)

    def wanted(self, target: Any, names: Sequence[str]) -> str:
        """The score."""
        return f"{float(target):.3g}"
