"""Token classification: named entities, each word of a text tagged in IOB2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.config.terms import LogitsTerm
from limbeck.data.labels import label_names
from limbeck.data.per_word import WordOutputs, WordTargets
from limbeck.data.places import NOWHERE, SHARED
from limbeck.data.raw_labels import LabelForm, one_label
from limbeck.data.tagged_rows import TAG_COLUMNS
from limbeck.data.tags import OUTSIDE, parted, tag_names
from limbeck.data.texts import UNLABELLED, Item, Texts
from limbeck.data.worded import WordedText
from limbeck.data.words import encode_tags
from limbeck.errors import DataError, TeacherError
from limbeck.metrics.counts import f1, macro_f1, micro_f1, precision, recall
from limbeck.metrics.drawn import of_sums
from limbeck.metrics.entities import entities, entity_counts
from limbeck.tasks.label_order import check_label_order
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.tasks.task import ClassifierHead, Measures, ProblemType, Reads, Said

if TYPE_CHECKING:
    from torch import Tensor

    from limbeck.data.layout import Layout


@dataclass(frozen=True)
class Found:
    """An entity in a text.

    Attributes:
        type: Such as PER.
        start: Its first character.
        end: The one after its last.
        text: What stands there.
        probability: That of the least sure of its words' tags.
    """

    type: str
    start: int
    end: int
    text: str
    probability: float


class TokenClassification:
    """Entities by strict F1: one is right when its type, first and last word all are.

    A word is read off its first token. One that has none because the text was cut is outside of
    all entities; one inside the token of the word before goes on with that word's entity.
    """

    name = "token_classification"
    score_name = "entity F1"
    reads: Reads = "words"
    head: ClassifierHead = "token_classifier"
    problem_type: ProblemType | None = None
    pipeline = "token-classification"
    distributes = True
    apart = False
    statistic = staticmethod(of_sums(micro_f1))

    def form(self, data: DataConfig) -> LabelForm:
        """Of no use: tags are read with the words (`tasks.reading`)."""
        return LabelForm(TAG_COLUMNS, one_label)

    def names(
        self, texts: Texts, data: DataConfig, teacher: Sequence[str] | None, source: str
    ) -> list[str]:
        """The teacher's tags; from data O, and B-X and I-X of every type.

        Raises:
            TeacherError: For a teacher whose tags are not IOB2.
            DataError: If no row has tags.
        """
        if teacher is not None:
            _refuse_other_schemes(teacher)
            return label_names(data.labels, teacher)
        assert texts.words is not None
        used = np.unique(texts.words.codes[texts.words.codes >= 0])
        found = tag_names([texts.words.written[code] for code in used], "iob2")
        if not len(used):
            raise DataError(source, "no row has tags", "Check data.tags_column.")
        return found

    def targets(
        self, texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
    ) -> WordTargets:
        """The class of every word, -100 in rows without tags."""
        assert texts.words is not None
        values = encode_tags(texts.words, names, source=source)
        return WordTargets(values, texts.words.offsets, tuple(names))

    def refuse_unlearnable(self, targets: WordTargets, names: Sequence[str], source: str) -> None:
        """Refuse tagged rows in which there is no entity."""
        known = targets.values[targets.values != UNLABELLED]
        if len(known) and (known == names.index(OUTSIDE)).all():
            raise DataError(
                source, "no word of it is in an entity: all tags are O", "Check data.tags_column."
            )

    def refuse_stranger(
        self, outputs: WordOutputs, targets: WordTargets, names: Sequence[str], *, where: str
    ) -> None:
        """Refuse tags that fit the teacher far better under another numbering.

        Words outside of all entities do not count: most are, and would hide the others.
        """
        inside = (outputs.places >= 0) & (targets.values != names.index(OUTSIDE))
        if inside.any():
            check_label_order(outputs.values[inside], targets.values[inside], names, where=where)

    def hard(self, student_logits: Tensor, targets: Tensor, layout: Layout | None = None) -> Tensor:
        """Cross-entropy to the words' tags."""
        return SINGLE_LABEL.hard(student_logits, targets)

    def soft(
        self,
        student_logits: Tensor,
        teacher_logits: Tensor,
        layout: Layout | None = None,
        *,
        temperature: float,
    ) -> Tensor:
        """KL over the tags of each word."""
        return SINGLE_LABEL.soft(student_logits, teacher_logits, temperature=temperature)

    def unfit(self, term: LogitsTerm) -> str:
        """Every divergence says something about tags."""
        return ""

    def mixed(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """As of classes; weights are of words."""
        return SINGLE_LABEL.mixed(outputs, weights)

    def merit(self, outputs: WordOutputs, targets: WordTargets) -> None:
        """The score says it."""

    def parts(self, outputs: WordOutputs, targets: WordTargets) -> np.ndarray:
        """Entities that are right, found, and there, by type: [rows, types, 3]."""
        names = targets.names
        gold = _by_row([names[value] for value in targets.values.tolist()], targets.offsets)
        return entity_counts(tags_said(outputs, names), gold, types=types_of(names), strict=True)

    def measures(
        self, outputs: WordOutputs, targets: WordTargets, names: Sequence[str]
    ) -> Measures:
        """Precision and recall of all entities and of each type, and the words that are right."""
        counts = self.parts(outputs, targets).sum(axis=0)
        whole = counts.sum(axis=0)
        said = [tag for row in tags_said(outputs, names) for tag in row]
        gold = [names[value] for value in targets.values.tolist()]
        return Measures(
            metrics={
                "micro_precision": float(precision(whole)),
                "micro_recall": float(recall(whole)),
                "macro_f1": float(macro_f1(counts)),
                "word_accuracy": float(np.mean([a == b for a, b in zip(said, gold, strict=True)])),
            },
            per_class={
                kind: {
                    "precision": float(precision(own)),
                    "recall": float(recall(own)),
                    "f1": float(f1(own)),
                    "support": int(own[2]),
                }
                for kind, own in zip(types_of(names), counts, strict=True)
            },
        )

    def changed(self, outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
        """Rows in which any word has another tag."""
        return _any_word(_differs(outputs, others), outputs.offsets)

    def alike(self, outputs: WordOutputs) -> bool:
        """Whether every word has the same tag."""
        tags = outputs.values.argmax(axis=1)
        return bool((tags == tags[:1]).all())

    def distance(self, outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
        """Where tags differ, the largest product of both models' sureness of a word."""
        sure = self.answers(outputs).values.max(axis=1) * self.answers(others).values.max(axis=1)
        far = np.zeros(len(outputs))
        rows = np.repeat(np.arange(len(outputs)), np.diff(outputs.offsets))
        np.maximum.at(far, rows, sure * _differs(outputs, others))
        return far

    def answers(self, outputs: WordOutputs) -> WordOutputs:
        """Softmax over the tags of each word."""
        shares = SINGLE_LABEL.answers(outputs.values)
        return WordOutputs(shares, outputs.offsets, outputs.places)

    def said(self, answer: WordOutputs, names: Sequence[str], item: Item | None = None) -> Said:
        """The entities of one row by their words' numbers; as sure as of the least sure word."""
        [tags] = tags_said(answer, names)
        there = answer.places >= 0
        sure = float(answer.values.max(axis=1)[there].min()) if there.any() else None
        return Said(_in_words(tags), sure)

    def wanted(self, target: WordTargets, names: Sequence[str]) -> str:
        """The entities of one row by their words' numbers."""
        tags: list[str] = [names[int(value)] for value in target.values]
        return _in_words(tags)


def tags_said(outputs: WordOutputs, names: Sequence[str]) -> list[list[str]]:
    """The tag of every word, row by row."""
    goes_on = {name: f"I-{name[2:]}" if name != OUTSIDE else OUTSIDE for name in names}
    tags: list[str] = []
    best: list[int] = outputs.values.argmax(axis=1).tolist() if len(outputs.values) else []
    for tag, place in zip(best, outputs.places.tolist(), strict=True):
        if place == SHARED:
            tags.append(goes_on[tags[-1]])
        else:
            tags.append(OUTSIDE if place == NOWHERE else names[tag])
    return _by_row(tags, outputs.offsets)


def types_of(names: Sequence[str]) -> list[str]:
    """The types of entities that tags are of, sorted."""
    return sorted({parted(name)[1] for name in names} - {""})


def entities_said(item: WordedText, answer: WordOutputs, names: Sequence[str]) -> list[Found]:
    """The entities of one text.

    Args:
        item: The text and its words.
        answer: The row of `TokenClassification.answers` about it.
        names: The tags.
    """
    [tags] = tags_said(answer, names)
    sure = np.where(answer.places >= 0, answer.values.max(axis=1, initial=0), 1.0)
    found = []
    for kind, first, end in entities(tags, strict=True):
        start, stop = item.spans[first][0], item.spans[end - 1][1]
        probability = float(sure[first:end].min())
        found.append(Found(kind, start, stop, item.text[start:stop], probability))
    return found


def _by_row(tags: list[str], offsets: np.ndarray) -> list[list[str]]:
    ends: list[int] = offsets.tolist()
    return [tags[start:end] for start, end in pairwise(ends)]


def _differs(outputs: WordOutputs, others: WordOutputs) -> np.ndarray:
    """Whether a word has another tag; a word that one of two models has no token of counts too."""
    other_tag = outputs.values.argmax(axis=1) != others.values.argmax(axis=1)
    here, there = outputs.places >= 0, others.places >= 0
    return np.where(here & there, other_tag, here != there)


def _any_word(found: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    known = np.concatenate([[0], np.cumsum(found)])
    return np.diff(known[offsets]) > 0


def _in_words(tags: Sequence[str]) -> str:
    told = [
        f"{kind} (word {first + 1})" if end == first + 1 else f"{kind} (words {first + 1}-{end})"
        for kind, first, end in entities(tags, strict=True)
    ]
    return ", ".join(told) or "none"


def _refuse_other_schemes(names: Sequence[str]) -> None:
    odd = [n for n in names if n != OUTSIDE and not (n[:2] in ("B-", "I-") and parted(n)[1])]
    if not odd and OUTSIDE in names:
        return
    found = f"its tag {odd[0]!r} is none of O, B-TYPE, I-TYPE" if odd else "it has no tag O"
    raise TeacherError(
        "the teacher's config.json, id2label",
        f"{found}: entities are found and counted by tags in IOB2",
        "Give a teacher of IOB2 tags, or make one from its encoder with `limbeck teach`.",
    )
