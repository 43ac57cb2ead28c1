"""What terms look at: both models' tensors of a part of a batch, and how much it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.data.layout import Layout
from limbeck.tasks.task import Task
from limbeck.teacher.parts import Part
from limbeck.training.layer_maps import Depths

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Sides:
    """What terms must know of both models beside their tensors.

    Attributes:
        depths: Layers of both.
        student_heads: Attention heads of the student.
        teacher_heads: Attention heads of the teacher.
        first_token: Place of the token that stands for the text: 0, or -1 where padding is left.
        seed: Of what a term draws.
        task: Which losses are right for labels and logits.
    """

    depths: Depths
    student_heads: int
    teacher_heads: int
    first_token: int
    seed: int
    task: Task


@dataclass(frozen=True)
class TeacherTokens:
    """The teacher's own tokens, where they are others than the student's.

    Attributes:
        states: Its parts, [batch, its tokens, width].
        attention_mask: [batch, its tokens].
        first_token: Place of the one that stands for the text.
    """

    states: Mapping[Part, Tensor]
    attention_mask: Tensor
    first_token: int


@dataclass(frozen=True)
class Inputs:
    """All that a term can look at, for one part of a batch.

    Attributes:
        student_logits: [batch, classes], [answered, classes] where words or places are answered,
            or [masked, vocabulary] where words are masked. Where tokens are foretold
            log-probabilities of the teacher's likeliest ones and of the rest.
        student_states: The student's own parts (`teacher.parts`).
        projected: Hidden states at the teacher's width, where they are not the student's own.
        exit_logits: Student layer to the logits of the exit after it.
        labels: Targets [batch] (of candidates their grades) or [batch, classes]; of words
            [answered]; of questions [batch, 2], the first and last of the row's places; or
            [masked], the tokens that were hidden.
        attention_mask: [batch, tokens].
        teacher_logits: As the student's, or None where no term needs them.
        teacher_states: The teacher's parts.
        number: Of the step, from 1.
        share: Of the training that is behind, from 0 to 1.
        places: [masked], the tokens that were hidden, or [answered], those that stand for words or
            answers; counted in [batch * tokens]. None where answers are about texts.
        label_share: How many times as much of the step's labels as of its rows this part holds.
        layout: How the answers lie in the rows, where a row has any number of them.
        told: The rows [told] that the teacher answered; None where it answered all. Its logits of
            the others mean nothing.
        foretold: [answered], log-probabilities of the tokens that stand there, where tokens are
            foretold.
        compared: [batch, tokens], 1 at tokens for which `teacher_states` say something, where both
            sides have other tokens; None where that is `attention_mask`.
        teacher_tokens: Whose vectors are pooled then; None where `teacher_states` are.
    """

    student_logits: Tensor
    student_states: Mapping[Part, Tensor]
    projected: Mapping[Part, Tensor]
    exit_logits: Mapping[int, Tensor]
    labels: Tensor
    attention_mask: Tensor
    teacher_logits: Tensor | None
    teacher_states: Mapping[Part, Tensor]
    number: int
    share: float
    places: Tensor | None = None
    label_share: float = 1.0
    layout: Layout | None = None
    told: Tensor | None = None
    foretold: Tensor | None = None
    compared: Tensor | None = None
    teacher_tokens: TeacherTokens | None = None


@dataclass(frozen=True)
class Counted:
    """How much of a step a part holds: what its means must be weighted by.

    Attributes:
        rows: Texts.
        answered: What has the teacher's logits: rows, words, or masked words; queries, whose
            candidates are one answer.
        labelled: Of these, what has a label.
        tokens: Real ones; of a student with other tokens than its teacher, those that are compared.
        pairs: Of tokens of one row.
    """

    rows: int
    answered: int
    labelled: int
    tokens: int
    pairs: int
