"""How much of the loss hangs on each head and neuron, to first order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.batches import batches_by_length
from limbeck.data.layout import layout_of
from limbeck.data.targets import labelled
from limbeck.student.pruned import Importance
from limbeck.teacher.ask import ask
from limbeck.teacher.family import layer_modules
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.thin import matrices
from limbeck.training.lessons import Lessons

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

_ROWS = 2048
"""Texts that the importances are means over."""
_BATCH = 16


def importance_of(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    lessons: Lessons,
    *,
    temperature: float,
    seed: int,
) -> Importance:
    """Mean over batches of |d loss / d gate| for a gate of 1 on each head's and neuron's output.

    The loss is the task's distance to the teacher's answers, or to the labels where there is no
    teacher; it needs no labels otherwise. A gate's derivative is the sum of gradient times weight
    over the columns that the structure writes through.

    Args:
        model: The student, thin or not; its weights stay as they are.
        checkpoint: Tokenizer facts of the model and its family.
        lessons: Rows, labels and the teacher's answers.
        temperature: Of the soft loss.
        seed: Of the rows that are looked at.

    Reference:
        Molchanov et al. Importance Estimation for Neural Network Pruning, 2019, equation 8, and
        Michel et al. Are Sixteen Heads Really Better than One?, 2019, section 4.1; absolute values
        are taken of batches, not of single texts. https://arxiv.org/abs/1906.10771,
        https://arxiv.org/abs/1905.10650
    """
    import torch

    found = [matrices(layer, model.config) for layer in layer_modules(model, checkpoint.family)]
    weights = [one.writes.weight for one in found] + [one.down.weight for one in found]
    widths = [one.head_size for one in found] + [1] * len(found)
    sums = [
        np.zeros(weight.shape[1] // width) for weight, width in zip(weights, widths, strict=True)
    ]
    was_training = model.training
    model.eval()
    batches = _batches(lessons, seed)
    for rows in batches:
        with torch.enable_grad():
            loss = _loss(model, checkpoint, lessons, rows, temperature)
            gradients = torch.autograd.grad(loss, weights)
        for total, width, weight, gradient in zip(sums, widths, weights, gradients, strict=True):
            by_column = (weight.detach() * gradient).sum(dim=0).double().cpu().numpy()
            total += np.abs(by_column.reshape(-1, width).sum(axis=1)) / len(batches)
    model.train(was_training)
    return Importance(tuple(sums[: len(found)]), tuple(sums[len(found) :]))


def _batches(lessons: Lessons, seed: int) -> Sequence[np.ndarray]:
    rows = lessons.rows if lessons.rows is not None else np.arange(len(lessons.encoded))
    if lessons.answers is None:
        rows = rows[labelled(lessons.labels[rows])]
    drawn = np.random.default_rng(seed).permutation(rows)[:_ROWS]
    lengths = lessons.encoded.lengths[drawn]
    return [drawn[part] for part in batches_by_length(lengths, rows=_BATCH, tokens=8192)]


def _loss(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    lessons: Lessons,
    rows: np.ndarray,
    temperature: float,
) -> Tensor:
    batch = lessons.batch(checkpoint, rows, 1)
    logits = ask(model, batch, checkpoint.family).logits.float()
    answers, layout = lessons.answers_about(batch), layout_of(batch)
    layout = None if layout is None else layout.to(logits.device)
    if answers is None:
        assert batch.labels is not None
        return lessons.task.hard(logits, batch.labels.to(logits.device), layout)
    told = answers.logits(rows)
    if batch.words is not None:  # the student's answers are of these alone
        told = told.index_select(0, batch.words.to(told.device))
    return lessons.task.soft(logits, told.to(logits.device), layout, temperature=temperature)
