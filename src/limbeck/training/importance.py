"""How much of the loss hangs on each head, neuron and layer of a student."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.batches import batches_by_length, shuffled_batches
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
    sample: Sequence[np.ndarray],
    *,
    temperature: float,
) -> Importance:
    """Mean over batches of |d loss / d gate| for a gate of 1 on each head's and neuron's output.

    The loss is the task's distance to the teacher's answers, or to the labels where there is no
    teacher; it needs no labels otherwise. A gate's derivative is the sum of gradient times weight
    over the columns that the structure writes through.

    Args:
        model: The student, thin or not; its weights stay as they are.
        checkpoint: Tokenizer facts of the model and its family.
        lessons: Rows, labels and the teacher's answers.
        sample: From `sampled`.
        temperature: Of the soft loss.

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
    for rows in sample:
        with torch.enable_grad():
            loss = _loss(model, checkpoint, lessons, rows, temperature)
            gradients = torch.autograd.grad(loss, weights)
        for total, width, weight, gradient in zip(sums, widths, weights, gradients, strict=True):
            by_column = (weight.detach() * gradient).sum(dim=0).double().cpu().numpy()
            total += np.abs(by_column.reshape(-1, width).sum(axis=1)) / len(sample)
    model.train(was_training)
    return Importance(tuple(sums[: len(found)]), tuple(sums[len(found) :]))


def mean_loss(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    lessons: Lessons,
    sample: Sequence[np.ndarray],
    *,
    temperature: float,
) -> float:
    """The loss that importances are derivatives of, without dropout; a mean over batches."""
    import torch

    was_training = model.training
    model.eval()
    with torch.inference_mode():
        losses = [_loss(model, checkpoint, lessons, rows, temperature).item() for rows in sample]
    model.train(was_training)
    return float(np.mean(losses))


def losses_without_layers(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    lessons: Lessons,
    sample: Sequence[np.ndarray],
    *,
    temperature: float,
) -> list[float]:
    """`mean_loss` with each layer left out in turn: the least says which one is missed least."""
    losses = []
    for layer in layer_modules(model, checkpoint.family):
        with _passed_over(layer):
            losses.append(mean_loss(model, checkpoint, lessons, sample, temperature=temperature))
    return losses


@contextmanager
def _passed_over(layer: Any) -> Iterator[None]:
    """Inside, the layer gives what it was given."""

    def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def sampled(lessons: Lessons, seed: int) -> Sequence[np.ndarray]:
    """Batches of rows to look at: a seeded part of those that are learned from."""
    rows = lessons.rows if lessons.rows is not None else np.arange(len(lessons.encoded))
    if lessons.answers is None:
        rows = rows[labelled(lessons.labels[rows])]
    lists = lessons.encoded.lists_of(rows)
    if lists is not None:
        return _sampled_lists(lessons, rows, lists, seed)
    drawn = np.random.default_rng(seed).permutation(rows)[:_ROWS]
    lengths = lessons.encoded.lengths[drawn]
    return [drawn[part] for part in batches_by_length(lengths, rows=_BATCH, tokens=8192)]


def _sampled_lists(
    lessons: Lessons, rows: np.ndarray, lists: np.ndarray, seed: int
) -> Sequence[np.ndarray]:
    """The same in batches of whole lists."""
    batches = shuffled_batches(
        lessons.encoded.lengths[rows], rows=_BATCH, tokens=8192, seed=seed, epoch=0, lists=lists
    )
    count = np.cumsum([len(batch) for batch in batches])
    return [rows[batch] for batch in batches[: 1 + int(np.searchsorted(count, _ROWS))]]


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
