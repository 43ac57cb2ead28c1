"""The parts of a model's computation that knowledge can be made of, by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

What = Literal["hidden", "queries", "keys", "values", "attention"]
_IN_WORDS: dict[What, str] = {
    "hidden": "hidden states",
    "queries": "queries",
    "keys": "keys",
    "values": "values",
    "attention": "attention distributions",
}


@dataclass(frozen=True, order=True)
class Part:
    """One tensor of one layer.

    Attributes:
        what: ``hidden``, the layer's output [batch, tokens, hidden]; ``queries``, ``keys`` and
            ``values``, the vectors that attention works with, heads side by side [batch, tokens,
            heads * head size]; or ``attention``, each token's distribution over the tokens
            [batch, heads, tokens, tokens].
        layer: From 1. Hidden states have a layer 0, too: the embedding output.
    """

    what: What
    layer: int

    @property
    def name(self) -> str:
        """Such as ``hidden_6``; also the column that it is recorded in."""
        return f"{self.what}_{self.layer}"

    def in_words(self) -> str:
        """Such as ``hidden states of layer 6``."""
        return f"{_IN_WORDS[self.what]} of layer {self.layer}"

    @staticmethod
    def named(name: str) -> Part:
        """The part of a name.

        Raises:
            ValueError: For what is no part's name.
        """
        kind, _, layer = name.rpartition("_")
        for what in _IN_WORDS:
            if kind == what and layer.isdecimal():
                return Part(what, int(layer))
        raise ValueError(f"{name!r} names no part; an example is hidden_6")


def hidden_parts(layers: Iterable[int]) -> tuple[Part, ...]:
    """The hidden states of layers, as parts."""
    return tuple(Part("hidden", layer) for layer in layers)


def in_words(parts: Iterable[Part]) -> str:
    """Such as ``hidden states of layers 2, 4; queries of layer 12``."""
    layers: dict[What, list[str]] = {}
    for part in sorted(parts, key=lambda part: (list(_IN_WORDS).index(part.what), part.layer)):
        layers.setdefault(part.what, []).append(str(part.layer))
    return "; ".join(
        f"{_IN_WORDS[what]} of layer{'s' if len(some) > 1 else ''} {', '.join(some)}"
        for what, some in layers.items()
    )
