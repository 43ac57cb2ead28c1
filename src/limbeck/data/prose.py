"""Running text as it is asked about: which of its tokens are foretold, and from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reading:
    """Which tokens of a text are foretold.

    Attributes:
        how: ``before``: each from those before it. ``next``: so too, and the one after the last.
            ``around``: hidden ones from all others. ``gaps``: those where the text itself has the
            mask token; nobody knows what stood there.
        share: around: of a block's tokens that are hidden, from 0 to 1.
        copies: around: how many rows a block is, each with other tokens hidden.
        seed: around: of what is hidden.
    """

    how: Literal["before", "next", "around", "gaps"]
    share: float = 0.0
    copies: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Prose:
    """A text whose tokens are foretold."""

    text: str
    reading: Reading
