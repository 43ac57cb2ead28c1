"""How answers that are not one a row lie in the rows of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.data.batches import Batch

if TYPE_CHECKING:
    from torch import Tensor, device


@dataclass(frozen=True)
class Layout:
    """Where each answer of a batch goes in a padded tensor with a row of answers a text.

    Attributes:
        index: int64 [answered], its place, counted in [rows * width].
        rows: Of the batch, or its queries where rows are their candidates.
        width: The most answers that one of them has.
    """

    index: Tensor
    rows: int
    width: int

    def padded(self, values: Tensor) -> Tensor:
        """Values [answered, …] as [rows, width, …], with zeros where a row has no more."""
        whole = values.new_zeros(self.rows * self.width, *values.shape[1:])
        return whole.index_copy(0, self.index, values).unflatten(0, (self.rows, self.width))

    def mask(self) -> Tensor:
        """Where there is an answer: bool [rows, width]."""
        import torch

        return self.padded(torch.ones_like(self.index, dtype=torch.bool))

    def to(self, where: device) -> Layout:
        """The same on a device."""
        return Layout(self.index.to(where, non_blocking=True), self.rows, self.width)


def layout_of(batch: Batch) -> Layout | None:
    """The layout of a batch's answers, on the CPU; None where each row has one of its own."""
    if batch.lists is not None:
        return _side_by_side(batch.lists, int(batch.lists[-1]) + 1)
    if batch.words is None or batch.places is None:
        return None
    rows, tokens = batch.input_ids.shape
    return _side_by_side(batch.places // tokens, rows)


def _side_by_side(lines: Tensor, rows: int) -> Layout:
    """The layout of answers that lie in these lines, which rise."""
    import torch

    counts = torch.bincount(lines, minlength=rows)
    before = counts.cumsum(0) - counts
    width = max(1, int(counts.max()))
    index = lines * width + torch.arange(len(lines)) - before[lines]
    return Layout(index, rows, width)
