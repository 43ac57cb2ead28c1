"""Which tokens of a vocabulary are whole words, and how they are written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.altered import word_spans
from limbeck.errors import TeacherError
from limbeck.teacher.load import backend_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SPACES = ("\u0120", "\u2581")
"""What stands for the space before a word: byte-level BPE's and SentencePiece's."""


@dataclass(frozen=True)
class WholeWords:
    """A vocabulary's words.

    Attributes:
        whole: bool [vocabulary], whether a token is one word: no special token, no piece that goes
            on with a word, no punctuation.
        written: Each token as text.
        prefix: What goes before a word for it to be cut into tokens as inside a text.
        mask_id: The mask token's.
    """

    whole: np.ndarray
    written: list[str]
    prefix: str
    mask_id: int

    @cached_property
    def folded(self) -> list[str]:
        """Each token's text without regard to case; one word may be written in several ways."""
        return [text.casefold() for text in self.written]

    @cached_property
    def spellings(self) -> int:
        """The most tokens that are the same word."""
        words = [self.folded[token] for token in np.flatnonzero(self.whole)]
        counts = np.unique(words, return_counts=True)[1] if words else np.zeros(1, dtype=np.int64)
        return int(counts.max())


def whole_words(tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> WholeWords:
    """The words of a tokenizer.

    WordPiece marks the pieces that go on with a word; other tokenizers mark those that begin one.

    Args:
        tokenizer: Of a masked language model.
        vocabulary: Tokens that the model knows.

    Raises:
        TeacherError: If it has no mask token, or no token is a whole word.
    """
    where = str(tokenizer.name_or_path)
    if tokenizer.mask_token_id is None:
        raise TeacherError(
            where,
            "its tokenizer has no mask token, so no word can be hidden",
            "Name a model of masked words as data.augment.masked_lm.",
        )
    model = json.loads(backend_of(tokenizer).to_str())["model"]
    pieces = model["type"] == "WordPiece"
    mark = model["continuing_subword_prefix"] if pieces else _SPACES
    special = set(tokenizer.all_special_ids)
    whole = np.zeros(vocabulary, dtype=bool)
    written = [""] * vocabulary
    for token in range(min(vocabulary, len(tokenizer))):
        piece = str(tokenizer.convert_ids_to_tokens(token))
        text = piece if pieces else tokenizer.convert_tokens_to_string([piece]).strip()
        written[token] = text
        begins = piece.startswith(mark) is not pieces
        whole[token] = begins and token not in special and word_spans(text) == [(0, len(text))]
    if not whole.any():
        raise TeacherError(
            where,
            "none of its tokens is a whole word, so nothing could be put in a masked place",
            "Name another model as data.augment.masked_lm, or use data.augment.by=words.",
        )
    return WholeWords(whole, written, "" if pieces else " ", int(tokenizer.mask_token_id))  # pyright: ignore[reportArgumentType]
