"""AdamW by row: of an embedding table, a step touches only the rows that its tokens need.

A batch of 64 short texts holds some 400 of 30,000 tokens. A dense optimizer zeroes a gradient of
the whole table, takes its norm, reads and writes weights and both moments of every row; on a CPU
that is a third of the step. Here a row is brought up to date when it is next read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

_REACH = 400
"""Steps after which old moments move a weight by nothing: (0.9 / 0.999^0.5)^400 = 1e-18."""


@dataclass(frozen=True)
class Betas:
    """AdamW's constants.

    Attributes:
        first: Decay of the mean of gradients.
        second: Decay of the mean of their squares.
        eps: Added to the root of the second moment.
    """

    first: float = 0.9
    second: float = 0.999
    eps: float = 1e-8


class Drift:
    """What AdamW does to a row without gradients, for every step that it may have been left at.

    A row last updated in step s moves in a later step k by

        -lr_k * r^(k-s) * sqrt(1 - beta2^k) / (1 - beta1^k) * m_s / (sqrt(v_s) + eps'),
        r = beta1 / sqrt(beta2)

    so all its later moves are one number, which depends on s and k alone, times one vector. The
    number is kept for each s and extended by one term a step.

    The difference to the dense update: eps is scaled as in the first step after s instead of in
    each, and rounding. It is below 1e-6 of a weight's own movement for gradients above 1e-6.
    """

    def __init__(self, betas: Betas) -> None:
        self._betas = betas
        self.taken = 0
        self._shrink = np.ones(1024)
        self._drift = np.zeros(1024)

    def step(self, rate: float, decay: float) -> None:
        """Count one optimizer step of this rate and weight decay."""
        self.taken += 1
        now, betas = self.taken, self._betas
        if now >= len(self._shrink):
            self._shrink = np.concatenate([self._shrink, np.ones(len(self._shrink))])
            self._drift = np.concatenate([self._drift, np.zeros(len(self._drift))])
        self._shrink[now] = self._shrink[now - 1] * (1 - rate * decay)
        start = max(0, now - _REACH)
        ages = now - np.arange(start, now)
        ratio = betas.first / betas.second**0.5
        correction = (1 - betas.second**now) ** 0.5 / (1 - betas.first**now)
        # Divided by what is left of a weight after decay, so that later decay applies to it too.
        self._drift[start:now] += rate * correction * ratio**ages / self._shrink[now]

    def since(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For rows left at `steps`: factor of the weight, drift, and eps' (float64 [rows])."""
        betas, now = self._betas, self._shrink[self.taken]
        eps = betas.eps * ((1 - betas.second ** (steps + 1)) / betas.second) ** 0.5
        return now / self._shrink[steps], self._drift[steps] * now, eps

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs."""
        import torch

        used = slice(0, self.taken + 1)
        return {
            "shrink": torch.from_numpy(self._shrink[used].copy()),
            "drift": torch.from_numpy(self._drift[used].copy()),
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Put a saved state back."""
        shrink, drift = state["shrink"].numpy(), state["drift"].numpy()
        self.taken = len(shrink) - 1
        room = max(1024, 2 * len(shrink))
        self._shrink, self._drift = np.ones(room), np.zeros(room)
        self._shrink[: len(shrink)], self._drift[: len(drift)] = shrink, drift


@dataclass
class _Read:
    """Rows that a forward pass read: weights (the leaf that gets a gradient) and moments."""

    rows: Tensor
    weight: Tensor
    moments: Tensor


class RowAdamW:
    """AdamW over one embedding table, on a CPU; equal to the dense one up to `Drift`'s difference.

    While it lives, the embedding's forward pass reads through it: rows come up to date, and the
    gradient goes to them instead of to a table.

    Args:
        embedding: The table; float32, not shared with another module.
        weight_decay: AdamW's.
        betas: AdamW's constants.
    """

    def __init__(self, embedding: nn.Embedding, *, weight_decay: float, betas: Betas) -> None:
        import torch

        self._embedding = embedding
        self._decay, self._betas = weight_decay, betas
        table = embedding.weight
        self._moments = torch.zeros(len(table), 2, table.shape[1])
        self._left_at = np.zeros(len(table), dtype=np.int64)
        self._drift = Drift(betas)
        self._reads: list[_Read] = []
        embedding.forward = self._forward  # type: ignore[method-assign]

    def release(self) -> None:
        """Bring every row up to date and give the embedding its own forward pass back."""
        self.settle()
        del self._embedding.forward

    def _forward(self, input_ids: Tensor) -> Tensor:
        """What the embedding returns; in training, of rows that are brought up to date here."""
        import torch
        from torch.nn import functional

        embedding = self._embedding
        if not (embedding.training and torch.is_grad_enabled()):
            self.settle()
            return functional.embedding(input_ids, embedding.weight, embedding.padding_idx)
        rows, places = np.unique(input_ids.numpy(), return_inverse=True)
        read = self._current(rows)
        read.weight.requires_grad_()
        self._reads.append(read)
        pad = None
        if embedding.padding_idx is not None:
            found = np.flatnonzero(rows == embedding.padding_idx)
            pad = int(found[0]) if len(found) else None
        ids = torch.from_numpy(places.reshape(input_ids.shape))
        return functional.embedding(ids, read.weight, pad)

    def _current(self, rows: np.ndarray) -> _Read:
        """Copies of weights and moments of `rows` as the dense optimizer would have them now."""
        import torch

        places = torch.from_numpy(rows)
        with torch.no_grad():
            weight = self._embedding.weight.index_select(0, places)
            moments = self._moments.index_select(0, places)
            left_at = self._left_at[rows]
            ages = self._drift.taken - left_at
            if ages.any():
                shrink, drift, eps = map(_column, self._drift.since(left_at))
                mean, square = moments.unbind(1)
                ratio = mean / square.sqrt().add_(eps)
                weight.mul_(shrink).sub_(ratio.mul_(drift))
                mean.mul_(_column(self._betas.first**ages))
                square.mul_(_column(self._betas.second**ages))
        return _Read(places, weight, moments)

    def gradients(self) -> list[Tensor]:
        """Gradients of the rows that were read since the last step, one row once."""
        read = self._merged()
        return [] if read is None else [_gradient(read)]

    def _merged(self) -> _Read | None:
        """All reads since the last step as one."""
        import torch

        if len(self._reads) > 1:
            rows = np.unique(np.concatenate([read.rows.numpy() for read in self._reads]))
            whole = self._current(rows)
            whole.weight.grad = torch.zeros_like(whole.weight)
            for read in self._reads:
                places = torch.from_numpy(np.searchsorted(rows, read.rows.numpy()))
                whole.weight.grad.index_add_(0, places, _gradient(read))
            self._reads = [whole]
        return self._reads[0] if self._reads else None

    def step(self, rate: float, gradient_scale: Tensor) -> None:
        """One AdamW step of the rows that were read.

        Args:
            rate: Learning rate.
            gradient_scale: What gradients are divided by (clipping), a scalar.
        """
        import torch

        read = self._merged()
        self._drift.step(rate, self._decay)
        self._reads = []
        if read is None:
            return
        betas, now = self._betas, self._drift.taken
        with torch.no_grad():
            gradient = _gradient(read) / gradient_scale
            mean, square = read.moments.unbind(1)
            mean.lerp_(gradient, 1 - betas.first)
            square.mul_(betas.second).addcmul_(gradient, gradient, value=1 - betas.second)
            root = square.sqrt().div_((1 - betas.second**now) ** 0.5).add_(betas.eps)
            weight = read.weight.detach().mul_(1 - rate * self._decay)
            weight.addcdiv_(mean, root, value=-rate / (1 - betas.first**now))
            self._write(read.rows, weight, read.moments)

    def settle(self) -> None:
        """Bring every row up to date: before the table is read whole."""
        late = np.flatnonzero(self._left_at != self._drift.taken)
        for start in range(0, len(late), 4096):
            read = self._current(late[start : start + 4096])
            self._write(read.rows, read.weight, read.moments)

    def _write(self, rows: Tensor, weight: Tensor, moments: Tensor) -> None:
        self._embedding.weight.data.index_copy_(0, rows, weight)
        self._moments.index_copy_(0, rows, moments)
        self._left_at[rows.numpy()] = self._drift.taken

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs beside the weights."""
        import torch

        left_at = torch.from_numpy(self._left_at.copy())
        return {"moments": self._moments, "left_at": left_at, **self._drift.state()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Put a saved state back."""
        self._moments = state["moments"]
        self._left_at = state["left_at"].numpy().copy()
        self._drift.load(state)


def _gradient(read: _Read) -> Tensor:
    import torch

    return read.weight.grad if read.weight.grad is not None else torch.zeros_like(read.weight)


def _column(values: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(values.astype(np.float32))[:, None]
