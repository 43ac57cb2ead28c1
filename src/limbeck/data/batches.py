"""Batches of similar length under a token budget, in an order that only the seed decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.encode import Encoded
from limbeck.data.flat import FlatFile
from limbeck.data.places import Places
from limbeck.data.ragged import words_of

if TYPE_CHECKING:
    from torch import Tensor

_POOL_BATCHES = 128
"""Batches whose rows are sorted together: enough to pad little, few enough to stay random."""


@dataclass(frozen=True)
class Batch:
    """Rows as padded tensors.

    Attributes:
        rows: Indices of the rows, int64 [batch].
        input_ids: int64 [batch, tokens].
        attention_mask: int64 [batch, tokens], 1 where there is a token.
        token_type_ids: int64 [batch, tokens], or None where the tokenizer gives none.
        places: int64 [masked], the tokens to be guessed, counted row after row with the padding;
            or [answered], the tokens that stand for words or may begin and end an answer; None
            where answers are about texts.
        labels: int64 [masked], the tokens that stood there; or the classes (-100 where unlabelled)
            of the rows [batch] or words [answered], or where the rows' answers start and end
            [batch, 2]; None where nobody asks.
        words: int64 [answered], which words the places are of: the rows' words are counted one
            row after the other, those without a token too. None where places are masked tokens.
        lists: int64 [batch], the query that each row is a candidate of, counted from 0 in the
            batch, if a query's rows stand together; None where rows are not compared.
        tokens: int64 [answered], the tokens that are foretold, -1 where nobody knows; None where
            none are.
        likely: int64 [answered, k], the tokens beside these whose probabilities are asked for, -1
            for none; None asks for the likeliest.
    """

    rows: np.ndarray
    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None
    places: Tensor | None = None
    labels: Tensor | None = None
    words: Tensor | None = None
    lists: Tensor | None = None
    tokens: Tensor | None = None
    likely: Tensor | None = None

    def pinned(self) -> Batch:
        """The same in page-locked memory, from which an accelerator copies while it computes."""

        def pinned(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.pin_memory()

        return Batch(
            rows=self.rows,
            input_ids=self.input_ids.pin_memory(),
            attention_mask=self.attention_mask.pin_memory(),
            token_type_ids=pinned(self.token_type_ids),
            places=pinned(self.places),
            labels=pinned(self.labels),
            words=pinned(self.words),
            lists=pinned(self.lists),
            tokens=pinned(self.tokens),
            likely=pinned(self.likely),
        )


def padded_length(longest: int) -> int:
    """The length to pad to: any up to 16, then multiples of 2, 4, 8 and 16.

    Few distinct shapes keep the allocator's and the kernels' caches small; the steps double
    with the length so that the padding stays a small share (4 % on SST-2).
    """
    if longest <= 16:
        return longest
    grain = min(16, 1 << (longest - 1).bit_length() - 4)
    return -(-longest // grain) * grain


def batches_by_length(lengths: np.ndarray, *, rows: int, tokens: int) -> list[np.ndarray]:
    """Row indices in batches, longest first: for a pass whose order does not matter."""
    order = np.argsort(-lengths, kind="stable")
    return _cut(order, lengths, rows, tokens)


def shuffled_batches(
    lengths: np.ndarray,
    *,
    rows: int,
    tokens: int,
    seed: int,
    epoch: int,
    lists: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Row indices in random batches of similar length; every row once an epoch.

    Rows are shuffled, sorted by length within pools of a few batches, cut into batches, and
    the batches shuffled. The order depends on nothing but the arguments, so that a resumed run
    sees the same batches.

    Args:
        lengths: Tokens of each row.
        rows: Of a batch, at most.
        tokens: Of a batch with its padding, at most.
        seed: Of the order.
        epoch: Likewise.
        lists: int64 [lists + 1], where rows must stay together: list i is rows lists[i] to
            lists[i + 1]. Batches are of whole lists then, sorted by their longest row; a list that
            is larger than a batch is one by itself.
    """
    generator = np.random.default_rng([seed, epoch])
    if lists is not None:
        return _batches_of_lists(lengths, lists, rows, tokens, generator)
    order = generator.permutation(len(lengths))
    batches: list[np.ndarray] = []
    pool = rows * _POOL_BATCHES
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches.extend(_cut(part, lengths, rows, tokens))
    return [batches[place] for place in generator.permutation(len(batches))]


