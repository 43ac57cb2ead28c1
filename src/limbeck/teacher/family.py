"""Where the encoder layers of each architecture are, and how its config counts them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from limbeck.errors import TeacherError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Vectors:
    """Where a layer's attention has its queries, keys and values; paths are below the layer.

    Attributes:
        attention: The module that attends.
        queries: Below it, the module whose output they are.
        keys: Likewise.
        values: Likewise. One module for all three has them fused.
        layout: ``separate`` modules; ``thirds`` of a fused output; ``heads``, of which each has a
            third of its own (DeBERTa, with biases beside it); ``parameters`` instead of modules
            (XLNet), which the attention's input is multiplied with.
        rotary: Queries and keys are turned by position before they meet.
        shares: The module whose input is the distribution over tokens, where queries and keys
            alone do not give it: positions have a say of their own. None where they do.
    """

    attention: str
    queries: str = "query"
    keys: str = "key"
    values: str = "value"
    layout: Literal["separate", "thirds", "heads", "parameters"] = "separate"
    rotary: bool = False
    shares: str | None = None


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
        final_norm: Path of the norm behind the last layer, whose output is then the last hidden
            state, as transformers counts.
        after_first: Path of a module that reworks the first layer's output, where a config has one.
        tokens_first: States are [tokens, batch, hidden] inside.
        causal: A token sees itself and those before it.
        vocabulary_head: Path of the module that a language model's head begins with, below the
            model; it reads the last hidden states. None where limbeck knows none.
        whole_texts: No text is cut when it is answered, however long it is.
    """

    layers: str
    embeddings: str
    vectors: Vectors
    intermediate_key: str = "intermediate_size"
    shared_layers: bool = False
    post_norm_bert: bool = False
    first_token: Literal["bert", "distilbert"] | None = None
    sdpa: bool = True
    final_norm: str | None = None
    after_first: str | None = None
    tokens_first: bool = False
    causal: bool = False
    vocabulary_head: str | None = None
    whole_texts: bool = False


_SELF = Vectors("attention.self")
_BERT = Family(
    "encoder.layer",
    "embeddings",
    _SELF,
    post_norm_bert=True,
    first_token="bert",
    vocabulary_head="cls",
)
_ROBERTA = replace(_BERT, vocabulary_head="lm_head")
FAMILIES: dict[str, Family] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    # ELECTRA's embeddings have a width of their own.
    "electra": Family(
        "encoder.layer",
        "embeddings",
        _SELF,
        first_token="bert",
        vocabulary_head="generator_predictions",
    ),
    "mpnet": Family(
        "encoder.layer",
        "embeddings",
        Vectors("attention.attn", "q", "k", "v", shares="dropout"),
        sdpa=False,
        vocabulary_head="lm_head",
    ),
    "deberta": Family(
        "encoder.layer",
        "embeddings",
        Vectors(
            "attention.self", "in_proj", "in_proj", "in_proj", layout="heads", shares="dropout"
        ),
        sdpa=False,
    ),
    "deberta-v2": Family(
        "encoder.layer",
        "embeddings",
        Vectors("attention.self", "query_proj", "key_proj", "value_proj", shares="dropout"),
        sdpa=False,
        after_first="encoder.conv",
    ),
    "distilbert": Family(
        "transformer.layer",
        "embeddings",
        Vectors("attention", "q_lin", "k_lin", "v_lin"),
        "hidden_dim",
        first_token="distilbert",
        vocabulary_head="vocab_transform",
    ),
    # ALBERT's embeddings have one too; what its first layer reads is as wide as the stream.
    "albert": Family(
        "encoder.albert_layer_groups",
        "encoder.embedding_hidden_mapping_in",
        Vectors("albert_layers.0.attention"),
        shared_layers=True,
        vocabulary_head="predictions",
    ),
    "mobilebert": Family("encoder.layer", "embeddings", _SELF, vocabulary_head="cls"),
    "xlnet": Family(
        "layer",
        "word_embedding",
        Vectors("rel_attn", "q", "k", "v", layout="parameters", shares="dropout"),
        "d_inner",
        sdpa=False,
        tokens_first=True,
    ),
    "modernbert": Family(
        "layers",
        "embeddings",
        Vectors("attn", "Wqkv", "Wqkv", "Wqkv", layout="thirds", rotary=True),
        final_norm="final_norm",
        vocabulary_head="head",
    ),
    "gpt2": Family(
        "h",
        "drop",
        Vectors("attn", "c_attn", "c_attn", "c_attn", layout="thirds"),
        "n_inner",
        final_norm="ln_f",
        causal=True,
        vocabulary_head="lm_head",
    ),
}

TABLE = Family("layers", "embedding", _SELF, sdpa=False, whole_texts=True)
"""A table of token vectors (`static.py`): no layers, and no architecture of transformers."""


def family_of(config: PreTrainedConfig, where: str) -> Family:
    """The family of a config.

    Raises:
        TeacherError: For an architecture whose layers limbeck does not know how to find.
    """
    family = TABLE if config.model_type == "static" else FAMILIES.get(config.model_type)
    if family is None:
        raise TeacherError(
            where,
            f"limbeck does not know the layers of a {config.model_type!r} model",
            f"Known are {', '.join(FAMILIES)}.",
        )
    return family


def head_count(config: PreTrainedConfig) -> int:
    """Attention heads of a layer."""
    return int(config.num_attention_heads)


def layer_modules(model: PreTrainedModel, family: Family) -> list[nn.Module]:
    """The encoder layers of a model, first to last (one group for shared layers)."""
    return list(attrgetter(family.layers)(model.base_model))


def remove_layer(model: PreTrainedModel, family: Family, place: int) -> None:
    """Take the encoder layer at `place` (from 0) out of a model, in place; its config stays."""
    modules: nn.ModuleList = attrgetter(family.layers)(model.base_model)
    del modules[place]


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
