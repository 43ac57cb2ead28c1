"""Splits that do not leak: training rows that stand in validation or test are dropped."""

from __future__ import annotations

import numpy as np

from limbeck.data.texts import UNLABELLED, Texts, among, folded_hashes
from limbeck.errors import DataError


def without_leaks(train: Texts, held_out: list[Texts]) -> tuple[Texts, int]:
    """`train` without the rows whose folded text stands in a held-out split, and their number."""
    if not held_out:
        return train, 0
    seen = np.concatenate([folded_hashes(texts) for texts in held_out])
    keep = ~among(folded_hashes(train), seen)
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
        share: Of every class, 0 to 1; at least one row of a class with two or more texts, and
            never all of a class.
        seed: Of the choice.
        source: The file, for messages.

    Raises:
        DataError: If there are too few labelled rows to hold any out.
    """
    generator = np.random.default_rng(seed)
    texts, group = np.unique(hashes, return_inverse=True)
    by_group = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[by_group], np.arange(len(texts) + 1))
    labelled = labels != UNLABELLED
    held_groups = np.zeros(len(texts), dtype=bool)
    classes = np.unique(labels[labelled])
    left = {  # groups of equal texts that training still has of each class
        label: len(np.unique(group[labels == label])) for label in classes
    }
    for label in classes:
        wanted = max(1, round(share * int((labels == label).sum())))
        own = group[labels == label]
        rows_of = np.bincount(own, minlength=len(texts))
        any_held = bool(held_groups[own].any())
        wanted -= int(rows_of[held_groups].sum())
        order = generator.permutation(np.unique(own))
        order = order[np.argsort(rows_of[order] > wanted, kind="stable")]  # what fits comes first
        for place in order:
            if wanted <= 0:
                break
            here = labels[by_group[starts[place] : starts[place + 1]]]
            classes_here = np.unique(here[here != UNLABELLED])
            fits = rows_of[place] <= wanted or not any_held
            if held_groups[place] or not fits or any(left[one] < 2 for one in classes_here):
                continue
            held_groups[place] = True
            any_held = True
            wanted -= int(rows_of[place])
            for one in classes_here:
                left[one] -= 1
    together = held_groups[group]
    held = together & labelled
    kept = np.flatnonzero(~together)
    if not held.any() or not len(kept):
        raise DataError(
            source,
            f"{int((labels != UNLABELLED).sum())} labelled rows are too few to hold some out",
            "Give a validation file (data.validation), or at least two rows a class.",
        )
    return kept, np.flatnonzero(held)
