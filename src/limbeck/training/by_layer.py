"""One layer after the other: what learns in which of several trainings, and from which terms.

Reference:
    Sun et al. MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices, 2020, section
    3.5 (progressive knowledge transfer). https://arxiv.org/abs/2004.02984
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import Term
from limbeck.teacher.family import Family, embedding_module, layer_count, layer_modules

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LayerTask:
    """One training of several.

    Attributes:
        part: What is appended to the training's name, such as ``-layer-3``.
        terms: What is learned from.
        learning: What learns; the rest stays as it is.
    """

    part: str
    terms: tuple[Term, ...]
    learning: tuple[nn.Module, ...]


def layer_tasks(model: PreTrainedModel, family: Family, terms: Sequence[Term]) -> list[LayerTask]:
    """A task for each layer that a term looks at, the first one first.

    The embeddings learn with the first layer. Terms that belong to no layer (labels, logits) come
    last, and the whole model learns from them.

    Args:
        model: The student; its layers do not share weights.
        family: Its family.
        terms: With layer maps written out.
    """
    modules = layer_modules(model, family)
    tasks = []
    for layer in range(1, layer_count(model.config) + 1):
        layers, learning = {layer}, [modules[layer - 1]]
        if layer == 1:
            layers, learning = {0, 1}, [*learning, embedding_module(model, family)]
        own = [one for one in (_at(term, layers) for term in terms) if one is not None]
        if own:
            tasks.append(LayerTask(f"-layer-{layer}", tuple(own), tuple(learning)))
    whole = tuple(term for term in terms if not isinstance(_map(term), dict))
    if whole:
        tasks.append(LayerTask("-whole", whole, (model,)))
    return tasks


def layer_training(whole: TrainingConfig, tasks: int) -> TrainingConfig:
    """The loop's settings for one of so many tasks: its share of the epochs, at least one."""
    return whole.model_copy(update={"epochs": max(1, round(whole.epochs / tasks))})


def _map(term: Term) -> object:
    return getattr(term, "layer_map", None)


def _at(term: Term, layers: set[int]) -> Term | None:
    """The term for these student layers alone, or None if it looks at none of them."""
    layer_map = _map(term)
    if not isinstance(layer_map, dict) or not layers & set(layer_map):
        return None
    here = {own: other for own, other in layer_map.items() if own in layers}
    return term.model_copy(update={"layer_map": here})
