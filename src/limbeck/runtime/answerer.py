"""What every runtime can do: logits of texts, one batch at a time or many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from limbeck.data.per_word import Outputs, together
from limbeck.data.texts import Item
from limbeck.runtime.tokens import Tokens

BATCH_TOKENS = 512
"""Tokens of a batch in bulk, padding included. Measured with onnxruntime on two cores, texts of 13
and of 98 tokens, int8 and float32: 256 and 1,024 are within 8 % of it, 2,048 is 8 to 15 % slower,
presumably because its activations leave the cores' caches. torch does not mind."""


class Answerer(Protocol):
    """A model that is ready to answer.

    Attributes:
        workers: Batches that it computes best at the same time, each in a thread of its own;
            1 means that a batch uses all cores by itself.
        batch_tokens: Tokens of a batch in bulk, padding included.
    """

    workers: int
    batch_tokens: int

    def logits(self, texts: Sequence[Item]) -> Outputs:
        """Logits [texts, classes], or their words'; the texts go through as one batch."""
        ...

    def tokens(self, texts: Sequence[Item]) -> Tokens:
        """Their token ids, cut where the model wants them cut."""
        ...

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """Each token as text."""
        ...

    def logits_of(self, tokens: Tokens, rows: np.ndarray) -> Outputs:
        """Logits [rows, classes], or their words', of rows as one batch; from any thread."""
        ...


_MOST_TOKENS = 2**13
"""Of one batch: a question's windows fit, a book's blocks do not."""


def answered(answerer: Answerer, tokens: Tokens) -> Outputs:
    """Outputs of what was asked, in one batch; of candidates and of long texts in several.

    A query may have hundreds of candidates, and one batch of all would be padded to the longest.

    Args:
        answerer: The model.
        tokens: From its `tokens`.
    """
    budget = None
    if tokens.lists is not None:
        budget = answerer.batch_tokens
    elif tokens.foretold is not None:
        budget = _MOST_TOKENS
    if budget is None or not len(tokens):
        return tokens.of_items(answerer.logits_of(tokens, np.arange(len(tokens))))
    batches = batches_of(tokens.lengths, budget)
    said = together([answerer.logits_of(tokens, rows) for rows in batches])
    return tokens.of_items(said[np.argsort(np.concatenate(batches))])


def batches_of(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Rows in batches of at most `budget` tokens with padding, longest first.

    Longest first: memory reaches its peak at once, and what ends last is short.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        end = start + max(1, budget // max(1, int(lengths[order[start]])))
        batches.append(order[start:end])
        start = end
    return batches
