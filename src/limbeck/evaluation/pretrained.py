"""What a pre-trained encoder knows of held-out plain text: words, and its teacher's states."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.terms import AttentionTerm, HiddenTerm, RelationsTerm, Term
from limbeck.data.batches import Batch, batches_by_length
from limbeck.data.encode import Encoded
from limbeck.data.masking import Masking
from limbeck.teacher.ask import ask
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.parts import Part
from limbeck.teacher.precision import computing_in
from limbeck.training.inputs import Inputs
from limbeck.training.joint import make_joint, sides_of
from limbeck.training.layer_maps import Depths, teacher_parts
from limbeck.training.lessons import Lessons
from limbeck.training.losses import share, term_name, term_value

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_STEP = 0
"""Training steps count from 1, so these masks are seen by no training."""


@dataclass(frozen=True)
class MaskedWords:
    """How well masked words are guessed.

    Attributes:
        loss: Mean of -log of the probability of the right token, in nats.
        accuracy: Share of the places whose most probable token is the right one.
        words: How many places that is of.
    """

    loss: float
    accuracy: float
    words: int

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many equally probable tokens it is as unsure."""
        return math.exp(min(self.loss, 700.0))


def masked_words(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    encoded: Encoded,
    rows: np.ndarray,
    masking: Masking,
    *,
    precision: str,
) -> MaskedWords:
    """How well `model` guesses words of `rows` under masks that are the same in every call."""
    import torch
    from torch.nn import functional

    model.eval()
    loss, right, words = 0.0, 0, 0
    with computing_in(model, precision), torch.inference_mode():
        for batch in _batches(checkpoint, encoded, rows):
            masked = masking.masked(batch, _STEP)
            assert masked.labels is not None
            labels = masked.labels.to(model.device)
            logits = ask(model, masked, checkpoint.family).logits.float()
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
            right += int((logits.argmax(1) == labels).sum())
            words += len(labels)
    count = max(words, 1)
    return MaskedWords(loss / count, right / count, words)


def attention_values(
    student: PreTrainedModel,
    own: Checkpoint,
    lessons: Lessons,
    terms: Sequence[Term],
    rows: np.ndarray,
    *,
    precision: str,
) -> dict[str, float]:
    """The terms on attention and relations, which need no projection, over `rows`; by name.

    Args:
        student: The student.
        own: Its tokenizer's facts and family.
        lessons: Texts and teacher, as in training.
        terms: The objective; other terms are left out.
        rows: Held-out rows.
        precision: Of the student's passes.
    """
    import torch

    terms = [term for term in terms if isinstance(term, AttentionTerm | RelationsTerm)]
    if not terms:
        return {}
    sides = sides_of(student, own, lessons, seed=0)
    joint = make_joint(student, own.family, terms, lessons, sides).eval()
    wanted = teacher_parts(terms, sides.depths)
    whole = lessons.count(rows, _STEP)
    found = dict.fromkeys(map(term_name, terms), 0.0)
    with computing_in(student, precision), torch.inference_mode():
        for some in batches_by_length(lessons.encoded.lengths[rows], rows=32, tokens=4096):
            batch = lessons.batch(own, rows[some], _STEP)
            said, answers = joint(batch), lessons.answers_about(batch)
            assert answers is not None
            width, left = batch.input_ids.shape[1], own.pads_left
            inputs = Inputs(
                student_logits=said.logits.float(),
                student_states={part: state.float() for part, state in said.states.items()},
                projected={},
                exit_logits={},
                labels=torch.zeros(0, dtype=torch.int64),
                attention_mask=batch.attention_mask.to(student.device),
                teacher_logits=None,
                teacher_states={
                    part: answers.states(part, batch.rows, width=width, left=left).to(
                        student.device
                    )
                    for part in wanted
                },
                number=1,
                share=1.0,
            )
            counted = lessons.count(batch.rows, _STEP)
            for term in terms:
                value = float(term_value(term, inputs, sides))
                found[term_name(term)] += share(term, counted, whole) * value
    return found


def matched_layers(terms: Sequence[Term], depths: Depths) -> dict[int, int]:
    """The layers whose states terms bring together; without any, the last ones."""
    for term in terms:
        if isinstance(term, HiddenTerm) and isinstance(term.layer_map, dict):
            return term.layer_map
    return {depths.student: depths.teacher}


