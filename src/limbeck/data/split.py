"""Splits that do not leak: training rows that stand in validation or test are dropped."""

from __future__ import annotations

import numpy as np

from limbeck.data.texts import UNLABELLED, Texts, folded_hashes
from limbeck.errors import DataError


def without_leaks(train: Texts, held_out: list[Texts]) -> tuple[Texts, int]:
    """`train` without the rows whose folded text stands in a held-out split, and their number."""
    if not held_out:
        return train, 0
    seen = np.concatenate([folded_hashes(texts) for texts in held_out])
    keep = ~np.isin(folded_hashes(train), seen)
    dropped = int((~keep).sum())
    return (train.take(np.flatnonzero(keep)), dropped) if dropped else (train, 0)


def stratified_holdout(
    labels: np.ndarray, hashes: np.ndarray, *, share: float, seed: int, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Row indices (kept, held out): `share` of every class held out, repeated texts together.

    Only labelled rows are held out. Rows with equal `hashes` go to the same side, so that the
    held-out score is not that of texts seen in training.

    Args:
        labels: Class indices a row, -100 where unlabelled.
        hashes: One number a row, equal for equal texts.
        share: Of every class, 0 to 1; at least one row of a class with two or more.
        seed: Of the choice.
        source: The file, for messages.

    Raises:
        DataError: If there are too few labelled rows to hold any out.
    """
    generator = np.random.default_rng(seed)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels[labels != UNLABELLED]):
        rows = generator.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        held[rows[:count]] = count > 0
    held_hashes = np.unique(hashes[held])
    together = np.isin(hashes, held_hashes) & (labels != UNLABELLED)
    held |= together
    leaked = np.isin(hashes, held_hashes) & ~held
    kept = np.flatnonzero(~held & ~leaked)
    if not held.any() or not len(kept):
        raise DataError(
            source,
            f"{int((labels != UNLABELLED).sum())} labelled rows are too few to hold some out",
            "Give a validation file (data.validation), or at least two rows a class.",
        )
    return kept, np.flatnonzero(held)
