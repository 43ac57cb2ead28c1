"""Which heads and neurons a student keeps, and its weights in the shape of a stock model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.student import CutConfig, PruningConfig
from limbeck.errors import StudentError
from limbeck.teacher.family import Family, head_count, layer_count, layer_modules
from limbeck.teacher.pooling import vectors_of
from limbeck.teacher.thin import PATHS, Kept, head_units, matrices

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

_FEWEST_NEURONS = 8
"""Of a layer: without any the layer would be but a sum, and with few the fits get no hold."""


@dataclass(frozen=True)
class Importance:
    """How much of the loss hangs on each structure, layer by layer.

    Attributes:
        heads: [heads of the layer], not negative.
        neurons: [neurons of the layer], not negative.
    """

    heads: tuple[np.ndarray, ...]
    neurons: tuple[np.ndarray, ...]


def whole(model: PreTrainedModel, family: Family) -> Kept:
    """All that a model has."""
    found = [matrices(layer, model.config) for layer in layer_modules(model, family)]
    return Kept(
        heads=tuple(tuple(range(one.writes.in_features // one.head_size)) for one in found),
        neurons=tuple(tuple(range(one.down.in_features)) for one in found),
    )


def refuse_unprunable(wanted: PruningConfig, config: PreTrainedConfig) -> None:
    """Refuse what cannot be taken out, before anything is recorded.

    Raises:
        StudentError: For an architecture whose layers limbeck cannot make thin, for a sentence
            encoder, or for more heads or neurons than there are.
    """
    if vectors_of(config) is not None:
        raise StudentError(
            "student.pruning",
            "limbeck cannot take heads and neurons out of a student that gives vectors",
            "Cut layers or widths (student.layers, student.hidden).",
        )
    if config.model_type not in PATHS:
        raise StudentError(
            "student.pruning",
            f"limbeck cannot take heads and neurons out of a {config.model_type!r} model",
            f"Cut layers (student.layers), or take a teacher of the type {', '.join(PATHS)}.",
        )
    intermediate = int(getattr(config, "intermediate_size", getattr(config, "hidden_dim", 0)))
    first = [CutConfig(heads=wanted.heads, neurons=wanted.neurons), *wanted.again]
    most = {key: max(filter(None, (getattr(cut, key) for cut in first)), default=None)
            for key in ("heads", "neurons")}  # fmt: skip
    for name, ours, there in (
        ("heads", most["heads"], head_count(config)),
        ("neurons", most["neurons"], intermediate),
    ):
        if ours is not None and ours > there:
            raise StudentError(
                f"student.pruning.{name}",
                f"{ours} a layer are to stay, but a layer has {there}",
                f"Use {there} at most, or leave it out to keep them all.",
            )


def choose(importance: Importance, now: Kept, *, heads: int | None, neurons: int | None) -> Kept:
    """The most important structures, counted over all layers together; places in `now`.

    Layers may keep different numbers: each at least one head and a few neurons, the rest go to
    wherever the loss hangs on them most.

    Args:
        importance: Of what there is now.
        now: What there is now.
        heads: To keep a layer on average; None keeps all.
        neurons: Likewise.

    Raises:
        StudentError: If an importance is NaN, or all of them are zero: nothing would say what may
            go.
    """
    layers = len(now.heads)
    all_heads, all_neurons = (tuple(map(lambda k: tuple(range(len(k))), part))
                              for part in (now.heads, now.neurons))  # fmt: skip
    return Kept(
        heads=all_heads if heads is None else _best(importance.heads, layers * heads, 1, "heads"),
        neurons=all_neurons
        if neurons is None
        else _best(importance.neurons, layers * neurons, min(_FEWEST_NEURONS, neurons), "neurons"),
    )


def _best(
    values: tuple[np.ndarray, ...], total: int, least: int, what: str
) -> tuple[tuple[int, ...], ...]:
    everything = np.concatenate(values)
    if not np.isfinite(everything).all() or not everything.any():
        found = "all zero" if np.isfinite(everything).all() else "NaN or infinite"
        raise StudentError(
            f"student.pruning.{what}",
            f"the importances of the {what} are {found}, so nothing says what may go",
            "Look at its training in log.jsonl: its loss is broken, or hangs on nothing.",
        )
    order = [np.argsort(-layer, kind="stable") for layer in values]
    kept = [set(map(int, layer[:least])) for layer in order]
    rest = sorted(
        ((-float(values[n][place]), n, int(place)) for n in range(len(values))
         for place in order[n][least:]),
    )  # fmt: skip
    for _, layer, place in rest[: max(0, total - least * len(values))]:
        kept[layer].add(place)
    return tuple(tuple(sorted(layer)) for layer in kept)


def within(kept: Kept, now: Kept) -> Kept:
    """`kept`, which counts in `now`, counted in the layers that `now` counts in."""

    def looked_up(
        places: tuple[tuple[int, ...], ...], names: tuple[tuple[int, ...], ...]
    ) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(there[place] for place in here)
                     for here, there in zip(places, names, strict=True))  # fmt: skip

    return Kept(looked_up(kept.heads, now.heads), looked_up(kept.neurons, now.neurons))


def parameters_gone(config: PreTrainedConfig, *, heads: int | None, neurons: int | None) -> int:
    """Parameters that all layers lose when so many heads and neurons a layer stay."""
    width = int(config.hidden_size)
    size = width // head_count(config)
    intermediate = int(getattr(config, "intermediate_size", getattr(config, "hidden_dim", 0)))
    gone_heads = 0 if heads is None else head_count(config) - heads
    gone_neurons = 0 if neurons is None else intermediate - neurons
    a_layer = gone_heads * size * (4 * width + 3) + gone_neurons * (2 * width + 1)
    return layer_count(config) * a_layer


def stock_weights(
    model: PreTrainedModel, family: Family, kept: Kept, stock: PreTrainedModel
) -> dict[str, Tensor]:
    """A thin model's weights in the shapes of a stock one: what was taken out stands as zeros.

    The stock model gives the same answers: a head whose values and output columns are zero adds
    nothing, nor does a neuron whose output column is.

    Args:
        model: The thin model.
        family: Its family.
        kept: What is left, counted in the stock model's layers.
        stock: A model of the same config.
    """
    import torch

    names = {id(module): name for name, module in model.named_modules()}
    filled = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    shapes = {name: value.shape for name, value in stock.state_dict().items()}
    for layer, heads, neurons in zip(
        layer_modules(model, family), kept.heads, kept.neurons, strict=True
    ):
        found = matrices(layer, model.config)
        units = head_units(heads, found.head_size)
        for module, rows, columns in (
            *((reads, units, None) for reads in found.reads),
            (found.writes, None, units),
            (found.up, np.array(neurons), None),
            (found.down, None, np.array(neurons)),
        ):
            name = names[id(module)]
            for kind in ("weight", "bias"):
                key = f"{name}.{kind}"
                if key not in filled or (kind == "bias" and rows is None):
                    continue
                room = torch.zeros(shapes[key], dtype=filled[key].dtype)
                if rows is not None:
                    room[torch.from_numpy(rows)] = filled[key]
                elif columns is not None:
                    room[:, torch.from_numpy(columns)] = filled[key]
                filled[key] = room
    return filled
