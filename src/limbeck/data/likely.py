"""What a language model says at a place, in few numbers: a row of `WordOutputs.values`.

float32 [2k + 1]: the log-probability of the token that stands there (0 where nobody knows it), the
ids of the k likeliest tokens (whole numbers, exact below 2^24), and their log-probabilities.
"""

from __future__ import annotations

import numpy as np

SHOWN = 5
"""Tokens that are kept at each place of what is judged or predicted."""


def likeliest_of(logits: np.ndarray, tokens: np.ndarray, *, k: int = SHOWN) -> np.ndarray:
    """What logits say, in few numbers: [places, 2k + 1].

    Args:
        logits: [places, vocabulary], unnormalized.
        tokens: int [places], the token that stands there, -1 where nobody knows.
        k: Tokens to keep; no more than there are.
    """
    k = min(k, logits.shape[1])
    places = np.arange(len(logits))[:, None]
    some = np.argpartition(-logits, k - 1, axis=1)[:, :k]
    ids = some[places, np.argsort(-logits[places, some], axis=1, kind="stable")]
    with np.errstate(invalid="ignore", over="ignore"):  # the gate refuses what is not finite
        highest = logits[places, ids[:, :1]]
        whole = highest + np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
        own = logits[places, np.maximum(tokens, 0)[:, None]] - whole
        values = logits[places, ids] - whole
    own = np.where(tokens[:, None] >= 0, own, 0.0)
    return np.concatenate([own, ids, values], axis=1).astype(np.float32)


def width(k: int) -> int:
    """Numbers a place."""
    return 2 * k + 1


def log_probabilities(values: np.ndarray) -> np.ndarray:
    """Those of the tokens that stand there [places]."""
    return values[:, 0]


def ids(values: np.ndarray) -> np.ndarray:
    """The likeliest tokens: int64 [places, k], the likeliest first."""
    return values[:, 1 : 1 + _kept(values)].astype(np.int64)


def likely_log_probabilities(values: np.ndarray) -> np.ndarray:
    """Theirs [places, k]."""
    return values[:, 1 + _kept(values) :]


def _kept(values: np.ndarray) -> int:
    return values.shape[1] // 2
