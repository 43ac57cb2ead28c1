"""A text and its words: what a model of words is asked about."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from limbeck.data.unspaced import unspaced

Span = tuple[int, int]


@dataclass(frozen=True)
class WordedText:
    """A text and where its words stand.

    Attributes:
        text: As written.
        spans: First character of each word, and the one after its last; rising.
    """

    text: str
    spans: tuple[Span, ...]


def worded(text: str) -> WordedText:
    """A plain text and its words, split much as tagged texts are.

    White space parts words; so does punctuation at their ends, sign by sign: ``(Rome).`` is
    ``(``, ``Rome``, ``)``, ``.``; within a word it stays (``U.S``, ``well-known``, ``don't``). Each
    character of a script that is written without spaces is a word.
    """
    return WordedText(text, tuple(_words(text)))


def _words(text: str) -> Iterator[Span]:
    start: int | None = None
    for place, character in enumerate(text):
        alone = unspaced(character)
        if start is not None and (alone or character.isspace()):
            yield from _parted(text, start, place)
            start = None
        if alone:
            yield place, place + 1
        elif start is None and not character.isspace():
            start = place
    if start is not None:
        yield from _parted(text, start, len(text))


def _parted(text: str, start: int, end: int) -> Iterator[Span]:
    """A word, and the punctuation at its ends."""
    first, last = start, end
    while first < end and _is_mark(text[first]):
        first += 1
    while last > first and _is_mark(text[last - 1]):
        last -= 1
    yield from ((place, place + 1) for place in range(start, first))
    if first < last:
        yield first, last
    yield from ((place, place + 1) for place in range(max(last, first), end))


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
