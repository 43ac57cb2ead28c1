"""Language models: how well the next token is foretold, and whether two models foretell the same.

Parts are sums and counts a text, so that every token counts alike, and resamples are of texts.
"""

from __future__ import annotations

import numpy as np


def likelihood_sums(negative_log_likelihood: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Each text's summed -log p(token), in nats, and its number of tokens, for `perplexity`.

    Args:
        negative_log_likelihood: Of every token that was foretold [texts, tokens].
        mask: 1 for a token that counts, 0 for padding and what had no context [texts, tokens].

    Returns:
        Sum and count [texts, 2].

    Raises:
        ValueError: If the shapes differ, or no token counts.
    """
    return _sums(negative_log_likelihood, mask, where="likelihood_sums")


def agreement_counts(
    student_ids: np.ndarray, teacher_ids: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """Each text's places where both models' likeliest token is the same, and all, for `share`.

    Args:
        student_ids: Likeliest token at every place [texts, tokens].
        teacher_ids: Likewise.
        mask: 1 for a place that counts, 0 for padding [texts, tokens].

    Returns:
        Agreements and places [texts, 2].

    Raises:
        ValueError: If the shapes differ, or no place counts.
    """
    if student_ids.shape != teacher_ids.shape:
        raise ValueError(
            f"agreement_counts: student_ids has shape {student_ids.shape}, teacher_ids has shape "
            f"{teacher_ids.shape}. Both must be [texts tokens]. Pass answers at the same places."
        )
    return _sums(student_ids == teacher_ids, mask, where="agreement_counts")


def perplexity(sums: np.ndarray) -> np.ndarray:
    """exp(sum / tokens) of sums [..., 2]: among how many tokens the model wavers; 1 is certainty.

    Lower is better.
    """
    return np.exp(share(sums))


def share(sums: np.ndarray) -> np.ndarray:
    """Sum / count of sums [..., 2]; 0 where nothing counts."""
    return sums[..., 0] / np.maximum(sums[..., 1], 1)


def _sums(values: np.ndarray, mask: np.ndarray, *, where: str) -> np.ndarray:
    if values.shape != mask.shape or mask.ndim != 2 or not (mask == 1).any():
        raise ValueError(
            f"{where}: values have shape {values.shape}, mask has shape {mask.shape} and "
            f"{int((mask == 1).sum())} ones. Both must be [texts tokens], with at least one token "
            f"that counts. Pass 1 for it and 0 for padding."
        )
    counts = mask == 1
    return np.stack([np.where(counts, values, 0).sum(axis=1), counts.sum(axis=1)], axis=1).astype(
        np.float64
    )
