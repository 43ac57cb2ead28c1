"""Questions and their contexts cut into windows of token ids, a few questions at a time."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.spans import SPECIAL, Spans, spans_of
from limbeck.data.squad import Question
from limbeck.data.texts import UNLABELLED
from limbeck.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

FIRST, END, START_TOKEN, END_TOKEN, ROW, CLS = range(6)
"""Columns of what is known of each window."""


@dataclass(frozen=True)
class Cutting:
    """How questions become windows.

    Attributes:
        cls_id: Id of the token that stands for no answer.
        max_tokens: Of a window, special tokens counted.
        stride: Tokens of the context that two neighboring windows share.
        question_tokens: Longer questions lose their end.
    """

    cls_id: int
    max_tokens: int
    stride: int
    question_tokens: int


@dataclass(frozen=True)
class Cut:
    """The windows of some questions, one after the other.

    Attributes:
        ids: int32 [tokens].
        types: uint8 [tokens], segments.
        spans: int32 [tokens, 2], the characters of the context that a token stands for.
        offsets: int64 [windows + 1]: window i has tokens offsets[i] to offsets[i + 1].
        about: int64 [windows, 6]: first and end token of the context, first and last token of the
            answer, the question, the token that stands for no answer.
        shortened: Questions that lost their end.
    """

    ids: np.ndarray
    types: np.ndarray
    spans: np.ndarray
    offsets: np.ndarray
    about: np.ndarray
    shortened: int


def cut_into_windows(questions: Sequence[Question], tokenizer: Tokenizer, how: Cutting) -> Cut:
    """The windows of the questions, in memory.

    Args:
        questions: Few enough for that; there is at least one.
        tokenizer: Nobody else's: its padding and truncation are changed.
        how: Sizes; a window holds more than the stride beside a question.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    asked, shortened = shortened_texts(
        [q.question for q in questions], tokenizer, how.question_tokens
    )
    tokenizer.enable_truncation(how.max_tokens, stride=how.stride, strategy="only_second")
    pairs = [(text, q.context) for text, q in zip(asked, questions, strict=True)]
    windows: list[Encoding] = []
    rows: list[int] = []
    for row, encoding in enumerate(tokenizer.encode_batch(pairs)):
        here = [encoding, *encoding.overflowing]
        windows += here
        rows += [row] * len(here)
    found = spans_of(windows, [asked[row] for row in rows], [questions[r].context for r in rows])
    spans = np.stack([found.starts, found.ends], 1)
    spans[found.sequences != 1] = 0
    ids = np.array([i for window in windows for i in window.ids], dtype=np.int32)
    about = _about(questions, rows, found, ids, spans, how.cls_id)
    return Cut(
        ids=ids,
        types=np.array([t for window in windows for t in window.type_ids], dtype=np.uint8),
        spans=spans.astype(np.int32),
        offsets=found.offsets,
        about=about,
        shortened=shortened,
    )


