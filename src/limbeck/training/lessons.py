"""What a training is given: rows to learn from, and rows to be examined on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.stages import OnPolicyConfig
from limbeck.data.batches import Batch
from limbeck.data.encode import Encoded
from limbeck.data.masking import Masking
from limbeck.data.per_word import Targets, WordTargets
from limbeck.data.ragged import words_of
from limbeck.data.targets import labelled
from limbeck.data.texts import UNLABELLED
from limbeck.knowledge.anew import AskedAnew
from limbeck.knowledge.answers import Answers
from limbeck.knowledge.carried import Carried
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.tasks.task import Task
from limbeck.teacher.attention import part_width
from limbeck.teacher.family import head_count, layer_count
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.parts import Part
from limbeck.training.inputs import Counted
from limbeck.training.samples import Samples
from limbeck.training.tokens import TokensSide

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from limbeck.training.companion import LearningTeacher


@dataclass(frozen=True)
class TeacherSide:
    """What terms must know of the teacher beside its answers.

    Attributes:
        layers: Its depth, the embeddings not counted.
        hidden: Width of its hidden states.
        embedding: Width of its embedding output, layer 0.
        heads: Its attention heads.
    """

    layers: int
    hidden: int
    embedding: int
    heads: int


def teacher_side(config: PreTrainedConfig) -> TeacherSide:
    """What terms must know of a teacher with this config."""
    return TeacherSide(
        layers=layer_count(config),
        hidden=part_width(config, Part("hidden", 1)),
        embedding=part_width(config, Part("hidden", 0)),
        heads=head_count(config),
    )


@dataclass(frozen=True)
class Lessons:
    """What a student learns from.

    Attributes:
        encoded: Token ids under the student's tokenizer.
        labels: Targets of the rows (`data.targets`).
        answers: What the teacher says to the same rows, or None without a teacher; carried over
            where it has other tokens.
        teacher: Who says it, or None without a teacher.
        ids: The rows' ids, for messages.
        rows: Those that may be learned from, rising; None for all.
        companion: The teacher that gives the answers, where it learns along.
        masking: Hides words, which are the labels then; None shows the texts as they are.
        task: Which losses are right for them.
        tokens: How the teacher's answers tell of tokens, where tokens are foretold.
        samples: Steps on what the student writes itself, or None.
    """

    encoded: Encoded
    labels: Targets
    answers: Answers | AskedAnew | None
    teacher: TeacherSide | None
    ids: Sequence[str]
    rows: np.ndarray | None = None
    companion: LearningTeacher | None = None
    masking: Masking | None = None
    task: Task = SINGLE_LABEL
    tokens: TokensSide | None = None
    samples: Samples | None = None

    @property
    def carried(self) -> Carried | None:
        """The answers, if states come from other tokens than the student's; else None."""
        answers = self.answers
        return answers if isinstance(answers, Carried) and answers.of_states else None

    @property
    def told(self) -> np.ndarray | None:
        """Which rows the teacher answered (bool [rows]); None where it answered all."""
        answers = self.answers
        return None if answers is None or isinstance(answers, AskedAnew) else answers.told

    def count(self, rows: np.ndarray, number: int) -> Counted:
        """How much the rows hold, in step `number`, of what terms take means over."""
        if self.samples is not None and self.samples.own(number):
            return self._written(rows, self.samples.settings)
        offsets = self.encoded.offsets
        lengths = offsets[rows + 1] - offsets[rows]
        lists = self.encoded.lists_of(rows)
        if self.masking is not None:
            answered = with_label = self.masking.count(self.encoded, rows, number)
        elif isinstance(self.labels, WordTargets):
            assert self.encoded.places is not None
            words, _ = words_of(self.encoded.places.offsets, rows)
            told = self.labels.values[words[self.encoded.places.places[words] >= 0]]
            answered, with_label = len(told), int((told != UNLABELLED).sum())
        elif lists is not None:  # a query's candidates are one answer
            answered = len(lists) - 1
            with_label = int(labelled(self.labels[rows[lists[:-1]]]).sum())
        else:
            told = self.told
            answered = len(rows) if told is None else int(told[rows].sum())
            with_label = int(labelled(self.labels[rows]).sum())
        return Counted(
            rows=len(rows),
            answered=answered,
            labelled=with_label,
            tokens=int(lengths.sum()) if self.carried is None else self.carried.count(rows),
            pairs=int((lengths**2).sum()),
        )

    def parts(self, rows: np.ndarray, count: int) -> list[np.ndarray]:
        """The rows in `count` parts that interleave, so that each has its share of long ones.

        A query's candidates stay in one part.
        """
        lists = self.encoded.lists_of(rows)
        if lists is None:
            return [rows[start::count] for start in range(count)]
        wholes = np.split(rows, lists[1:-1])
        none = rows[:0]
        return [np.concatenate([none, *wholes[start::count]]) for start in range(count)]

    def _written(self, rows: np.ndarray, settings: OnPolicyConfig) -> Counted:
        """Of rows that the student writes: their new tokens are what is compared."""
        longest = settings.prompt_tokens + settings.new_tokens
        return Counted(
            rows=len(rows),
            answered=len(rows) * settings.new_tokens,
            labelled=0,
            tokens=len(rows) * longest,
            pairs=len(rows) * longest**2,
        )

    def batch(self, checkpoint: Checkpoint, rows: np.ndarray, number: int) -> Batch:
        """The rows as both models see them in step `number`, with their labels."""
        import torch

        batch = checkpoint.batch(self.encoded, rows)
        if self.masking is not None:
            return self.masking.masked(batch, number)
        labels = self.labels[rows]
        if isinstance(labels, WordTargets):
            assert batch.words is not None
            batch = replace(batch, labels=torch.from_numpy(labels.values)[batch.words])
            return batch if self.tokens is None else self._with_likely(batch, self.tokens)
        return replace(batch, labels=torch.from_numpy(labels))

    def _with_likely(self, batch: Batch, side: TokensSide) -> Batch:
        """The batch, which asks the student about the tokens that its teacher finds likely."""
        import torch

        assert batch.tokens is not None
        answers = self.answers_about(batch)
        likely = None
        if answers is None:
            likely = torch.zeros(len(batch.tokens), 0, dtype=torch.int64)
        elif side.top_k:
            likely = side.likely(answers.logits(batch.rows).cpu())
        return replace(batch, likely=likely)

    def answers_about(self, batch: Batch) -> Answers | None:
        """The teacher's answers about a batch of these lessons."""
        if isinstance(self.answers, AskedAnew):
            return self.answers.about(batch)
        return self.answers


@dataclass(frozen=True)
class Exam:
    """Held-out labelled texts that choose the best state."""

    encoded: Encoded
    labels: Targets
    task: Task = SINGLE_LABEL
