"""Token ids of many texts end to end, and any rows of them as a padded batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from limbeck.data.encoded import blocks_together, grouped
from limbeck.data.likely import likeliest_of
from limbeck.data.per_query import RankOutputs
from limbeck.data.per_word import Outputs, WordOutputs, spread
from limbeck.data.ragged import end_to_end, words_of


@dataclass(frozen=True)
class Padding:
    """How a model wants rows filled up to the length of the longest.

    Attributes:
        pad_id: Id of the padding token.
        left: Fill on the left, as XLNet wants.
        type_id: Segment of the filling.
    """

    pad_id: int
    left: bool = False
    type_id: int = 0


@dataclass(frozen=True)
class Windowed:
    """Which windows or blocks belong together.

    Attributes:
        offsets: int64, items + 1 places: item i has rows offsets[i] to offsets[i + 1].
        spans: int32 [places, 2], the characters that each place of `Tokens.places` stands for; None
            of blocks.
    """

    offsets: np.ndarray
    spans: np.ndarray | None = None


@dataclass(frozen=True)
class Tokens:
    """Token ids of texts (or windows of them), one after the other, without padding.

    Attributes:
        ids: int32, all token ids.
        type_ids: uint8, all segment ids, or None where the model takes none.
        offsets: int64, texts + 1 places: text i is ids[offsets[i]:offsets[i + 1]].
        places: int32, the token of its text that stands for each word, one text's words after the
            other's (`data.places`), at which an answer may start or end, or whose state foretells;
            None where texts are answered.
        words: int64, texts + 1 places of the texts' words among these, or None.
        windowed: Which rows are windows of one text, or None where each is a text.
        lists: int64, queries + 1 places: query i has the candidates lists[i] to lists[i + 1] among
            the rows; None where rows are not candidates.
        foretold: int32 [places], the tokens that are foretold, -1 where nobody knows; or None.
    """

    ids: np.ndarray
    type_ids: np.ndarray | None
    offsets: np.ndarray
    places: np.ndarray | None = None
    words: np.ndarray | None = None
    windowed: Windowed | None = None
    lists: np.ndarray | None = None
    foretold: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens a text, special tokens included."""
        return np.diff(self.offsets)

    def batch(self, rows: np.ndarray, padding: Padding) -> dict[str, np.ndarray]:
        """input_ids, attention_mask and token_type_ids of some rows, int64 [rows, longest]."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        width = int(lengths.max())
        place = np.arange(width)[None, :]
        if padding.left:
            place = place - (width - lengths)[:, None]
        real = (place >= 0) & (place < lengths[:, None])
        index = np.where(real, starts[:, None] + place, 0)
        made = {
            "input_ids": np.where(real, self.ids[index].astype(np.int64), padding.pad_id),
            "attention_mask": real.astype(np.int64),
        }
        if self.type_ids is not None:
            types = self.type_ids[index].astype(np.int64)
            made["token_type_ids"] = np.where(real, types, padding.type_id)
        return made

    def outputs(self, logits: np.ndarray, rows: np.ndarray, padding: Padding) -> Outputs:
        """What a model said about a batch of `rows`, as outputs of them.

        Args:
            logits: [rows, classes], or [rows, longest, classes] where words are answered.
            rows: As given to `batch`.
            padding: Likewise.
        """
        if self.places is None or self.words is None:
            return logits
        words, offsets = words_of(self.words, rows)
        tokens = self.places[words]
        shift = logits.shape[1] - self.lengths[rows] if padding.left else np.zeros_like(rows)
        line = np.repeat(np.arange(len(rows)), np.diff(offsets))
        found = np.flatnonzero(tokens >= 0)
        said = logits[line[found], (shift[line] + tokens)[found]]
        if self.foretold is not None:
            said = likeliest_of(said, self.foretold[words[found]])
        return spread(said, found, tokens, offsets)

    def of_items(self, outputs: Outputs) -> Outputs:
        """Outputs of all rows, in their order, as outputs of what was asked."""
        if self.lists is not None:
            return RankOutputs(outputs[:, 0], self.lists)
        if self.windowed is None:
            return outputs
        assert isinstance(outputs, WordOutputs)
        if self.windowed.spans is None:
            return blocks_together(outputs, self.windowed.offsets)
        return grouped(outputs, self.windowed.offsets, self.windowed.spans)


def flat(ids: Sequence[Sequence[int]], type_ids: Iterable[Sequence[int]] | None) -> Tokens:
    """Lists of ids, as tokenizers give them, end to end."""
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in ids], out=offsets[1:])
    count = int(offsets[-1])
    return Tokens(
        ids=np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=count),
        type_ids=None
        if type_ids is None
        else np.fromiter(chain.from_iterable(type_ids), dtype=np.uint8, count=count),
        offsets=offsets,
    )


def joined(parts: Sequence[Tokens]) -> Tokens:
    """Several of them as one; there is at least one."""
    if len(parts) == 1:
        return parts[0]
    types = [part.type_ids for part in parts if part.type_ids is not None]
    places = [part.places for part in parts if part.places is not None]
    words = [part.words for part in parts if part.words is not None]
    windowed = [part.windowed for part in parts if part.windowed is not None]
    lists = [part.lists for part in parts if part.lists is not None]
    spans = [part.spans for part in windowed if part.spans is not None]
    foretold = [part.foretold for part in parts if part.foretold is not None]
    return Tokens(
        ids=np.concatenate([part.ids for part in parts]),
        type_ids=np.concatenate(types) if types else None,
        offsets=end_to_end([part.offsets for part in parts]),
        places=None if not words else np.concatenate(places),
        words=None if not words else end_to_end(words),
        windowed=None
        if not windowed
        else Windowed(
            end_to_end([part.offsets for part in windowed]),
            np.concatenate(spans) if spans else None,
        ),
        lists=end_to_end(lists) if lists else None,
        foretold=np.concatenate(foretold) if foretold else None,
    )
