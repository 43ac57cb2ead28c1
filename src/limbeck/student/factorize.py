"""Word embeddings as a product of a narrow table and a map to the hidden width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.student.start import Seen

if TYPE_CHECKING:
    from torch import Tensor

_UNSEEN = 0.1
"""Weight of the whole vocabulary, each token alike, against the texts' own tokens."""


@dataclass(frozen=True)
class Directions:
    """The directions that embeddings use most.

    Attributes:
        basis: Orthonormal columns [hidden, width].
        kept: Share of the embeddings' energy inside them, 0 to 1.
    """

    basis: Tensor
    kept: float


def leading_directions(table: Tensor, rows: Tensor, width: int) -> Directions:
    """The singular vectors that keep most of what the texts use, and some of what they may use.

    Args:
        table: All tokens' embeddings [vocabulary, hidden].
        rows: Those of the texts' tokens, one a token [tokens, hidden]; may be empty.
        width: How many directions.
    """
    moments = _moments(table)
    if len(rows):
        moments = _moments(rows) + _UNSEEN * moments
    return _leading(moments, width)


def weighted_directions(table: Tensor, counts: np.ndarray, width: int) -> Directions:
    """The same, with tokens counted as often as the texts hold them.

    Args:
        table: All tokens' embeddings [vocabulary, hidden].
        counts: How often the texts hold each token [vocabulary], not all 0.
        width: How many directions.
    """
    import torch

    shares = torch.from_numpy(counts / counts.sum()).unsqueeze(1)
    wide = table.double()
    return _leading(wide.T @ (shares * wide) + _UNSEEN * _moments(table), width)


def _leading(moments: Tensor, width: int) -> Directions:
    import torch

    energy, vectors = torch.linalg.eigh(moments)
    kept = energy[-width:].sum() / energy.sum()
    return Directions(vectors[:, -width:].flip(1), float(kept))


def _moments(rows: Tensor) -> Tensor:
    wide = rows.double()
    return wide.T @ wide / len(rows)


def looked_up(words: Tensor, positions: Tensor, seen: Seen) -> Tensor:
    """Word and position embeddings of the tokens that were seen, added [tokens, hidden]."""
    import torch

    places = np.minimum(seen.places, len(positions) - 1)
    return words[torch.from_numpy(seen.ids)] + positions[torch.from_numpy(places)]
