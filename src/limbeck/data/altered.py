"""Altered copies of texts: words dropped, replaced by others of the texts, swapped.

A teacher has memorized the texts that it was trained on; on altered copies of them it has to think
again, and its answers say more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from limbeck.data.spool import SpoolWriter
from limbeck.data.texts import Texts

_KNOWN_WORDS = 200_000
"""Words that replacements are drawn from; more of them say nothing new about frequencies."""


def altered_copies(
    texts: Texts, *, copies: int, share: float, seed: int, folder: Path | None = None
) -> Texts:
    """`copies` altered versions of every text, without labels; ids are ``train/17~1``, ….

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
    for identity, text in zip(texts.ids, texts.texts, strict=True):
        own = random.Random(f"{seed} {identity}")
        for copy in range(1, copies + 1):
            changed = " ".join(_altered(text.split(), words, share, own))
            if changed.strip() and changed != " ".join(text.split()):
                writer.add(f"{identity}~{copy}", changed)
    rows = writer.finish()
    return Texts(texts.name, rows, (), np.full(len(rows), -1, dtype=np.int32))


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
