"""A DistilBERT student: a BERT without token types and pooler, as transformers has it.

Reference:
    Sanh, Debut, Chaumond, Wolf. DistilBERT, a distilled version of BERT, 2019, section 3:
    half the layers, taken from the teacher, one out of two. https://arxiv.org/abs/1910.01108

    Ours: layers are spread evenly from the first (6 of 12: 1, 3, 5, 7, 9, 11). The authors' script
    takes 1, 3, 5, 8, 10, 12 (`student.from`). They lose the token types; here the first type's row
    is added to every position, so that a single text's embeddings are the teacher's. The head's
    ReLU stands where the teacher had a tanh: see `_head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.student.post_norm import POSITIONS, TYPES, Weights, renamed
from limbeck.student.start import Start

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_EPS = 1e-12
"""DistilBERT's LayerNorms know no other."""
_SHIFT = 1.0
_NAMES = {
    "attention.self.query.": "attention.q_lin.",
    "attention.self.key.": "attention.k_lin.",
    "attention.self.value.": "attention.v_lin.",
    "attention.output.dense.": "attention.out_lin.",
    "attention.output.LayerNorm.": "sa_layer_norm.",
    "intermediate.dense.": "ffn.lin1.",
    "output.dense.": "ffn.lin2.",
    "output.LayerNorm.": "output_layer_norm.",
}


def distilbert_config(
    cut: PreTrainedConfig, common: dict[str, Any], *, activation: str, neurons: int
) -> PreTrainedConfig:
    """The config of a DistilBERT with the sizes of `cut`.

    Args:
        cut: The teacher's config at the student's sizes.
        common: What every architecture's config is told alike.
        activation: The teacher's.
        neurons: Of a feed-forward layer.
    """
    from transformers import DistilBertConfig

    return DistilBertConfig(
        **common,
        n_layers=cut.num_hidden_layers,
        n_heads=cut.num_attention_heads,
        dim=cut.hidden_size,
        hidden_dim=neurons,
        activation=activation,
        sinusoidal_pos_embds=False,
    )


def distilbert_start(weights: Weights, teacher: PreTrainedConfig) -> Start:
    """The teacher's weights as DistilBERT's: every one of them, and nothing new.

    Args:
        weights: Under the names of `post_norm`, cut to the student's sizes.
        teacher: The teacher's config.
    """
    weights = dict(weights)
    weights[POSITIONS] = weights[POSITIONS] + weights.pop(TYPES)[0]
    own = {f"distilbert.{n}": w for n, w in weights.items() if n.startswith("embeddings.")}
    layers = {n: w for n, w in weights.items() if n.startswith("layer.")}
    for name, weight in layers.items():
        _, number, part = name.split(".", 2)
        (new,) = renamed({part: weight}, _NAMES)
        own[f"distilbert.transformer.layer.{number}.{new}"] = weight
    own |= renamed(
        weights,
        {
            "mlm.dense.": "vocab_transform.",
            "mlm.norm.": "vocab_layer_norm.",
            "mlm.decoder.": "vocab_projector.",
            "qa_outputs.": "qa_outputs.",
        },
    )
    notes = ["token types are folded into the positions"]
    if "classes.weight" in weights and "pool.weight" in weights:
        own |= _head(weights)
    else:  # classes of words, which nothing stands in front of
        own |= renamed(weights, {"classes.": "classifier."})
    eps = float(getattr(teacher, "layer_norm_eps", _EPS))
    if eps != _EPS:
        notes.append(f"its LayerNorms add {_EPS:g} to the variance where the teacher adds {eps:g}")
    return Start(own, notes=tuple(notes))


def _head(weights: Weights) -> Weights:
    """The teacher's head, its tanh(z) replaced by relu(z + 1) - 1.

    That is max(z, -1): straight where tanh is, and flat below as tanh is. relu(z) alone, the usual
    start, drops whatever the teacher says by a negative z.
    """
    classes = weights["classes.weight"]
    return {
        "pre_classifier.weight": weights["pool.weight"],
        "pre_classifier.bias": weights["pool.bias"] + _SHIFT,
        "classifier.weight": classes,
        "classifier.bias": weights["classes.bias"] - _SHIFT * classes.sum(1),
    }
