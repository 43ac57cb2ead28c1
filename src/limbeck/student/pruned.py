"""Which heads, neurons and directions a student keeps, and its weights as a stock model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.student import CutConfig, PruningConfig
from limbeck.errors import StudentError
from limbeck.student.factorize import weighted_directions
from limbeck.teacher.attention import part_width
from limbeck.teacher.factored import (
    CODES,
    DIRECTIONS,
    embedding_table,
    factor_embedding,
    worth_factoring,
)
from limbeck.teacher.family import Family, family_of, head_count, layer_count, layer_modules
from limbeck.teacher.head import model_class
from limbeck.teacher.parts import Part
from limbeck.teacher.thin import PATHS, Kept, matrices

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

_FEWEST_NEURONS = 8
"""Of a layer: without any the layer would be but a sum, and with few the fits get no hold."""


@dataclass(frozen=True)
class Target:
    """What is to be left. None keeps all.

    Attributes:
        heads: A layer, on average.
        neurons: A layer, on average.
        rank: Of the word embeddings.
    """

    heads: int | None = None
    neurons: int | None = None
    rank: int | None = None


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
        StudentError: For an architecture whose layers limbeck cannot make thin, or for more heads
            or neurons than there are.
    """
    if config.model_type not in PATHS:
        raise StudentError(
            "student.pruning",
            f"limbeck cannot take heads and neurons out of a {config.model_type!r} model",
            f"Cut layers (student.layers), or take a teacher of the type {', '.join(PATHS)}.",
        )
    tokens, width = int(config.vocab_size), embedding_width(config)
    rank = wanted.embedding_rank
    if rank is not None and not worth_factoring(tokens, width, rank):
        raise StudentError(
            "student.pruning.embedding_rank",
            f"a product of rank {rank} has more numbers than the {tokens:,} x {width} table of "
            "word embeddings",
            f"Use {tokens * width // (tokens + width) or 1} at most; {max(1, width // 4)} is a "
            "quarter of the table.",
        )
    intermediate = int(getattr(config, family_of(config, "the student").intermediate_key))
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


def by_chance(now: Kept, seed: int) -> Importance:
    """Importances that say nothing: every head and every neuron is as likely to go."""
    generator = np.random.default_rng(seed)
    heads, neurons = (
        tuple(generator.uniform(0.5, 1.0, len(layer)) for layer in part)
        for part in (now.heads, now.neurons)
    )
    return Importance(heads, neurons)


def choose(importance: Importance, now: Kept, target: Target) -> Kept:
    """The most important structures, counted over all layers together; places in `now`.

    Layers may keep different numbers: each at least one head and a few neurons, the rest go to
    wherever the loss hangs on them most.

    Args:
        importance: Of what there is now.
        now: What there is now.
        target: What is to be left.

    Raises:
        StudentError: If an importance is NaN, or all of them are zero: nothing would say what may
            go.
    """
    layers, heads, neurons = len(now.heads), target.heads, target.neurons
    all_heads, all_neurons = (tuple(map(lambda k: tuple(range(len(k))), part))
                              for part in (now.heads, now.neurons))  # fmt: skip
    return Kept(
        heads=all_heads if heads is None else _best(importance.heads, layers * heads, 1, "heads"),
        neurons=all_neurons
        if neurons is None
        else _best(importance.neurons, layers * neurons, min(_FEWEST_NEURONS, neurons), "neurons"),
        rank=now.rank if target.rank is None else target.rank,
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

    heads, neurons = looked_up(kept.heads, now.heads), looked_up(kept.neurons, now.neurons)
    return Kept(heads, neurons, kept.rank)


def factor(model: PreTrainedModel, counts: np.ndarray, rank: int) -> float:
    """Write the word embeddings as a product of `rank`, in place; the energy that is kept.

    The directions are those that most of the texts' tokens lie in: a token counts as often as the
    texts hold it, and a little for being in the vocabulary.

    Args:
        model: With word embeddings, factored already or not.
        counts: How often the texts hold each token [vocabulary].
        rank: How many directions.
    """
    table = embedding_table(model)
    directions = weighted_directions(table, counts, rank)
    basis = directions.basis.to(table.dtype)
    factor_embedding(model, table @ basis, basis)
    return directions.kept


def embeddings_gone(config: PreTrainedConfig, rank: int | None) -> int:
    """Parameters that word embeddings lose by being a product of this rank."""
    tokens, width = int(config.vocab_size), embedding_width(config)
    return 0 if rank is None else tokens * width - rank * (tokens + width)


def embedding_width(config: PreTrainedConfig) -> int:
    """Width of the word embeddings; ELECTRA's is another than that of its layers."""
    return part_width(config, Part("hidden", 0))


def parameters_gone(config: PreTrainedConfig, *, heads: int | None, neurons: int | None) -> int:
    """Parameters that all layers lose when so many heads and neurons a layer stay."""
    import torch

    with torch.device("meta"):
        model = model_class("classifier").from_config(config)
    layer = matrices(layer_modules(model, family_of(config, "the student"))[0], config)
    gone_heads = 0 if heads is None else head_count(config) - heads
    gone_neurons = 0 if neurons is None else layer.down.in_features - neurons
    a_head = layer.head_size * layer.writes.out_features
    a_head += sum(p.numel() for one in layer.reads for p in one.parameters()) // head_count(config)
    a_neuron = layer.down.out_features
    a_neuron += sum(p.numel() for p in layer.up.parameters()) // layer.down.in_features
    return layer_count(config) * (gone_heads * a_head + gone_neurons * a_neuron)


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

    names = {id(module): name for name, module in stock.named_modules()}
    filled = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    for layer, heads, neurons in zip(
        layer_modules(stock, family), kept.heads, kept.neurons, strict=True
    ):
        whole_layer = matrices(layer, stock.config)
        for module, rows in whole_layer.rows(heads, neurons):
            for kind, there in module.named_parameters():
                key = f"{names[id(module)]}.{kind}"
                room = torch.zeros(there.shape, dtype=filled[key].dtype)
                room[torch.from_numpy(rows)] = filled[key]
                filled[key] = room
        for module, columns in whole_layer.columns(heads, neurons):
            key = f"{names[id(module)]}.weight"
            room = torch.zeros(module.weight.shape, dtype=filled[key].dtype)
            room[:, torch.from_numpy(columns)] = filled[key]
            filled[key] = room
    if kept.rank is not None:
        words = names[id(stock.get_input_embeddings())]
        del filled[f"{words}.{CODES}"], filled[f"{words}.{DIRECTIONS}"]
        filled[f"{words}.weight"] = embedding_table(model).cpu()
    return filled
