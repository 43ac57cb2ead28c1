"""The terms of an objective: pure functions of tensors, and what aligns the tensors for them."""

from limbeck.objective.hard import hard_cross_entropy
from limbeck.objective.hidden import hidden_cosine, hidden_mse
from limbeck.objective.layer_map import even_layer_map
from limbeck.objective.projection import Projection
from limbeck.objective.soft import (
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    soft_cross_entropy,
)

__all__ = [
    "Projection",
    "even_layer_map",
    "hard_cross_entropy",
    "hidden_cosine",
    "hidden_mse",
    "logit_jensen_shannon",
    "logit_kl",
    "logit_reverse_kl",
    "soft_cross_entropy",
]
