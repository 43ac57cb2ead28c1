"""The words of texts whose input embeddings are nearest to a word's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.altered import word_spans
from limbeck.data.texts import Texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

_KNOWN_WORDS = 50_000
"""Words of the texts among which neighbors are looked for, the most frequent ones."""
_AT_ONCE = 256


class Neighbors:
    """Words of texts as directions: the mean of their pieces' input embeddings.

    Words that the tokenizer does not know are left out: they would all be alike.

    Args:
        texts: Whose words are known.
        model: Whose input embeddings are taken.
        backend: Its tokenizer.
        prefix: What goes before a word for it to be cut into tokens as inside a text.
    """

    def __init__(
        self, texts: Texts, model: PreTrainedModel, backend: Tokenizer, prefix: str
    ) -> None:
        self._texts, self._backend, self._prefix = texts, backend, prefix
        embeddings: Any = model.get_input_embeddings()
        self._table: np.ndarray = embeddings.weight.detach().float().cpu().numpy()
        self._unknown = _unknown(backend)

    def nearest(self, words: Sequence[str], count: int) -> dict[str, list[str]]:
        """Each word's `count` nearest words by cosine, the nearest first; never itself.

        Args:
            words: Any; those that the tokenizer does not know have no neighbors.
            count: Neighbors a word.
        """
        asked, directions = self._directions(words)
        if not asked:
            return {}
        known, table = self._directions(self._words())
        spellings: dict[str, list[int]] = {}
        for place, word in enumerate(known):
            spellings.setdefault(word.casefold(), []).append(place)
        near: dict[str, list[str]] = {}
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            cosines = directions[start : start + _AT_ONCE] @ table.T
            for word, row in zip(some, cosines, strict=True):
                row[spellings.get(word.casefold(), [])] = -np.inf
                best = np.argpartition(-row, min(count, len(row) - 1))[:count]
                best = best[np.lexsort((best, -row[best]))]
                near[word] = [known[place] for place in best if row[place] > -np.inf]
        return near

    def _words(self) -> list[str]:
        """The words of the texts, the most frequent first."""
        counts: Counter[str] = Counter()
        for batch in self._texts.text_batches():
            for text in batch:
                counts.update(text[start:end] for start, end in word_spans(text))
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        return ordered[:_KNOWN_WORDS]

    def _directions(self, words: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """Those of the words that the tokenizer knows, and their vectors at length 1."""
        written = [self._prefix + word for word in words]
        pieces = [e.ids for e in self._backend.encode_batch(written, add_special_tokens=False)]
        kept = [n for n, ids in enumerate(pieces) if ids and self._unknown not in ids]
        vectors = np.zeros((len(kept), self._table.shape[1]), dtype=np.float32)
        for row, place in enumerate(kept):
            vectors[row] = self._table[pieces[place]].mean(0)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return [words[place] for place in kept], vectors / np.maximum(lengths, 1e-12)


def _unknown(backend: Tokenizer) -> int | None:
    token = getattr(backend.model, "unk_token", None)
    return None if token is None else backend.token_to_id(token)
