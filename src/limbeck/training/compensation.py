"""Refits what is left of a layer to what the layer gave, before heads and neurons go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.batches import Batch
from limbeck.teacher.ask import ask
from limbeck.teacher.family import layer_modules
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.thin import Kept, head_units, matrices

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

_RIDGE = 1e-3
"""Of the mean energy of an input: keeps weights of inputs that hardly vary from growing."""


@dataclass(frozen=True)
class Refit:
    """New weights of a matrix for the inputs that stay.

    Attributes:
        weight: [outputs, kept inputs].
        bias: [outputs], or None where the matrix has none.
    """

    weight: Tensor
    bias: Tensor | None


def least_squares(weight: Tensor, bias: Tensor | None, moments: Tensor, kept: np.ndarray) -> Refit:
    """The matrix of the kept inputs whose outputs are nearest to the whole matrix's.

    min over (W', b') of E|W x + b − W' x_K − b'|² + ridge |W'|², with b' not held back: inputs that
    go and are predictable from those that stay, constants among them, go without a loss.

    Args:
        weight: [outputs, inputs].
        bias: [outputs], or None: then nothing but the kept inputs can stand in for the others.
        moments: Of inputs with a 1 behind them, a sum over any number [inputs + 1, inputs + 1].
        kept: Inputs that stay, rising.

    Reference:
        He et al. Channel Pruning for Accelerating Very Deep Neural Networks, 2017, section 3.1,
        step (ii). https://arxiv.org/abs/1707.06168
    """
    import torch

    moments, count = moments.double() / moments[-1, -1], len(kept)
    whole = weight.double()
    if bias is None:
        moments, stay = moments[:-1, :-1], torch.from_numpy(kept)
    else:
        stay = torch.from_numpy(np.append(kept, len(moments) - 1))
        whole = torch.cat([whole, bias.double().unsqueeze(1)], dim=1)
    inner = moments[stay][:, stay].clone()
    ridge = _RIDGE * inner.diagonal()[:count].mean()
    inner.diagonal()[:count] += ridge
    # Held back towards the old weights, not towards 0: nothing moves where nothing goes.
    pulled = whole @ moments[:, stay]
    pulled[:, :count] += ridge * whole[:, torch.from_numpy(kept)]
    new = torch.linalg.solve(inner, pulled.T).T.to(weight.dtype)
    return Refit(new[:, :count].contiguous(), None if bias is None else new[:, -1].contiguous())


def refits(
    model: PreTrainedModel, checkpoint: Checkpoint, batches: Sequence[Batch], kept: Kept
) -> list[tuple[Refit, Refit]]:
    """For each layer, what joins its heads and what its neurons write through, refitted.

    Args:
        model: Whole or thin; its weights stay as they are.
        checkpoint: Its family.
        batches: Texts that the fit is to hold on.
        kept: What will stay, counted in what the model has now.
    """
    import torch

    model.eval()
    found = [matrices(layer, model.config) for layer in layer_modules(model, checkpoint.family)]
    modules = [module for one in found for module in (one.writes, one.down)]
    with torch.inference_mode(), _moments_of(modules) as sums:
        for batch in batches:
            sums.mask = batch.attention_mask.to(model.device)
            ask(model, batch, checkpoint.family)
    new = []
    for place, (one, heads, neurons) in enumerate(
        zip(found, kept.heads, kept.neurons, strict=True)
    ):
        joins, writes = sums.moments[2 * place : 2 * place + 2]
        new.append(
            (
                _refit(one.writes, joins, head_units(heads, one.head_size)),
                _refit(one.down, writes, np.array(neurons)),
            )
        )
    return new


def put_in(
    model: PreTrainedModel, checkpoint: Checkpoint, new: Sequence[tuple[Refit, Refit]]
) -> None:
    """Set the refitted matrices of a model that is thin already."""
    import torch

    layers = layer_modules(model, checkpoint.family)
    for layer, pair in zip(layers, new, strict=True):
        one = matrices(layer, model.config)
        for module, refit in zip((one.writes, one.down), pair, strict=True):
            with torch.no_grad():
                module.weight.copy_(refit.weight)
                if refit.bias is not None:
                    module.bias.copy_(refit.bias)


def _refit(module: nn.Linear, moments: Tensor, kept: np.ndarray) -> Refit:
    weight = module.weight.detach()
    bias = None if module.bias is None else module.bias.detach()
    return least_squares(weight, bias, moments.to(weight.device), kept)


class _Sums:
    """Sums of products of inputs, of several matrices over the same batches."""

    def __init__(self, count: int) -> None:
        self.moments: list[Any] = [0.0] * count
        self.mask: Any = None

    def add(self, place: int, inputs: Tensor) -> None:
        import torch

        whole = inputs.shape[1] == self.mask.shape[1]  # else the last layer, for one token alone
        rows = inputs[self.mask.bool()] if whole else inputs.flatten(0, 1)
        rows = torch.cat([rows.float(), rows.new_ones(len(rows), 1, dtype=torch.float32)], dim=1)
        self.moments[place] = self.moments[place] + (rows.T @ rows).double()


@contextmanager
def _moments_of(modules: Sequence[nn.Linear]) -> Iterator[_Sums]:
    sums = _Sums(len(modules))
    with ExitStack() as stack:
        for place, module in enumerate(modules):

            def hook(_: Any, inputs: Any, place: int = place) -> None:
                sums.add(place, inputs[0])

            stack.callback(module.register_forward_pre_hook(hook).remove)
        yield sums
