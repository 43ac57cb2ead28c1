"""Where the encoder layers of each architecture are, and how its config counts them."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from limbeck.errors import TeacherError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Family:
    """An architecture as transformers lays it out.

    Attributes:
        layers: Path of the layer list below the base model.
        embeddings: Path of the module whose output is layer 0.
        intermediate_key: Config key of the feed-forward width.
        shared_layers: One set of weights serves every layer (ALBERT).
        post_norm_bert: Same modules as BERT in each layer, so widths can be cut.
        first_token: Whose modules the last layer has if the head reads the first token's state
            alone (``first_token.py``), or None where heads read more or layers differ.
        sdpa: Whether transformers lets its attention be chosen; if not, it is eager.
    """

    layers: str
    embeddings: str
    intermediate_key: str = "intermediate_size"
    shared_layers: bool = False
    post_norm_bert: bool = False
    first_token: Literal["bert", "distilbert"] | None = None
    sdpa: bool = True


_BERT = Family("encoder.layer", "embeddings", post_norm_bert=True, first_token="bert")
FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": _BERT,
    "xlm-roberta": _BERT,
    "camembert": _BERT,
    # ELECTRA's embeddings have a width of their own.
    "electra": Family("encoder.layer", "embeddings", first_token="bert"),
    "mpnet": Family("encoder.layer", "embeddings", sdpa=False),
    "deberta": Family("encoder.layer", "embeddings", sdpa=False),
    "deberta-v2": Family("encoder.layer", "embeddings", sdpa=False),
    "distilbert": Family("transformer.layer", "embeddings", "hidden_dim", first_token="distilbert"),
    # ALBERT's embeddings have one too; what its first layer reads is as wide as the stream.
    "albert": Family(
        "encoder.albert_layer_groups", "encoder.embedding_hidden_mapping_in", shared_layers=True
    ),
    "mobilebert": Family("encoder.layer", "embeddings"),
    "xlnet": Family("layer", "word_embedding", "d_inner", sdpa=False),
    "modernbert": Family("layers", "embeddings"),
}


def family_of(config: PreTrainedConfig, where: str) -> Family:
    """The family of a config.

    Raises:
        TeacherError: For an architecture whose layers limbeck does not know how to find.
    """
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise TeacherError(
            where,
            f"limbeck does not know the layers of a {config.model_type!r} model",
            f"Known are {', '.join(FAMILIES)}.",
        )
    return family


def layer_modules(model: PreTrainedModel, family: Family) -> list[nn.Module]:
    """The encoder layers of a model, first to last (one group for shared layers)."""
    return list(attrgetter(family.layers)(model.base_model))


def embedding_module(model: PreTrainedModel, family: Family) -> nn.Module:
    """The module whose output is the embedding output, layer 0."""
    return attrgetter(family.embeddings)(model.base_model)


def layer_count(config: PreTrainedConfig) -> int:
    """The number of layers that a config asks for."""
    return int(config.num_hidden_layers)


def position_limit(config: PreTrainedConfig) -> int | None:
    """The most tokens that a model takes, or None where it has no limit.

    RoBERTa's positions begin behind the padding id, so two of them are never used.
    """
    limit: Any = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        return int(limit) - 2
    return int(limit)
