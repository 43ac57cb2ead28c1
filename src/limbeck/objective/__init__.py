"""The terms of an objective: pure functions of tensors, and what aligns the tensors for them."""

from limbeck.objective.attention import (
    attention_distribution_kl,
    attention_kl,
    attention_score_mse,
    attention_scores,
    split_heads,
)
from limbeck.objective.balance import balanced_term_weights
from limbeck.objective.contrastive import contrastive_nce
from limbeck.objective.correlation import logit_correlation
from limbeck.objective.decoupled import decoupled_kd
from limbeck.objective.foretold import (
    all_foretold,
    foretold,
    likeliest,
    teacher_classes,
    token_cross_entropy,
)
from limbeck.objective.hard import hard_cross_entropy
from limbeck.objective.hidden import hidden_cosine, hidden_mse, hidden_normalized_mse
from limbeck.objective.in_batch import in_batch_similarity_kl
from limbeck.objective.layer_map import (
    even_layer_map,
    first_layer_map,
    last_layer_map,
    random_layer_map,
)
from limbeck.objective.multi_label import binary_cross_entropy, binary_kl
from limbeck.objective.pooled import pooled_cosine, pooled_mse, pooled_normalized_mse
from limbeck.objective.prefixes import matryoshka
from limbeck.objective.projection import Projection
from limbeck.objective.ranking import listwise_cross_entropy, listwise_kl, margin_mse
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
from limbeck.objective.span import span_cross_entropy, span_kl
from limbeck.objective.standardize import standardize_logits
from limbeck.objective.temperature import gap_temperature
from limbeck.objective.top_k import coarse_log_probabilities, top_k_kl
from limbeck.objective.transport import earth_movers_weights, transport_weights_update
from limbeck.objective.values import target_mse, value_mse
from limbeck.objective.weighting import (
    confidence_mixture,
    correctness_weights,
    entropy_weights,
    uncertainty_weights,
)

__all__ = [
    "Projection",
    "all_foretold",
    "attention_distribution_kl",
    "attention_kl",
    "attention_score_mse",
    "attention_scores",
    "balanced_term_weights",
    "binary_cross_entropy",
    "binary_kl",
    "coarse_log_probabilities",
    "confidence_mixture",
    "contrastive_nce",
    "correctness_weights",
    "decoupled_kd",
    "earth_movers_weights",
    "entropy_weights",
    "even_layer_map",
    "first_layer_map",
    "foretold",
    "gap_temperature",
    "hard_cross_entropy",
    "hidden_cosine",
    "hidden_mse",
    "hidden_normalized_mse",
    "in_batch_similarity_kl",
    "last_layer_map",
    "likeliest",
    "listwise_cross_entropy",
    "listwise_kl",
    "logit_correlation",
    "logit_jensen_shannon",
    "logit_kl",
    "logit_reverse_kl",
    "logit_skewed_kl",
    "logit_skewed_reverse_kl",
    "margin_mse",
    "matryoshka",
    "pooled_cosine",
    "pooled_mse",
    "pooled_normalized_mse",
    "random_layer_map",
    "relation_kl",
    "relational_angle",
    "relational_distance",
    "similarity_preserving",
    "soft_cross_entropy",
    "span_cross_entropy",
    "span_kl",
    "split_heads",
    "standardize_logits",
    "target_mse",
    "teacher_classes",
    "token_cross_entropy",
    "top_k_kl",
    "transport_weights_update",
    "uncertainty_weights",
    "value_mse",
]
