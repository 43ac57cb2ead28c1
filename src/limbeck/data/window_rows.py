"""The rows of questions: each is a window, and the windows of a question stand together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from limbeck.data.encoded import Encoded, Groups
from limbeck.data.places import Places
from limbeck.data.questions import QuestionRows
from limbeck.data.texts import UNLABELLED, Texts
from limbeck.data.window_cut import Cutting, answer_places, cut_into_windows, no_place_for_none
from limbeck.data.windows import Windows, encode_questions, refuse_narrow

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from limbeck.data.asked import Windowing

_CHUNK = 256


def encode_windows(texts: Texts, tokenizer: Tokenizer, *, max_tokens: int, folder: Path) -> Encoded:
    """The windows of a split of questions, with the tokens at which answers may start and end.

    Args:
        texts: Of `gather_questions`.
        tokenizer: A `tokenizers.Tokenizer`.
        max_tokens: Of a window.
        folder: Where they are kept.
    """
    assert texts.windowing is not None
    own = type(tokenizer).from_str(tokenizer.to_str())
    how = cutting_of(own, texts.windowing, max_tokens)
    windows = encode_questions(
        QuestionRows(texts),
        tokenizer,
        cls_id=how.cls_id,
        max_tokens=max_tokens,
        stride=how.stride,
        question_tokens=how.question_tokens,
        folder=folder,
    )
    return as_rows(windows, len(texts))


def cutting_of(tokenizer: Tokenizer, windowing: Windowing, max_tokens: int) -> Cutting:
    """How a tokenizer's windows of `max_tokens` tokens are cut.

    Args:
        tokenizer: Nobody else's: its padding and truncation are changed.
        windowing: As the recipe wants it.
        max_tokens: Of a window.

    Raises:
        DataError: If it has no token for no answer, or a window does not hold more than the stride.
    """
    stride, question_tokens = windowing.settled(max_tokens)
    how = Cutting(token_of_none(tokenizer), max_tokens, stride, question_tokens)
    refuse_narrow(tokenizer, how)
    return how


def token_of_none(tokenizer: Tokenizer) -> int:
    """Id of the token that stands for no answer: the special one that a pair begins with.

    Or that it ends with, where it begins with none, as XLNet's.

    Args:
        tokenizer: Nobody else's: its padding and truncation are changed.

    Raises:
        DataError: If there is neither.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pair = tokenizer.encode("a", "b")
    for end in (0, -1):
        if pair.ids and pair.special_tokens_mask[end]:
            return pair.ids[end]
    raise no_place_for_none("no special token at either end")


def as_rows(windows: Windows, texts: int) -> Encoded:
    """The windows as rows whose answered places are the token for no answer and the context's.

    Args:
        windows: Of the questions.
        texts: How many questions there are.
    """
    places, offsets = answer_places(windows.about)
    answers = windows.answers - windows.context[:, :1] + 1
    answers[windows.answers == windows.cls[:, None]] = 0
    answers[windows.answers == UNLABELLED] = UNLABELLED
    groups = np.searchsorted(windows.rows, np.arange(texts + 1))
    return replace(
        windows.encoded,
        cut=windows.cut_questions,
        places=Places(places, offsets, 0, 0, 0),
        groups=Groups(groups.astype(np.int64), answers, windows.spans),
    )


def window_ids(
    texts: Texts, tokenizer: Tokenizer, max_tokens: int
) -> Iterator[tuple[list[int], list[int], bool]]:
    """Token ids, segment ids and False, window by window."""
    assert texts.windowing is not None
    own = type(tokenizer).from_str(tokenizer.to_str())
    how = cutting_of(own, texts.windowing, max_tokens)
    questions = QuestionRows(texts)
    for start in range(0, len(questions), _CHUNK):
        cut = cut_into_windows(questions[start : start + _CHUNK], own, how)
        for first, end in zip(cut.offsets[:-1], cut.offsets[1:], strict=True):
            yield cut.ids[first:end].tolist(), cut.types[first:end].tolist(), False


def row_ids(texts: Texts, encoded: Encoded) -> Sequence[str]:
    """The ids of encoded rows: those of the texts, of parts with their number (``train/7#2``).

    Parts are windows of contexts, or candidates of queries.
    """
    if encoded.lists is not None:
        return _PartIds(texts.ids, encoded.lists)
    return texts.ids if encoded.groups is None else _PartIds(texts.ids, encoded.groups.offsets)


class _PartIds(Sequence[str]):
    """The ids of parts of texts: text i has those from offsets[i] to offsets[i + 1]."""

    def __init__(self, ids: Sequence[str], offsets: np.ndarray) -> None:
        self._ids, self._offsets = ids, offsets

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        rows = np.arange(len(self))[place]
        if rows.ndim == 0:
            return self[slice(int(rows), int(rows) + 1)][0]
        if not len(rows):
            return []
        texts = np.searchsorted(self._offsets, rows, side="right") - 1
        first = int(texts.min())
        ids = self._ids[first : int(texts.max()) + 1]
        numbers = 1 + rows - self._offsets[texts]
        return [
            f"{ids[text - first]}#{number}"
            for text, number in zip(texts.tolist(), numbers.tolist(), strict=True)
        ]
