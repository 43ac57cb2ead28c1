"""A loss that looks at a value makes an accelerator wait for it, at every step."""

import pytest
import torch

from limbeck import objective

LOGITS = torch.empty(4, 3, device="meta")
VECTORS = torch.empty(4, 6, device="meta")
STATES = torch.empty(4, 5, 6, device="meta")
SCORES = torch.empty(4, 2, 5, 5, device="meta")
MASK = torch.empty(4, 5, dtype=torch.int64, device="meta")
LABELS = torch.empty(4, dtype=torch.int64, device="meta")
ROWS = torch.empty(4, device="meta")

SOFT = {"temperature": ROWS, "weights": ROWS}
VALUES = torch.empty(4, 2, device="meta")
SPANS = torch.empty(4, 5, 2, device="meta")
CALLS = {
    "all_foretold": ((LOGITS, LABELS), {}),
    "attention_distribution_kl": ((SCORES, SCORES), {"attention_mask": MASK, "heads": "mean"}),
    "attention_kl": ((SCORES, SCORES), {"attention_mask": MASK, "heads": "mean"}),
    "attention_score_mse": ((SCORES, SCORES), {"attention_mask": MASK, "heads": "mean"}),
    "attention_scores": ((SCORES, SCORES), {}),
    "balanced_term_weights": ((ROWS,), {"loss_ratios": ROWS, "strength": 0.5}),
    "binary_cross_entropy": ((LOGITS, LOGITS), {}),
    "binary_kl": ((LOGITS, LOGITS), {"temperature": 2.0}),
    "coarse_log_probabilities": ((VECTORS, MASK[:, :2], VALUES), {"tail": True}),
    "confidence_mixture": ((LOGITS[None].expand(2, 4, 3), LABELS), {}),
    "contrastive_nce": ((VECTORS, VECTORS), {"temperature": 0.1}),
    "correctness_weights": ((LOGITS, LABELS), {}),
    "decoupled_kd": ((LOGITS, LOGITS, LABELS), {**SOFT, "alpha": 1.0, "beta": 2.0}),
    "entropy_weights": ((LOGITS,), {}),
    "foretold": ((LOGITS, LABELS, MASK[:, :2]), {}),
    "gap_temperature": ((LOGITS, LOGITS), {"temperature": 4.0, "spread": 1.0, "focus": 1.0}),
    "hard_cross_entropy": ((LOGITS, LABELS), {"weights": ROWS}),
    "hidden_cosine": ((STATES, STATES), {"attention_mask": MASK}),
    "hidden_mse": ((STATES, STATES), {"attention_mask": MASK}),
    "hidden_normalized_mse": ((STATES, STATES), {"attention_mask": MASK}),
    "in_batch_similarity_kl": ((VECTORS, LOGITS), {"temperature": 0.1}),
    "likeliest": ((LOGITS, LABELS), {"k": 2}),
    "listwise_cross_entropy": ((STATES[..., 0], STATES[..., 0], MASK), {}),
    "listwise_kl": ((STATES[..., 0], STATES[..., 0], MASK), {"temperature": 2.0}),
    "logit_correlation": ((LOGITS, LOGITS), {"temperature": 2.0, "beta": 1.0, "gamma": 1.0}),
    "logit_jensen_shannon": ((LOGITS, LOGITS), SOFT),
    "logit_kl": ((LOGITS, LOGITS), SOFT),
    "logit_reverse_kl": ((LOGITS, LOGITS), SOFT),
    "logit_skewed_kl": ((LOGITS, LOGITS), {**SOFT, "skew": 0.1}),
    "logit_skewed_reverse_kl": ((LOGITS, LOGITS), {**SOFT, "skew": 0.1}),
    "margin_mse": ((STATES[..., 0], STATES[..., 0], MASK), {}),
    "matryoshka": (
        (objective.similarity_preserving, VECTORS, LOGITS),
        {"sizes": [2, 6], "weights": [1.0, 1.0]},
    ),
    "pooled_cosine": ((VECTORS, VECTORS), {}),
    "pooled_mse": ((VECTORS, VECTORS), {}),
    "pooled_normalized_mse": ((VECTORS, VECTORS), {}),
    "relation_kl": ((STATES, STATES), {"attention_mask": MASK, "heads": 2}),
    "relational_angle": ((VECTORS, VECTORS), {}),
    "relational_distance": ((VECTORS, VECTORS), {}),
    "similarity_preserving": ((VECTORS, VECTORS), {}),
    "soft_cross_entropy": ((LOGITS, LOGITS), SOFT),
    "span_cross_entropy": ((SPANS, LABELS, LABELS, MASK), {}),
    "span_kl": ((SPANS, SPANS, MASK), {"temperature": 2.0}),
    "split_heads": ((STATES, 2), {}),
    "standardize_logits": ((LOGITS,), {}),
    "target_mse": ((VALUES, VALUES), {}),
    "teacher_classes": ((VALUES, VALUES > 0), {"vocabulary": 6}),
    "token_cross_entropy": ((ROWS, LABELS), {}),
    "top_k_kl": ((VECTORS, MASK[:, :2], VALUES), {"temperature": 2.0, "tail": True}),
    "transport_weights_update": (
        (LOGITS, LOGITS),
        {"student_weights": ROWS, "teacher_weights": LOGITS[0], "temperature": 1.0},
    ),
    "uncertainty_weights": ((LOGITS,), {}),
    "value_mse": ((VALUES, VALUES), {}),
}

# Layer maps are of plain numbers. The one that waits says so on its page.
WITHOUT = {
    "Projection",
    "earth_movers_weights",
    "even_layer_map",
    "first_layer_map",
    "last_layer_map",
    "random_layer_map",
}


@pytest.mark.parametrize("name", CALLS)
def test_never_looks_at_a_value(name):
    """Tensors on the meta device have shapes and no values: to look at one is an error."""
    arguments, settings = CALLS[name]
    result = getattr(objective, name)(*arguments, **settings)
    for one in result if isinstance(result, tuple) else (result,):
        assert one.device.type == "meta"


def test_the_meta_device_would_notice():
    """Without this the test above could be blind."""
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(ROWS.isfinite().all())


def test_every_function_is_asked():
    """A new one must be added here."""
    assert set(CALLS) | WITHOUT == set(objective.__all__)
