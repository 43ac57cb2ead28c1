"""Multi-label classification: any number of the classes apply, each by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.labels import folded, label_names
from limbeck.data.raw_labels import LABEL_COLUMNS, LabelForm, label_sets
from limbeck.data.targets import labelled
from limbeck.data.texts import UNLABELLED, Item, Texts
from limbeck.errors import DataError, TeacherError, nearest
from limbeck.metrics.counts import f1
from limbeck.metrics.drawn import of_sums
from limbeck.metrics.multi_label import label_counts, mean_average_precision
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout

_GAIN = 0.2
"""How much better another numbering must fit before it is believed over the given one."""


class MultiLabel:
    """Each class applies or not, by micro F1; a class applies where its probability is over 0.5."""

    name = "multi_label"
    score_name = "micro F1"
    reads: Reads = "texts"
    head: ClassifierHead = "classifier"
    problem_type: ProblemType | None = "multi_label_classification"
    pipeline = "text-classification"
    distributes = False
    apart = False
    statistic = staticmethod(of_sums(f1))

    def form(self, data: DataConfig) -> LabelForm:
        """A list a row, or labels joined in a string."""
        return LabelForm(LABEL_COLUMNS, label_sets(data.label_separator))

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """Class names in the teacher's order; from data sorted."""
        if teacher is not None:
            return label_names(data.labels, teacher)
        if data.labels is not None:
            return list(data.labels)
        found = _distinct([texts])
        if not found:
            raise DataError(source, "no row has a label", "Check data.label_column.")
        whole = all(label.isdecimal() for label in found)
        return sorted(found, key=int) if whole else sorted(found)

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> np.ndarray:
        """1 where a class applies, else 0; -100 in rows without labels: [rows, classes], int8.

        As with single labels, names are matched first; if all labels of all splits are integers
        and one of them is no name, they are indices.

        Raises:
            TeacherError: For a label that is none of the names, or two names that are alike.
        """
        places = {folded(name): place for place, name in enumerate(names)}
        if len(places) < len(names):
            raise TeacherError(
                "config.json, id2label",
                "two classes have the same name",
                "Give each class its own name in the teacher's config.",
            )
        everywhere = _distinct([texts, *beside])
        whole = all(label.isdecimal() for label in everywhere)
        if whole and not all(folded(label) in places for label in everywhere):
            places = {str(place): place for place in range(len(names))}
        used = np.unique(texts.codes)
        sets = np.zeros((len(texts.written) + 1, len(names)), dtype=np.int8)
        sets[-1] = UNLABELLED  # -1 is the last
        for code in used[used >= 0].tolist():
            for label in json.loads(texts.written[code]):
                place = places.get(folded(label))
                if place is None:
                    raise _unknown(texts, code, label, names, source)
                sets[code, place] = 1
        return sets[texts.codes]

    def refuse_unlearnable(self, targets: np.ndarray, names: Sequence[str], source: str) -> None:
        """Refuse labels that are the same in every row."""
        known = targets[labelled(targets)]
        if len(known) and (known == known[0]).all():
            raise DataError(
                source,
                "every labelled row has the same labels, so there is nothing to tell apart",
                "Check data.label_column and data.label_separator.",
            )

    def refuse_stranger(
        self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str], *, where: str
    ) -> None:
        """Refuse a teacher whose answers fit the labels of another class far better.

        Raises:
            TeacherError: If most classes are answered as another one.
        """
        from scipy.optimize import linear_sum_assignment

        answers = (outputs > 0).astype(np.float64)
        hits = 2 * targets.T.astype(np.float64) @ answers
        wanted = targets.sum(0, dtype=np.float64)
        scores = hits / np.maximum(wanted[:, None] + answers.sum(0)[None, :], 1)
        used = wanted > 0
        if not used.any():  # no class applies to any row, so none tells the order
            return
        rows, columns = linear_sum_assignment(-scores)
        given, best = np.diag(scores)[used].mean(), scores[rows, columns][used].mean()
        if best - given > _GAIN:
            raise TeacherError(
                where,
                f"the label order differs: the teacher's F1 over the classes of the validation "
                f"rows is {given:.2f}, and would be {best:.2f} if they were numbered otherwise",
                "Write the data's labels as the teacher's names, or number them in its order.",
            )

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """Binary cross-entropy, class by class."""
        from limbeck.objective import binary_cross_entropy

        return binary_cross_entropy(student_logits, targets)

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """Binary KL, class by class: never a softmax, whose classes exclude each other."""
        from limbeck.objective import binary_kl

        return binary_kl(student_logits, teacher_logits, temperature=temperature)

    def unfit(self, term: LogitsTerm) -> str:
        """Divergences of a softmax say nothing about classes that do not exclude each other."""
        if term.divergence not in ("kl", "cross_entropy"):
            return f"divergence {term.divergence} compares distributions over exclusive classes"
        if term.standardize:
            return "standardize brings the classes of a row to one scale, but each is its own"
        if term.examples != "equal":
            return f"examples {term.examples} weighs rows by a distribution over exclusive classes"
        return ""

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """The logit of each class's mixed probability."""
        import torch

        yes = torch.nn.functional.logsigmoid(outputs.float()) + weights.log()[..., None]
        no = torch.nn.functional.logsigmoid(-outputs.float()) + weights.log()[..., None]
        return yes.logsumexp(dim=0) - no.logsumexp(dim=0)

    def merit(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """The score says it."""

    def parts(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Classes that are rightly answered, answered, and wanted: [rows, 3]."""
        return label_counts(outputs, targets, threshold=0.0).sum(axis=1)

    def measures(self, outputs: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Measures:
        """Macro F1 and mean average precision over the classes that occur, whole rows right."""
        from sklearn.metrics import precision_recall_fscore_support

        answers, present = outputs > 0, targets.sum(0) > 0
        found = precision_recall_fscore_support(
            targets > 0,
            answers,
            average=None,
            zero_division=0.0,  # pyright: ignore[reportArgumentType]
        )
        figures = np.asarray(found, dtype=np.float64)
        return Measures(
            metrics={
                "macro_f1": float(figures[2][present].mean()) if present.any() else 0.0,
                "mean_average_precision": (
                    mean_average_precision(outputs, targets) if present.any() else 0.0
                ),
                "exact_match": float((answers == (targets > 0)).all(axis=1).mean()),
            },
            per_class={
                name: {
                    "precision": float(figures[0, index]),
                    "recall": float(figures[1, index]),
                    "f1": float(figures[2, index]),
                    "support": int(figures[3, index]),
                }
                for index, name in enumerate(names)
            },
        )

    def changed(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Where any class is answered otherwise."""
        return ((outputs > 0) != (others > 0)).any(axis=1)

    def alike(self, outputs: np.ndarray) -> bool:
        """Whether no row is answered otherwise than the first."""
        return not self.changed(outputs, np.broadcast_to(outputs[:1], outputs.shape)).any()

    def distance(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The largest difference of a class's probabilities, where an answer differs."""
        apart = np.abs(self.answers(outputs) - self.answers(others)).max(axis=1)
        return apart * self.changed(outputs, others)

    def answers(self, outputs: np.ndarray) -> np.ndarray:
        """Each class's probability."""
        from scipy.special import expit

        return expit(outputs.astype(np.float64))

    def said(self, answer: np.ndarray, names: Sequence[str], item: Item | None = None) -> Said:
        """The classes that apply; as sure as of the least sure class."""
        words = ", ".join(names[place] for place in np.flatnonzero(answer > 0.5).tolist())
        return Said(words or "none", float(np.maximum(answer, 1 - answer).min()))

    def wanted(self, target: Any, names: Sequence[str]) -> str:
        """The labels' names."""
        return ", ".join(names[place] for place in np.flatnonzero(target > 0).tolist()) or "none"


def _distinct(splits: Sequence[Texts]) -> set[str]:
    return {
        label for texts in splits for written in texts.labels() for label in json.loads(written)
    }


def _unknown(
    texts: Texts, code: int, label: str, names: Sequence[str], source: str
) -> TeacherError:
    first = texts.ids[int(np.flatnonzero(texts.codes == code)[0])]
    return TeacherError(
        f"{source}, {first}",
        f"the label {label!r} is none of the {len(names)} classes.{nearest(label, names)}",
        "Use the teacher's names, or check data.label_separator.",
    )
