"""The rows of queries: pairs of a query and a candidate, those of a query next to each other."""

from __future__ import annotations

import json

import numpy as np

from limbeck.data.texts import Texts


def list_offsets(texts: Texts) -> np.ndarray:
    """Where the candidates of each query begin, counted over all, and their end.

    Args:
        texts: Of `gather_queries`.

    Returns:
        int64 [queries + 1].
    """
    counts = [len(json.loads(passages)) for passages in texts.pairs]
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
