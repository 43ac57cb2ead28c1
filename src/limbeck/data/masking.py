"""Masked words: which tokens of a batch are hidden, and what stands in their places.

Every draw is a function of the seed, the step, the row and the place in it. So a row is masked in
another way each time it comes by, a step that is computed in parts is masked like a whole one, and
a training that went on is masked like one that was never interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.batches import Batch, rows_of
from limbeck.data.encode import Encoded
from limbeck.errors import TeacherError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MASKED, _REPLACED = 0.8, 0.1
"""Of the tokens to guess: under [MASK], and under another token; the others stay to be seen."""
_CHOOSE, _COVER, _DRAW = range(3)
"""Independent streams of numbers."""


@dataclass(frozen=True)
class Masking:
    """BERT's masks, drawn anew in every step.

    Each token but the special ones is to be guessed with probability `share`, apart from all
    others. Of those, 80 % are hidden by the mask token, 10 % by a token drawn from the vocabulary
    and 10 % by nothing.

    Attributes:
        share: Of the tokens that are to be guessed, from 0 to 1.
        mask_id: The mask token's.
        ordinary: bool [vocabulary], whether a token is none of the special ones.
        seed: Of all draws.

    Reference:
        Devlin, Chang, Lee, Toutanova. BERT: Pre-training of Deep Bidirectional Transformers, 2019,
        section 3.1. https://arxiv.org/abs/1810.04805
        Liu et al. RoBERTa, 2019, section 4.1 (masks drawn anew).
        https://arxiv.org/abs/1907.11692
        Ours: replacements are drawn from the tokens that are not special. A [SEP] or [PAD] in the
        middle of a text says something that none of the models has been told.
    """

    share: float
    mask_id: int
    ordinary: np.ndarray
    seed: int

    def count(self, encoded: Encoded, rows: np.ndarray, number: int) -> int:
        """How many tokens of the rows are to be guessed in step `number`."""
        if not len(rows):
            return 0
        starts, lengths = encoded.offsets[rows], encoded.lengths[rows]
        tokens = rows_of(encoded.ids, starts, lengths)
        return int(self._chosen(tokens, rows, lengths, number).sum())

    def masked(self, batch: Batch, number: int) -> Batch:
        """The batch with tokens hidden; `places` and `labels` say where, and which they were.

        Args:
            batch: Of rows as they are.
            number: The step's.
        """
        import torch

        ids, real = batch.input_ids.numpy(), batch.attention_mask.numpy().astype(bool)
        lengths = real.sum(1)
        tokens = ids[real]
        chosen = self._chosen(tokens, batch.rows, lengths, number)
        hidden = ids.copy()
        hidden[real] = np.where(chosen, self._covered(tokens, batch.rows, lengths, number), tokens)
        return replace(
            batch,
            input_ids=torch.from_numpy(hidden),
            places=torch.from_numpy(np.flatnonzero(real)[chosen]),
            labels=torch.from_numpy(tokens[chosen]),
        )

    def _chosen(
        self, tokens: np.ndarray, rows: np.ndarray, lengths: np.ndarray, number: int
    ) -> np.ndarray:
        """Whether each token is chosen, the rows' tokens one after the other."""
        draws = _uniform((self.seed, number, _CHOOSE), rows, lengths)
        return (draws < self.share) & self.ordinary[tokens]

    def _covered(
        self, tokens: np.ndarray, rows: np.ndarray, lengths: np.ndarray, number: int
    ) -> np.ndarray:
        """What would stand in each token's place if it were to be guessed."""
        cover = _uniform((self.seed, number, _COVER), rows, lengths)
        draws = _uniform((self.seed, number, _DRAW), rows, lengths)
        others = np.flatnonzero(self.ordinary)
        drawn = others[(draws * len(others)).astype(np.int64)]
        shown = np.where(cover < _MASKED + _REPLACED, drawn, tokens)
        return np.where(cover < _MASKED, self.mask_id, shown)


def masking_for(
    tokenizer: PreTrainedTokenizerBase, *, vocabulary: int, share: float, seed: int, where: str
) -> Masking:
    """The masks of a tokenizer.

    Args:
        tokenizer: Knows its special tokens.
        vocabulary: Tokens that the models know: no other is drawn.
        share: Of the tokens that are to be guessed.
        seed: Of all draws.
        where: The tokenizer's place, for messages.

    Raises:
        TeacherError: If it has no mask token.
    """
    if tokenizer.mask_token_id is None:
        raise TeacherError(
            where,
            "its tokenizer has no mask token, so no word can be hidden",
            "Use a teacher of masked words, or terms on layers alone (hidden, attention, "
            "relations), which need no masks.",
        )
    ordinary = np.zeros(vocabulary, dtype=bool)
    ordinary[: len(tokenizer)] = True
    ordinary[[index for index in tokenizer.all_special_ids if index < vocabulary]] = False
    return Masking(share, int(tokenizer.mask_token_id), ordinary, seed)  # pyright: ignore[reportArgumentType]


def _before(lengths: np.ndarray) -> np.ndarray:
    """The number of tokens in front of each row."""
    return np.cumsum(lengths) - lengths


def _uniform(key: tuple[int, int, int], rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1, one a token: a hash of key, row and place.

    Args:
        key: Seed, step and stream.
        rows: Row numbers.
        lengths: Tokens of each.
    """
    start = np.random.SeedSequence(key).generate_state(1, np.uint64)
    by_row = _mixed(start + rows.astype(np.uint64) * _ODD)
    places = np.arange(lengths.sum()) - np.repeat(_before(lengths), lengths)
    mixed = _mixed(np.repeat(by_row, lengths) + places.astype(np.uint64) * _ODD)
    return (mixed >> np.uint64(11)) * 2.0**-53


_ODD = np.uint64(0x9E3779B97F4A7C15)


def _mixed(state: np.ndarray) -> np.ndarray:
    """SplitMix64's output function: every bit of a 64-bit number depends on every other.

    Reference:
        Steele, Lea, Flood. Fast Splittable Pseudorandom Number Generators, 2014, figure 17 (with
        the constants of Stafford's variant 13). https://doi.org/10.1145/2660193.2660195
    """
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
