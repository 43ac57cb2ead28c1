"""Altered copies of texts: words dropped, swapped, or replaced by others.

A teacher has memorized the texts that it was trained on; on altered copies of them it has to think
again, and its answers say more.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from limbeck.data.spool import SpoolWriter
from limbeck.data.texts import Texts, sides

_KNOWN_WORDS = 200_000
"""Words that replacements are drawn from; more of them say nothing new about frequencies."""


def altered_copies(
    texts: Texts, *, copies: int, share: float, seed: int, folder: Path | None = None
) -> Texts:
    """`copies` altered versions of every text or pair, without labels; ids are ``train/17~1``, ….

    Each word is dropped with probability `share`, else replaced by a word drawn from the texts with
    probability `share`, else swapped with the one after it with probability `share`. Copies that
    came out as they were are left out, and so are those in which nothing is left.

    Args:
        texts: Any split.
        copies: Of each text.
        share: From 0 to 1, of each of the three.
        seed: The same seed gives the same copies.
        folder: On whose disk they are kept while the process needs them.
    """
    words = _word_sample(texts, seed)
    writer = SpoolWriter(folder)
    for identity, item in zip(texts.ids, texts.items(), strict=True):
        own = random.Random(f"{seed} {identity}")
        words_of_each = [side.split() for side in sides(item)]
        for copy in range(1, copies + 1):
            changed = [" ".join(_altered(side, words, share, own)) for side in words_of_each]
            if all(changed) and changed != [" ".join(side) for side in words_of_each]:
                writer.add(f"{identity}~{copy}", *changed)
    rows = writer.finish()
    bare = np.full(len(rows), -1, dtype=np.int32)
    return Texts(texts.name, rows, (), bare, texts.paired)


def _altered(
    words: Sequence[str], known: Sequence[str], share: float, generator: random.Random
) -> Iterator[str]:
    waiting: str | None = None
    for word in words:
        chance = generator.random()
        if chance < share:
            continue
        if chance < 2 * share and known:
            word = generator.choice(known)
        elif chance < 3 * share and waiting is None:
            waiting = word
            continue
        yield word
        if waiting is not None:
            yield waiting
            waiting = None
    if waiting is not None:
        yield waiting


_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of a text begin and end: letters and digits, apostrophes inside."""
    return [match.span() for match in _WORD.finditer(text)]


def replaced_copies(
    texts: Texts,
    candidates: Iterable[Sequence[Sequence[str]]],
    *,
    copies: int,
    share: float,
    seed: int,
    folder: Path | None = None,
) -> Texts:
    """`copies` versions of every text in which words are replaced by candidates; ids as above.

    Each word (`word_spans`) that has candidates is replaced with probability `share`, by any of
    them with equal probability; all else stays as it was written. Copies that came out as they
    were, or like another copy of the same text, are left out.

    Args:
        texts: Any split.
        candidates: Text by text, in their order: for every word the words that may stand for it.
        copies: Of each text.
        share: From 0 to 1.
        seed: The same seed gives the same copies.
        folder: On whose disk they are kept while the process needs them.

    Reference:
        Jiao et al. TinyBERT, 2020, algorithm 1. https://arxiv.org/abs/1909.10351
        Ours: a word is never replaced by itself, and the candidates are those of the text as it was
        written, not of a copy in which words before it have been replaced.
    """
    writer = SpoolWriter(folder)
    for identity, text, words in zip(texts.ids, texts.texts, candidates, strict=True):
        own = random.Random(f"{seed} {identity}")
        seen = {text}
        for copy in range(1, copies + 1):
            changed = _replaced(text, words, share, own)
            if changed not in seen:
                seen.add(changed)
                writer.add(f"{identity}~{copy}", changed)
    rows = writer.finish()
    return Texts(texts.name, rows, (), np.full(len(rows), -1, dtype=np.int32))


def _replaced(
    text: str, candidates: Sequence[Sequence[str]], share: float, generator: random.Random
) -> str:
    pieces, at = [], 0
    for (start, end), words in zip(word_spans(text), candidates, strict=True):
        if words and generator.random() < share:
            pieces += [text[at:start], generator.choice(words)]
            at = end
    return "".join([*pieces, text[at:]])


def _word_sample(texts: Texts, seed: int) -> list[str]:
    """Words of the texts as often as they stand there; of many texts a sample."""
    generator = random.Random(seed)
    sample: list[str] = []
    seen = 0
    for text in texts.texts:
        for word in text.split():
            seen += 1
            if len(sample) < _KNOWN_WORDS:
                sample.append(word)
            elif (place := generator.randrange(seen)) < _KNOWN_WORDS:
                sample[place] = word
    return sample
