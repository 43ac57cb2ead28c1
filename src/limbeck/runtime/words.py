"""Token ids of texts whose words are answered, and the token that stands for each word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.places import places_of
from limbeck.data.spans import spans_of
from limbeck.data.worded import WordedText
from limbeck.data.words import Words
from limbeck.runtime.tokens import Tokens, flat

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def word_tokens(tokenizer: Tokenizer, items: Sequence[WordedText], *, types: bool) -> Tokens:
    """The texts' token ids with the places of their words.

    Args:
        tokenizer: Without padding, cutting at the model's longest.
        items: Texts with words.
        types: Whether the model takes segment ids.
    """
    texts = [item.text for item in items]
    encodings = tokenizer.encode_batch(texts)
    truncated = np.array([bool(encoding.overflowing) for encoding in encodings])
    counts = [len(item.spans) for item in items]
    flat_spans = list(chain.from_iterable(item.spans for item in items))
    spans = np.array(flat_spans, dtype=np.int32).reshape(-1, 2)
    words = Words(
        starts=spans[:, 0],
        ends=spans[:, 1],
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        written=(),
        codes=np.full(len(spans), -1, dtype=np.int32),
    )
    found = places_of(words, spans_of(encodings, texts), truncated)
    made = flat(
        [encoding.ids for encoding in encodings],
        [encoding.type_ids for encoding in encodings] if types else None,
    )
    return replace(made, places=found.places, words=words.offsets)
