"""Whether translations find each other by their vectors."""

from __future__ import annotations

import numpy as np

_ROWS = 512
"""Whose similarities to all rows are in memory at a time."""


def translation_hits(vectors: np.ndarray) -> np.ndarray:
    """Whether each translation finds its source among all sources, and the other way round.

    A hit is a cosine above that to any other row: who gives all texts the same vector has none.

    Args:
        vectors: [rows, languages, width]; the source language first.

    Returns:
        1.0 or 0.0 [rows, languages - 1, 2]: from a row's translation to its source, and from its
        source to that translation. The mean is the retrieval accuracy; of r rows in no order it
        is 1 / r.

    Raises:
        ValueError: If there is but one language, or fewer than two rows: nothing is searched for.

    Reference:
        Artetxe, Schwenk. Massively Multilingual Sentence Embeddings, 2019, section 4.3 (Tatoeba).
        https://arxiv.org/abs/1812.10464
        They count by nearest neighbour too, and give the error of one direction.
    """
    if vectors.ndim != 3 or vectors.shape[1] < 2 or len(vectors) < 2:
        raise ValueError(
            f"translation_hits: vectors have the shape {vectors.shape}. They must be "
            f"[rows, languages, width] of two rows and two languages at least."
        )
    long = vectors.astype(np.float64)
    lengths = np.linalg.norm(long, axis=-1, keepdims=True)
    units = long / np.where(lengths > 0, lengths, 1.0)
    source = units[:, 0]
    hits = [
        np.stack([_first(units[:, side], source), _first(source, units[:, side])], axis=-1)
        for side in range(1, units.shape[1])
    ]
    return np.stack(hits, axis=1)


def _first(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """1.0 where a query's own document is nearer to it than any other, else 0.0 [rows]."""
    found = np.empty(len(queries))
    for start in range(0, len(queries), _ROWS):
        near = queries[start : start + _ROWS] @ documents.T
        rows = np.arange(len(near))
        own = near[rows, start + rows].copy()
        near[rows, start + rows] = -np.inf
        found[start : start + _ROWS] = own > near.max(axis=1)
    return found
