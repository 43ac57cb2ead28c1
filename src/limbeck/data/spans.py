"""Which characters each token stands for, freed of what tokenizers add to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

SPECIAL = 255
_SPACE_PIECES = {"▁", "Ġ"}
"""Tokens of a space alone; one that the tokenizer has added claims the character after it."""


@dataclass(frozen=True)
class Spans:
    """The characters of the tokens of some rows, one row after the other.

    Attributes:
        starts: int64 [tokens], the first character, white space at a token's ends left out.
        ends: int64 [tokens], the one after the last; equal to `starts` for a token of no character
            of the text (special ones, spaces).
        sequences: uint8 [tokens], 0 or 1: which text of a pair; 255 for special tokens.
        begins: bool [tokens], whether a word of the tokenizer begins with this token.
        offsets: int64 [rows + 1]: row i has tokens offsets[i] to offsets[i + 1].
    """

    starts: np.ndarray
    ends: np.ndarray
    sequences: np.ndarray
    begins: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def rows(self) -> np.ndarray:
        """The row of each token (int64)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def visible(self) -> np.ndarray:
        """Whether a token stands for a character (bool)."""
        return self.ends > self.starts


def spans_of(
    encodings: Sequence[Encoding], texts: Sequence[str], seconds: Sequence[str] | None = None
) -> Spans:
    """The spans of encoded texts.

    Args:
        encodings: What `Tokenizer.encode_batch` gives, without padding.
        texts: The texts, to know their white space.
        seconds: The second texts of pairs, or None where rows are no pairs.

    Raises:
        DataError: If no token has a place in its text: nothing could be aligned.
    """
    lengths = [len(encoding) for encoding in encodings]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    pairs = [np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2) for encoding in encodings]
    flat = np.concatenate([*pairs, np.zeros((0, 2), dtype=np.int64)])
    sequences, begins = _words_of(encodings, int(offsets[-1]))
    rows = np.repeat(np.arange(len(encodings)), lengths)
    starts, ends = flat[:, 0], flat[:, 1]
    ordinary = sequences != SPECIAL
    if ordinary.any() and not (ends[ordinary] > starts[ordinary]).any():
        raise no_offsets("the tokenizer")
    for sequence, side in enumerate([texts] if seconds is None else [texts, seconds]):
        mine = sequences == sequence
        starts[mine], ends[mine] = _trimmed(starts[mine], ends[mine], rows[mine], side)
    ends[~ordinary] = starts[~ordinary] = 0
    added = np.array(
        [token in _SPACE_PIECES for encoding in encodings for token in encoding.tokens], dtype=bool
    )
    if added.any():
        _pass_on(begins, added, sequences)
        ends[added] = starts[added]
    return Spans(starts, ends, sequences, begins, offsets)


def _words_of(encodings: Sequence[Encoding], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Text of the pair, and whether a word begins, token by token."""
    sequences = np.full(count, SPECIAL, dtype=np.uint8)
    begins = np.zeros(count, dtype=bool)
    at = 0
    for encoding in encodings:
        before: tuple[int | None, int | None] = (None, None)
        words = zip(encoding.sequence_ids, encoding.word_ids, strict=True)
        for place, (sequence, word) in enumerate(words, start=at):
            if sequence is not None and word is not None:
                sequences[place] = sequence
                begins[place] = (sequence, word) != before
            before = (sequence, word)
        at += len(encoding)
    return sequences, begins


def _pass_on(begins: np.ndarray, added: np.ndarray, sequences: np.ndarray) -> None:
    """A word that begins with a bare space begins with the token after it."""
    for place in np.flatnonzero(added & begins):
        after = place + 1
        if after < len(begins) and sequences[after] == sequences[place]:
            begins[after] = True
        begins[place] = False


def _trimmed(
    starts: np.ndarray, ends: np.ndarray, rows: np.ndarray, texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The spans without the white space at their ends."""
    bases = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    characters = "".join(texts)
    blank = np.fromiter(map(str.isspace, characters), dtype=bool, count=len(characters))
    places = np.arange(len(blank))
    after = np.where(blank, len(blank), places)
    after = np.append(np.minimum.accumulate(after[::-1])[::-1], len(blank))
    before = np.where(blank, 0, places + 1)
    before = np.append(0, np.maximum.accumulate(before))
    base = bases[rows]
    first = np.minimum(after[starts + base], ends + base)
    last = np.maximum(before[ends + base], first)
    return first - base, last - base


def backend_of(tokenizer: Any, where: str) -> Tokenizer:
    """The `tokenizers.Tokenizer` of a transformers tokenizer, which knows each token's place.

    Args:
        tokenizer: Of transformers, or a `tokenizers.Tokenizer`.
        where: Its folder, for messages.

    Raises:
        DataError: If it is written in Python and knows none.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not isinstance(backend, Tokenizer):
        raise no_offsets(f"{where}: the tokenizer {type(tokenizer).__name__}")
    return backend


def no_offsets(where: str) -> DataError:
    """The error for a tokenizer that does not say where in the text its tokens stand."""
    return DataError(
        where,
        "it does not say at which characters its tokens stand, so that no word, answer or other "
        "tokenizer's token can be matched to them",
        "Use a fast tokenizer (a folder with tokenizer.json); AutoTokenizer.from_pretrained(…) and "
        "save_pretrained(…) convert most others.",
    )
