"""New weights in place of whatever a model has, whichever module keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from limbeck.errors import StudentError

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

_READERS = ("q", "k", "v", "r")
"""XLNet's matrices that are laid out [reads, writes...]; its `o` is laid out the other way."""
_TABLES = ("seg_embed", "mask_emb")
"""XLNet's vectors that are looked up, though no nn.Embedding holds them."""


def randomize(model: nn.Module, init: str, generator: Generator) -> None:
    """New weights in place: matrices by `init`, embeddings normal, biases 0, norms the identity.

    Every parameter is set, wherever it is kept: in GPT-2's transposed Conv1D, in XLNet's bare
    parameters, in DeBERTa's biases of its own. A weight that two modules share is drawn once.

    Args:
        model: Any module of the known families.
        init: ``normal`` (standard deviation 0.02, BERT's), ``xavier`` (uniform, Glorot and
            Bengio 2010) or ``kaiming`` (normal, fan-in, He et al. 2015).
        generator: Of the random numbers.

    Raises:
        StudentError: For a parameter that is none of these: it would keep an old value.
    """
    import torch
    from torch import nn

    with torch.no_grad():
        for module, name, parameter in _each_once(model):
            if name.endswith("bias"):
                parameter.zero_()
            elif "Norm" in type(module).__name__:
                parameter.fill_(1.0)
            elif isinstance(module, nn.Embedding) or name in _TABLES:
                nn.init.normal_(parameter, std=0.02, generator=generator)
                if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                    parameter[module.padding_idx].zero_()
            elif parameter.ndim >= 2:
                _draw(_matrix(module, name, parameter), init, generator)
            else:
                raise StudentError(
                    "student.init",
                    f"limbeck knows no new value for {name} of a {type(module).__name__}",
                    "Use student.init=teacher.",
                )


def _each_once(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Every parameter with the first module that holds it."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield module, name, parameter


def _matrix(module: nn.Module, name: str, parameter: Tensor) -> Tensor:
    """The parameter laid out [writes, reads, ...], as torch counts the fan-in; a view of it."""
    if type(module).__name__ == "Conv1D":  # GPT-2's
        return parameter.T
    if type(module).__name__ == "XLNetRelativeAttention":
        flat = parameter.flatten(1)
        return flat.T if name in _READERS else flat
    return parameter


def _draw(matrix: Tensor, init: str, generator: Generator) -> None:
    from torch import nn

    match init:
        case "normal":
            nn.init.normal_(matrix, std=0.02, generator=generator)
        case "xavier":
            nn.init.xavier_uniform_(matrix, generator=generator)
        case _:
            nn.init.kaiming_normal_(matrix, nonlinearity="relu", generator=generator)