def state_distances(
    student: PreTrainedModel,
    own: Checkpoint,
    teacher: PreTrainedModel,
    other: Checkpoint,
    encoded: Encoded,
    rows: np.ndarray,
    layers: Mapping[int, int],
    *,
    precision: str,
) -> dict[str, float]:
    """Mean over real tokens of 1 - cos(student, teacher), for each pair of layers.

    Where widths differ, the student's states are brought to the teacher's by the linear map that
    fits the other half of the rows best: how much of the teacher can be read out of the student.
    That needs no projection of the training's, so it compares students with each other, and with
    themselves before training.

    Args:
        student: The student.
        own: Its tokenizer's facts and family.
        teacher: The teacher.
        other: Its own.
        encoded: Token ids of both.
        rows: Held-out rows; half of them are measured on.
        layers: Student layer to teacher layer.
        precision: Of both passes.

    Returns:
        ``3 to 6`` to a number from 0 to 2.
    """
    import torch

    student.eval()
    fits = {pair: _Fit() for pair in layers.items()}
    both = (student, own), (teacher, other)
    with (
        computing_in(student, precision),
        computing_in(teacher, precision),
        torch.inference_mode(),
    ):
        for pair, mine, theirs in _states(*both, encoded, rows[::2], layers):
            if mine.shape[1] != theirs.shape[1]:
                fits[pair].add(mine, theirs)
        far: dict[tuple[int, int], list[Tensor]] = {pair: [] for pair in fits}
        for pair, mine, theirs in _states(*both, encoded, rows[1::2], layers):
            near = torch.cosine_similarity(fits[pair].mapped(mine), theirs, dim=1)
            far[pair].append(1 - near)
    return {
        f"{layer} to {teacher_layer}": float(torch.cat(parts).mean())
        for (layer, teacher_layer), parts in far.items()
    }


class _Fit:
    """Least squares of one model's states from another's, by sums over batches."""

    def __init__(self) -> None:
        self._sums: tuple[Tensor, Tensor] | None = None

    def add(self, mine: Tensor, theirs: Tensor) -> None:
        """Count these states."""
        mine, theirs = _with_one(mine).double(), theirs.double()
        square, mixed = mine.T @ mine, mine.T @ theirs
        if self._sums is not None:
            square, mixed = square + self._sums[0], mixed + self._sums[1]
        self._sums = square, mixed

    def mapped(self, mine: Tensor) -> Tensor:
        """What the fit makes of these states; themselves where nothing was fitted."""
        import torch

        if self._sums is None:
            return mine
        return (_with_one(mine).double() @ torch.linalg.lstsq(*self._sums).solution).float()


def _with_one(states: Tensor) -> Tensor:
    import torch

    return torch.cat([states, states.new_ones(len(states), 1)], dim=1)


def _states(
    student: tuple[PreTrainedModel, Checkpoint],
    teacher: tuple[PreTrainedModel, Checkpoint],
    encoded: Encoded,
    rows: np.ndarray,
    layers: Mapping[int, int],
) -> Iterator[tuple[tuple[int, int], Tensor, Tensor]]:
    """Pair of layers, and both models' states of a batch's real tokens [tokens, width]."""
    import torch

    for batch in _batches(student[1], encoded, rows):
        told = []
        for (model, checkpoint), wanted in ((student, layers.keys()), (teacher, layers.values())):
            fed = batch if checkpoint.wants_types else replace(batch, token_type_ids=None)
            if model.get_output_embeddings() is not None:  # no word is asked for
                fed = replace(fed, places=torch.zeros(0, dtype=torch.int64))
            parts = tuple(Part("hidden", layer) for layer in sorted(set(wanted)))
            told.append(ask(model, fed, checkpoint.family, parts).states)
        for pair in layers.items():
            own, other = (
                states[Part("hidden", layer)][batch.attention_mask.bool().to(model.device)]
                for states, layer, (model, _) in zip(told, pair, (student, teacher), strict=True)
            )
            yield pair, own.float().cpu(), other.float().cpu()


def _batches(checkpoint: Checkpoint, encoded: Encoded, rows: np.ndarray) -> Iterator[Batch]:
    for some in batches_by_length(encoded.lengths[rows], rows=32, tokens=4096):
        yield checkpoint.batch(encoded, rows[some])
