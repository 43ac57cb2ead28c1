"""What every runtime can do: logits of texts, tokenization included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

BULK_ROWS = 32


class Answerer(Protocol):
    """A model that is ready to answer."""

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits [texts, classes], float32; the texts go through as one batch."""
        ...


def answer_all(answerer: Answerer, texts: Sequence[str], *, rows: int = BULK_ROWS) -> np.ndarray:
    """Logits of many texts in their order, computed in batches of similar length."""
    order: list[int] = np.argsort([len(text) for text in texts], kind="stable")[::-1].tolist()
    logits: np.ndarray | None = None
    for start in range(0, len(order), rows):
        places = order[start : start + rows]
        part = answerer.logits([texts[place] for place in places])
        if logits is None:
            logits = np.empty((len(texts), part.shape[1]), dtype=np.float32)
        logits[places] = part
    return logits if logits is not None else np.empty((0, 0), dtype=np.float32)
