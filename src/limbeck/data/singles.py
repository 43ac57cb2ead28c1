"""Pairs of texts as single texts: for models that are asked about one text at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from limbeck.data.spool import SpoolWriter
from limbeck.data.texts import Texts, folded_hashes, sides


def singles(texts: Texts, *, folder: Path | None) -> Texts:
    """Both texts of each pair, one after the other, without labels; single texts as they are.

    Args:
        texts: A split.
        folder: On whose disk the texts are kept while the process needs them, or None for the
            system's folder for temporary files.
    """
    if not texts.paired:
        bare = np.full(len(texts), -1, dtype=np.int32)
        return Texts(texts.name, texts.rows, (), bare)
    writer = SpoolWriter(folder)
    for identity, item in zip(texts.ids, texts.items(), strict=True):
        for side, text in zip("ab", sides(item), strict=True):
            writer.add(f"{identity}/{side}", text, None)
    bare = np.full(2 * len(texts), -1, dtype=np.int32)
    return Texts(texts.name, writer.finish(), (), bare)


def distinct(texts: Texts) -> Texts:
    """The first of all texts that are the same but for case and white space."""
    _, first = np.unique(folded_hashes(texts), return_index=True)
    return texts if len(first) == len(texts) else texts.take(np.sort(first))
