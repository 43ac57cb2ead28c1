"""Sentence embeddings: a vector a text, learned from the teacher's vectors alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.raw_labels import SCORE_COLUMNS, LabelForm, scores
from limbeck.data.texts import Item, Texts
from limbeck.errors import TeacherError
from limbeck.metrics.correlation import drawn_spearman, pearson, spearman
from limbeck.metrics.drawn import Statistic, mean_of_rows
from limbeck.metrics.translation import translation_hits
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout

ALIKE = 0.99
"""Two vectors of a text whose cosine is at least this are the same answer."""
TEMPERATURE = 0.05
"""Of the similarities in the loss of the term `logits`."""
_SHOWN = 4
_FEW = 10


class SentenceEmbeddings:
    """A vector a text, by how the cosines of pairs go with their scores.

    Outputs are the vectors [texts, width]. Texts of a pair are answered one by one and stand next
    to each other.

    Args:
        scored: Whether validation and test are pairs with scores: Spearman's correlation is the
            score then, and targets are the scores, each at both texts of its pair [texts]. Else
            it is the mean cosine to the teacher's vectors, and they are the targets [texts, width].
        sides: The languages of parallel rows, the teacher's first: their texts follow each other
            row by row, and targets are the rows' numbers [texts]. The score is how often
            translations find each other then.
    """

    name = "sentence_embeddings"
    reads: Reads = "texts"
    head: ClassifierHead = "vectors"
    problem_type: ProblemType | None = None
    pipeline = "sentence-similarity"
    distributes = False
    apart = True

    def __init__(self, *, scored: bool = False, sides: Sequence[str] = ()) -> None:
        self.scored, self.sides = scored, tuple(sides)
        self.score_name = "Spearman" if scored else "mean cosine to the teacher"
        if sides:
            self.score_name = "retrieval accuracy"
        self.statistic: Statistic = drawn_spearman if scored else mean_of_rows

    def form(self, data: DataConfig) -> LabelForm:
        """A number a pair; a column that is called label holds one only where it is named."""
        low, high = data.score_range or (None, None)
        return LabelForm(SCORE_COLUMNS[:5], scores(low, high))

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """None: the numbers of a vector have no names."""
        return []

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> np.ndarray:
        """The pairs' scores, NaN in rows without one: [rows]."""
        known = np.array([*map(float, texts.written), np.nan], dtype=np.float32)
        return known[texts.codes]  # -1 is the last

    def refuse_unlearnable(self, targets: np.ndarray, names: Sequence[str], source: str) -> None:
        """Nothing: no target is learned from."""

    def refuse_stranger(
        self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str], *, where: str
    ) -> None:
        """Refuse scores that fall where the teacher finds texts more alike.

        Raises:
            TeacherError: If so: they are distances, and the best student would look the worst.
        """
        if not self.scored or len(targets) < 2 * _FEW:
            return
        correlation = spearman(*self.parts(outputs, targets).T)
        if correlation < -0.2:
            raise TeacherError(
                where,
                f"the more alike it finds two texts, the lower is their score (Spearman "
                f"{correlation:.2f} on the validation pairs)",
                "Turn the scores round, so that the highest is of texts that mean the same.",
            )

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """0: there are no labels of vectors."""
        return 0.0 * student_logits.sum()

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """Cosine to the teacher's vectors, and the same neighbors in the batch.

        Where widths differ, the neighbors alone. Vectors have no temperature of logits.
        """
        from limbeck.objective import in_batch_similarity_kl, pooled_cosine

        near = in_batch_similarity_kl(student_logits, teacher_logits, temperature=TEMPERATURE)
        if student_logits.shape != teacher_logits.shape:
            return near
        return pooled_cosine(student_logits, teacher_logits) + near

    def unfit(self, term: LogitsTerm) -> str:
        """Vectors have no distribution over classes."""
        if term.divergence not in ("kl", "cross_entropy"):
            return f"divergence {term.divergence} compares distributions over classes"
        if term.standardize:
            return "standardize brings classes to one scale, and vectors have none"
        if term.examples != "equal":
            return f"examples {term.examples} weighs rows by a distribution over classes"
        return ""

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean."""
        return (outputs.float() * weights[..., None]).sum(dim=0)

    def merit(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """The score says it."""

    def parts(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """What the score is made of.

        Cosine and score of each pair [pairs, 2], each text's cosine to its target [texts], or the
        share of a row's searches that find its translation [rows].
        """
        if self.sides:
            return self._hits(outputs).mean(axis=(1, 2))
        if not self.scored:
            return cosines(outputs, targets)
        return np.stack([cosines(outputs[::2], outputs[1::2]), targets[::2]], axis=1)

    def measures(self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Measures:
        """Pearson's correlation, accuracy by language, or the 5th percentile of cosines."""
        if self.sides:
            shares = self._hits(outputs).mean(axis=0)
            source = self.sides[0]
            found = {}
            for side, (there, back) in zip(self.sides[1:], shares.tolist(), strict=True):
                found |= {f"{side}_to_{source}": there, f"{source}_to_{side}": back}
            return Measures(metrics=found)
        parts = self.parts(outputs, targets)
        if self.scored:
            return Measures(metrics={"pearson": pearson(*parts.T)})
        return Measures(metrics={"cosine_5th_percentile": float(np.quantile(parts, 0.05))})

    def _hits(self, outputs: np.ndarray) -> np.ndarray:
        return translation_hits(outputs.reshape(-1, len(self.sides), outputs.shape[-1]))

    def changed(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Where the cosine of the two vectors is below `ALIKE`; everywhere if widths differ."""
        return self.distance(outputs, others) > 1 - ALIKE

    def alike(self, outputs: np.ndarray) -> bool:
        """Whether no row is answered otherwise than the first."""
        return not self.changed(outputs, np.broadcast_to(outputs[:1], outputs.shape)).any()

    def distance(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """1 - the cosine of the two vectors; 1 if their widths differ."""
        if outputs.shape != others.shape:
            return np.ones(len(outputs))
        return 1 - cosines(outputs, others)

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """The vectors themselves."""
        return outputs.astype(np.float64)

    def said(self, answer: np.ndarray, names: Sequence[str], item: Item | None = None) -> Said:
        """The first numbers."""
        shown = ", ".join(f"{number:.3f}" for number in answer[:_SHOWN].tolist())
        return Said(shown + (", …" if len(answer) > _SHOWN else ""), None)

    def wanted(self, target: Any, names: Sequence[str]) -> str:
        """The pair's score, or the first numbers of the teacher's vector."""
        if self.scored:
            return f"{float(target):.3g}"
        if self.sides:
            return f"row {int(target) + 1}"
        return self.said(np.asarray(target, dtype=np.float64), names).words


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Row by row the cosine of two arrays [rows, width], float64 [rows]; 0 of a zero vector."""
    one, two = left.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return (one * two).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