def answer_places(about: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tokens at which an answer may start and end: that for no answer, then the context's.

    Args:
        about: Of `Cut`.

    Returns:
        int32 [places], each window's places among its tokens, window after window, and int64
        [windows + 1], where those of each begin.
    """
    first, end = about[:, FIRST], about[:, END]
    counts = 1 + end - first
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    number = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    places = np.repeat(first, counts) + number - 1
    places[offsets[:-1]] = about[:, CLS]
    return places.astype(np.int32), offsets


def _about(
    questions: Sequence[Question],
    rows: list[int],
    found: Spans,
    ids: np.ndarray,
    spans: np.ndarray,
    cls_id: int,
) -> np.ndarray:
    """What is known of each window; marks are added to `spans`."""
    about = np.zeros((len(rows), 6), dtype=np.int64)
    about[:, ROW] = rows
    marks: dict[int, np.ndarray | None] = {}
    for number, row in enumerate(rows):
        window = slice(found.offsets[number], found.offsets[number + 1])
        cls = np.flatnonzero((found.sequences[window] == SPECIAL) & (ids[window] == cls_id))
        if not len(cls):
            raise no_place_for_none(f"no token {cls_id} (the cls_token)")
        inside = np.flatnonzero(found.sequences[window] == 1)
        first, end = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        about[number, [FIRST, END, CLS]] = first, end, cls[0]
        mine = spans[window][first:end]
        if row not in marks:
            marks = {row: _after_marks(questions[row].context)}
        if (after := marks[row]) is not None:
            _with_marks(mine, after)
        last = row not in rows[number + 1 : number + 2]
        opening = row not in rows[max(number - 1, 0) : number]
        about[number, [START_TOKEN, END_TOKEN]] = _target(
            questions[row], mine, first, int(cls[0]), opening=opening, last=last
        )
    return about


def shortened_texts(texts: list[str], tokenizer: Tokenizer, tokens: int) -> tuple[list[str], int]:
    """The texts cut to that many tokens, and how many were cut."""
    shortened, cut = list(texts), 0
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    for place, encoding in enumerate(encodings):
        cut += len(encoding) > tokens
        while len(encoding) > tokens:  # the last word's beginning may be more tokens than before
            end = max(encoding.offsets[tokens - 1][0], 1)
            if end >= len(shortened[place]):
                end = len(shortened[place]) - 1
            shortened[place] = shortened[place][:end].rstrip() or shortened[place][:1]
            encoding = tokenizer.encode(shortened[place], add_special_tokens=False)
            if len(shortened[place]) == 1:
                break
    return shortened, cut


def _target(
    question: Question, spans: np.ndarray, first: int, cls: int, *, opening: bool, last: bool
) -> tuple[int, int]:
    """First and last token of the answer, the [CLS] token, or -100, as tokens of a window."""
    if question.answers is None:
        return UNLABELLED, UNLABELLED
    found = _answer_tokens(question, spans, opening=opening, last=last)
    return (first + found[0], first + found[1]) if found else (cls, cls)


def _after_marks(text: str) -> np.ndarray | None:
    """Where the marks (accents, vowel signs) end that begin at each character; None if none do."""
    if text.isascii():
        return None
    marks = np.array([unicodedata.category(character)[0] == "M" for character in text])
    if not marks.any():
        return None
    after = np.where(marks, len(text), np.arange(len(text)))
    return np.append(np.minimum.accumulate(after[::-1])[::-1], len(text))


def _with_marks(spans: np.ndarray, after: np.ndarray) -> None:
    """Gives tokens the marks behind them that the tokenizer drops: an answer is told with them."""
    visible = np.flatnonzero(spans[:, 1] > spans[:, 0])
    starts, ends = spans[visible].T
    bound = np.append(starts[1:], len(after))
    spans[visible, 1] = np.maximum(ends, np.minimum(after[ends], bound))


def _answer_tokens(
    question: Question, spans: np.ndarray, *, opening: bool, last: bool
) -> tuple[int, int] | None:
    """First and last token of the first answer among a window's, if they hold it whole."""
    visible = np.flatnonzero(spans[:, 1] > spans[:, 0])
    if not question.answers or not len(visible):
        return None
    answer = question.answers[0]
    start, end = answer.start, answer.start + len(answer.text)
    seen = spans[visible]
    if (start < seen[0, 0] and not opening) or (end > seen[-1, 1] and not last):
        return None
    first = int(np.searchsorted(np.maximum.accumulate(seen[:, 1]), start, side="right"))
    final = int(np.searchsorted(seen[:, 0], end, side="left")) - 1
    return None if first > final else (int(visible[first]), int(visible[final]))


def no_place_for_none(missing: str) -> DataError:
    """The error for a tokenizer whose windows have no token that stands for no answer."""
    return DataError(
        "the tokenizer",
        f"a window of question and context has {missing}, on which a model says that there is no "
        "answer",
        "Use the model's own tokenizer, with its post-processor for pairs.",
    )
