"""Token ids of texts, one row after the other, and what is answered of each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from limbeck.data.flat import FlatFile
from limbeck.data.per_query import RankOutputs
from limbeck.data.per_question import SpanOutputs
from limbeck.data.per_word import Outputs, WordOutputs
from limbeck.data.places import NOWHERE, Places


@dataclass(frozen=True)
class Groups:
    """Rows that are windows of longer texts.

    Attributes:
        offsets: int64 [texts + 1]: text i has rows offsets[i] to offsets[i + 1].
        answers: int64 [rows, 2], where the right answer starts and ends among a row's places, 0
            twice where the row does not hold it; -100 where nobody has said. None of blocks, whose
            tokens are foretold.
        spans: int32, two numbers a token: the characters of the text that it stands for; likewise.
    """

    offsets: np.ndarray
    answers: np.ndarray | None = None
    spans: np.ndarray | FlatFile | None = None

    def texts(self, rows: np.ndarray) -> np.ndarray:
        """The text of each row."""
        return np.searchsorted(self.offsets, rows, side="right") - 1


@dataclass(frozen=True)
class Encoded:
    """Token ids of texts, one after the other.

    Attributes:
        ids: int32, all token ids.
        type_ids: uint8, all segment ids, or None where they are all 0.
        offsets: int64, rows + 1 places: row i is ids[offsets[i]:offsets[i + 1]].
        cut: Number of texts that were longer than `max_tokens`; of questions, that were shortened.
        max_tokens: The longest a row can be.
        places: The first token of each word, if answers are about words; the tokens at which an
            answer may start or end, if they are pieces of the texts; those whose states foretell
            tokens, if texts are foretold; else None.
        groups: Which text each row is a window (or block) of; None where each row is a text.
        lists: int64 [queries + 1], where rows are pairs of a query and a candidate: query i has
            rows lists[i] to lists[i + 1], which are compared with each other, so that no batch of
            a training parts them.
        cut_like: Whose windows these rows have; empty for their own tokenizer's.
        tokens: int32 [places], the tokens that are foretold, -1 where nobody knows; None where none
            are.
    """

    ids: np.ndarray | FlatFile
    type_ids: np.ndarray | FlatFile | None
    offsets: np.ndarray
    cut: int
    max_tokens: int
    places: Places | None = None
    groups: Groups | None = None
    lists: np.ndarray | None = None
    cut_like: str = ""
    tokens: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens a row, special tokens included (int32)."""
        return np.diff(self.offsets).astype(np.int32)

    @property
    def text_lengths(self) -> np.ndarray:
        """Tokens a text: of all its windows or candidates."""
        offsets = self.lists if self.groups is None else self.groups.offsets
        return self.lengths if offsets is None else np.add.reduceat(self.lengths, offsets[:-1])

    @property
    def answers_a_row(self) -> float:
        """Outputs of a head on these rows, on average: one each, or one a word or place."""
        if self.places is None or not len(self):
            return 1.0
        return len(self.places.places) / len(self)

    def lists_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Where the lists of some rows begin among them, and their end; None without lists.

        Args:
            rows: Whole lists, one after the other.
        """
        if self.lists is None:
            return None
        whose = np.searchsorted(self.lists, rows, side="right")
        changes = np.flatnonzero(np.diff(whose)) + 1
        return np.concatenate([[0], changes, [len(rows)]]) if len(rows) else np.zeros(1, np.int64)

    def where_also(self, other: Encoded) -> Encoded:
        """The same, with no places of the words that `other` has no token of.

        Two tokenizers may cut a text at other words: what one of two models was not shown is not
        compared.
        """
        if self.places is None or other.places is None or self.groups is not None:
            return self
        shown = np.where(other.places.places >= 0, self.places.places, NOWHERE)
        return replace(self, places=replace(self.places, places=shown))

    def of_texts(self, outputs: Outputs) -> Outputs:
        """Outputs of all rows as outputs of the texts: a text's windows or candidates together.

        Args:
            outputs: In the order of the rows.
        """
        if self.lists is not None:
            return RankOutputs(outputs[:, 0], self.lists)
        if self.groups is None:
            return outputs
        assert isinstance(outputs, WordOutputs)
        if self.groups.spans is None:
            return blocks_together(outputs, self.groups.offsets)
        tokens = np.repeat(self.offsets[:-1], np.diff(outputs.offsets)) + outputs.places
        return grouped(
            outputs, self.groups.offsets, np.asarray(self.groups.spans).reshape(-1, 2)[tokens]
        )


def blocks_together(outputs: WordOutputs, offsets: np.ndarray) -> WordOutputs:
    """Outputs of blocks as outputs of texts.

    Args:
        outputs: Each block's.
        offsets: int64 [texts + 1], the blocks of each text.
    """
    return WordOutputs(outputs.values, outputs.offsets[offsets], outputs.places)


def grouped(outputs: WordOutputs, offsets: np.ndarray, spans: np.ndarray) -> SpanOutputs:
    """Outputs of windows as outputs of texts.

    Args:
        outputs: Each window's, the place that stands for no answer first.
        offsets: int64 [texts + 1], the windows of each text.
        spans: int32 [places, 2], the characters that each place stands for.
    """
    spans = spans.copy()
    spans[outputs.offsets[:-1]] = -1
    return SpanOutputs(outputs.values, outputs.offsets[offsets], spans)
