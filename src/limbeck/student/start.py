"""What a student of another architecture starts with: weights, and what had to be made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.batches import Batch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """The tokens of a sample of texts and where they stood; both empty where there is none.

    Attributes:
        ids: Under the student's vocabulary, int64.
        places: Positions from 0, int64, as many.
    """

    ids: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class Start:
    """Weights that a student gets before training.

    Attributes:
        weights: Under the student's own names.
        new: Beginnings of the names that may be missing from them: these stay new.
        notes: What to tell the user.
    """

    weights: dict[str, Tensor]
    new: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def seen_in(sample: Sequence[Batch], kept: np.ndarray | None, vocabulary: int) -> Seen:
    """The tokens of batches under the teacher's tokenizer, as the student numbers them.

    Args:
        sample: Batches of training texts.
        kept: Old token id of each new one, or None for the whole vocabulary.
        vocabulary: Tokens in the teacher's vocabulary.
    """
    new = np.full(vocabulary, -1)
    own = np.arange(vocabulary) if kept is None else kept
    new[own] = np.arange(len(own))
    ids, places = [], []
    for batch in sample:
        mask = batch.attention_mask.numpy().astype(bool)
        ids.append(new[batch.input_ids.numpy()[mask]])
        places.append((mask.cumsum(1) - 1)[mask])
    nothing = np.zeros(0, dtype=np.int64)
    found, where = np.concatenate([nothing, *ids]), np.concatenate([nothing, *places])
    return Seen(found[found >= 0], where[found >= 0])
