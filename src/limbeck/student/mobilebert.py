"""A MobileBERT student: as deep as its teacher, its layers thin inside a wide stream.

Reference:
    Sun, Yu, Song, Liu, Yang, Zhou. MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited
    Devices, 2020, sections 3.1 to 3.3 and table 1. https://arxiv.org/abs/2004.02984

    The paper's: 24 layers, a stream of 512 as its teacher's, so that feature maps compare without
    a projection; bottlenecks of 128, 4 heads, 4 feed-forward networks of 512, embeddings of 128.
    Ours: the same ratios to any teacher's stream, and embeddings that start as the teacher's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.student.factorize import leading_directions, looked_up
from limbeck.student.post_norm import POSITIONS, TYPES, WORDS, Weights, renamed
from limbeck.student.sizes import ThinLayers
from limbeck.student.start import Seen, Start

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig


def mobilebert_config(
    common: dict[str, Any],
    thin: ThinLayers,
    *,
    layers: int,
    hidden: int,
    embedding: int,
    norm: str,
    types: int,
) -> PreTrainedConfig:
    """The config of a MobileBERT.

    Args:
        common: What every architecture's config is told alike.
        thin: What is inside its layers.
        layers: Number of layers.
        hidden: Width of the stream.
        embedding: Width of the word embeddings.
        norm: no_norm or layer_norm.
        types: Number of token types.
    """
    from transformers import MobileBertConfig

    return MobileBertConfig(
        **common,
        num_hidden_layers=layers,
        hidden_size=hidden,
        hidden_act="relu",
        num_attention_heads=thin.heads,
        intermediate_size=thin.intermediate,
        intra_bottleneck_size=thin.bottleneck,
        num_feedforward_networks=thin.feed_forwards,
        embedding_size=embedding,
        normalization_type=norm,
        type_vocab_size=types,
        trigram_input=True,
        use_bottleneck=True,
        use_bottleneck_attention=False,
        key_query_shared_bottleneck=True,
        classifier_activation=True,
    )


def mobilebert_start(weights: Weights, seen: Seen, config: PreTrainedConfig) -> Start:
    """The teacher's embeddings and head as MobileBERT's; its layers stay new.

    Args:
        weights: The teacher's outside its layers, under the names of `post_norm`.
        seen: Tokens of the training texts.
        config: The student's.
    """
    import torch

    hidden = weights[WORDS].shape[1]
    words = weights[WORDS].double()
    at = torch.from_numpy(seen.ids)
    mean = words[at].mean(0) if len(at) else words.mean(0)
    found = leading_directions(words - mean, words[at] - mean, config.embedding_size)
    own: Weights = {f"mobilebert.{WORDS}": (words @ found.basis).float()}
    new = ["mobilebert.encoder."]
    if hidden == config.hidden_size:
        rest = mean - found.basis @ (found.basis.T @ mean)
        own |= _stream(weights, found.basis, rest, seen, config)
        heads = {"pool.": "mobilebert.pooler.dense.", "classes.": "classifier."}
        own |= renamed(weights, heads | {"qa_outputs.": "qa_outputs."})
        taken = "embeddings and head are"
    else:
        new += ["mobilebert.embeddings.", "mobilebert.pooler.", "classifier.", "qa_outputs."]
        taken = "word embeddings are"
    if "mlm.decoder.bias" in weights:
        own["cls.predictions.decoder.weight"] = own[f"mobilebert.{WORDS}"]
        bias = weights["mlm.decoder.bias"]
        own["cls.predictions.decoder.bias"] = own["cls.predictions.bias"] = bias
        new += ["cls.predictions.transform.", "cls.predictions.dense."]
        taken = taken.replace("and head ", "")
    return Start(
        own,
        tuple(new),
        (
            f"{taken} the teacher's, all layers are new",
            f"word embeddings of width {config.embedding_size} keep {found.kept:.1%} of the "
            "teacher's energy",
        ),
    )


def _stream(
    weights: Weights, basis: Tensor, rest: Tensor, seen: Seen, config: PreTrainedConfig
) -> Weights:
    """What makes the embeddings' output that of the teacher: of each trigram the middle token.

    The neighbors' part of the transformation starts at 0. NoNorm is a LayerNorm whose standard
    deviation is the texts' mean one, and whose centering is done by the tables.
    """
    import torch

    positions, types = weights[POSITIONS].double(), weights[TYPES].double()
    scale, shift = (weights[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias"))
    if config.normalization_type == "no_norm":
        words = weights[WORDS].double()
        rows = looked_up(words, positions + types[0], seen)
        rows = rows if len(rows) else words + positions.mean(0) + types[0]
        scale = (scale / rows.std(1, unbiased=False).mean()).float()
        basis, rest = basis - basis.mean(0), rest - rest.mean()
        positions = positions - positions.mean(1, keepdim=True)
        types = types - types.mean(1, keepdim=True)
    nothing = torch.zeros_like(basis)
    own = {
        POSITIONS: positions.float(),
        TYPES: types.float(),
        "embeddings.embedding_transformation.weight": torch.cat([nothing, basis, nothing], 1),
        "embeddings.embedding_transformation.bias": rest,
        "embeddings.LayerNorm.weight": scale,
        "embeddings.LayerNorm.bias": shift,
    }
    return {f"mobilebert.{name}": weight.float() for name, weight in own.items()}
