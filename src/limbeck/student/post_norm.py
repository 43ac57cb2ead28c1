"""Weights of BERT, RoBERTa, XLM-R and CamemBERT under one set of names, for other architectures.

Names are BERT's without the base model's, and these for the heads:

    pool       the layer in front of the classes (BERT's pooler, RoBERTa's classifier.dense)
    classes    the classes' own weights
    mlm.dense, mlm.norm, mlm.decoder    the masked-LM head; mlm.decoder has the vocabulary's rows
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from limbeck.teacher.family import position_limit

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig

Weights = dict[str, "Tensor"]

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"

_ONE_NAME = {
    "encoder.layer.": "layer.",
    "pooler.dense.": "pool.",
    "classifier.dense.": "pool.",
    "classifier.out_proj.": "classes.",
    "classifier.": "classes.",
    "cls.predictions.transform.dense.": "mlm.dense.",
    "cls.predictions.transform.LayerNorm.": "mlm.norm.",
    "cls.predictions.decoder.": "mlm.decoder.",
    "cls.predictions.bias": "mlm.decoder.bias",
    "lm_head.dense.": "mlm.dense.",
    "lm_head.layer_norm.": "mlm.norm.",
    "lm_head.decoder.": "mlm.decoder.",
    "lm_head.bias": "mlm.decoder.bias",
}


def with_one_name(weights: Mapping[str, Tensor], base: str, teacher: PreTrainedConfig) -> Weights:
    """The weights under the names above, their positions counted from 0.

    RoBERTa's positions begin behind the padding id; the rows before are not read by any text.

    Args:
        weights: Under the teacher's names, its layers numbered as the student's.
        base: The teacher's `base_model_prefix`.
        teacher: Its config.
    """
    named = {_renamed(name.removeprefix(f"{base}."), _ONE_NAME): w for name, w in weights.items()}
    limit = position_limit(teacher)
    if limit != teacher.max_position_embeddings:
        first = 1 + (teacher.pad_token_id or 0)
        named[POSITIONS] = named[POSITIONS][first:][:limit]
    return named


def renamed(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> Weights:
    """Those weights whose name begins with a key of `names`, the value in its place."""
    return {
        _renamed(name, names): weight
        for name, weight in weights.items()
        if any(name.startswith(old) for old in names)
    }


def layer_weights(weights: Mapping[str, Tensor], layer: int) -> Weights:
    """The weights of one layer (from 0), named from the layer on."""
    prefix = f"layer.{layer}."
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def layer_numbers(weights: Mapping[str, Tensor]) -> list[int]:
    """The layers that there are, from 0."""
    return sorted({int(name.split(".")[1]) for name in weights if name.startswith("layer.")})


def _renamed(name: str, names: Mapping[str, str]) -> str:
    old = next((old for old in names if name.startswith(old)), "")
    return names.get(old, "") + name.removeprefix(old)
