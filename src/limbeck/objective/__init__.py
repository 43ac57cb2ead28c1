"""The terms of an objective: pure functions of tensors, and what aligns the tensors for them."""

from limbeck.objective.attention import (
    attention_distribution_kl,
    attention_kl,
    attention_score_mse,
    attention_scores,
    split_heads,
)
from limbeck.objective.contrastive import contrastive_nce
from limbeck.objective.correlation import logit_correlation
from limbeck.objective.decoupled import decoupled_kd
from limbeck.objective.hard import hard_cross_entropy
from limbeck.objective.hidden import hidden_cosine, hidden_mse, hidden_normalized_mse
from limbeck.objective.layer_map import even_layer_map
from limbeck.objective.pooled import pooled_cosine, pooled_mse, pooled_normalized_mse
from limbeck.objective.projection import Projection
from limbeck.objective.relations import relation_kl
from limbeck.objective.similarity import (
    relational_angle,
    relational_distance,
    similarity_preserving,
)
from limbeck.objective.skewed import logit_skewed_kl, logit_skewed_reverse_kl
from limbeck.objective.soft import (
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    soft_cross_entropy,
)

__all__ = [
    "Projection",
    "attention_distribution_kl",
    "attention_kl",
    "attention_score_mse",
    "attention_scores",
    "contrastive_nce",
    "decoupled_kd",
    "even_layer_map",
    "hard_cross_entropy",
    "hidden_cosine",
    "hidden_mse",
    "hidden_normalized_mse",
    "logit_correlation",
    "logit_jensen_shannon",
    "logit_kl",
    "logit_reverse_kl",
    "logit_skewed_kl",
    "logit_skewed_reverse_kl",
    "pooled_cosine",
    "pooled_mse",
    "pooled_normalized_mse",
    "relation_kl",
    "relational_angle",
    "relational_distance",
    "similarity_preserving",
    "soft_cross_entropy",
    "split_heads",
]