def _batches_of_lists(
    lengths: np.ndarray,
    lists: np.ndarray,
    rows: int,
    tokens: int,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    if len(lists) < 2:
        return []
    sizes, longest = np.diff(lists), np.maximum.reduceat(lengths, lists[:-1])
    order = generator.permutation(len(sizes))
    pool = max(1, round(rows / sizes.mean())) * _POOL_BATCHES
    batches: list[np.ndarray] = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(longest[part], kind="stable")]
        for own in _cut_lists(part, longest, sizes, rows, tokens):
            batches.append(np.concatenate([np.arange(lists[one], lists[one + 1]) for one in own]))
    return [batches[place] for place in generator.permutation(len(batches))]


def _cut_lists(
    order: np.ndarray, longest: np.ndarray, sizes: np.ndarray, rows: int, tokens: int
) -> list[list[int]]:
    batches: list[list[int]] = []
    count = 0
    for one in order.tolist():
        count += int(sizes[one])  # lists come by rising length
        if not batches or count > rows or count * padded_length(int(longest[one])) > tokens:
            batches.append([])
            count = int(sizes[one])
        batches[-1].append(one)
    return batches


def _cut(order: np.ndarray, lengths: np.ndarray, rows: int, tokens: int) -> list[np.ndarray]:
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        end = min(start + rows, len(order))
        longest = padded_length(int(lengths[order[start:end]].max()))
        while end - start > 1 and (end - start) * longest > tokens:
            end = start + max(1, tokens // longest)
            longest = padded_length(int(lengths[order[start:end]].max()))
        batches.append(order[start:end])
        start = end
    return batches


def collate(
    encoded: Encoded, rows: np.ndarray, *, pad_id: int, left: bool = False, types: bool = False
) -> Batch:
    """The rows as one padded batch.

    Args:
        encoded: Token ids.
        rows: Indices into `encoded`.
        pad_id: Id of the padding token.
        left: Pad on the left, as XLNet and GPT-2 want.
        types: Whether the model takes token_type_ids.
    """
    import torch

    starts = encoded.offsets[rows]
    lengths = encoded.offsets[rows + 1] - starts
    width = min(padded_length(int(lengths.max())), encoded.max_tokens)
    column = np.arange(width) - (width - lengths if left else np.zeros_like(lengths))[:, None]
    real = (column >= 0) & (column < lengths[:, None])
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    ids[real] = rows_of(encoded.ids, starts, lengths)
    segment = None
    if types:
        segment = np.zeros((len(rows), width), dtype=np.int64)
        if encoded.type_ids is not None:
            segment[real] = rows_of(encoded.type_ids, starts, lengths)
    mask = real.astype(np.int64)
    places = words = tokens = None
    if encoded.places is not None:
        shift = width - lengths if left else np.zeros_like(lengths)
        places, words = map(
            torch.from_numpy,
            _word_places(encoded.places, rows, np.arange(len(rows)) * width + shift),
        )
        if encoded.tokens is not None:  # every place is a token's
            own = encoded.tokens[words_of(encoded.places.offsets, rows)[0]]
            tokens = torch.from_numpy(own.astype(np.int64))
    lists = None
    if encoded.lists is not None:
        whose = np.searchsorted(encoded.lists, rows, side="right")
        lists = torch.from_numpy(np.cumsum(np.diff(whose, prepend=whose[:1]) != 0))
    return Batch(
        rows=rows,
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(mask),
        token_type_ids=torch.from_numpy(segment) if segment is not None else None,
        places=places,
        words=words,
        lists=lists,
        tokens=tokens,
    )


def _word_places(
    known: Places, rows: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that stand for the rows' words, and which of the words these are.

    Args:
        known: Of the split.
        rows: Of the batch.
        starts: Where each row's text begins in the flattened batch.
    """
    words, offsets = words_of(known.offsets, rows)
    tokens = known.places[words].astype(np.int64)
    found = np.flatnonzero(tokens >= 0)
    return (np.repeat(starts, np.diff(offsets)) + tokens)[found], found


def rows_of(values: np.ndarray | FlatFile, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The values of some rows, one row after the other."""
    spans = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    return np.concatenate([values[start:end] for start, end in spans])
