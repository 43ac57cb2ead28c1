"""What is recorded of a teacher."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from limbeck.teacher.parts import Part, in_words


@dataclass(frozen=True)
class Kind:
    """What is recorded.

    Attributes:
        parts: What is kept of the teacher's computation besides the logits, rising.
        precision: Arithmetic of the teacher's pass, float32 or bfloat16.
        states: How vectors are kept, float16 or int8; distributions are float16 always.
        top_k: Of a language model: how many tokens are told of at each place; 0 for all of them,
            which only a teacher that is asked live says, and for other models.
    """

    parts: tuple[Part, ...] = ()
    precision: str = "float32"
    states: str = "float16"
    top_k: int = 0

    def in_words(self) -> str:
        """``logits; hidden states of layers 2, 4 in int8; asked in float32``."""
        return f"{self.what()}; asked in {self.precision}"

    def what(self) -> str:
        """``logits; hidden states of layers 2, 4 in int8``."""
        kept = f"; {in_words(self.parts)} in {self.states}" if self.parts else ""
        said = f"the {self.top_k} likeliest tokens at each place" if self.top_k else "logits"
        return f"{said}{kept}"

    def content(self) -> dict[str, Any]:
        """As JSON, parts by name."""
        content = {**asdict(self), "parts": [part.name for part in self.parts]}
        if not self.top_k:  # so that older folders keep their address
            del content["top_k"]
        return content

    @staticmethod
    def of(content: dict[str, Any]) -> Kind:
        """What `content` made, from JSON."""
        parts = tuple(Part.named(name) for name in content["parts"])
        top_k = int(content.get("top_k", 0))
        return Kind(parts, str(content["precision"]), str(content["states"]), top_k)

    def int8(self, part: Part) -> bool:
        """Whether a part is kept as int8: vectors where the kind says so."""
        return self.states == "int8" and part.what != "attention"

    def columns(self) -> dict[str, Part]:
        """The shard columns that hold the parts (`columns.py`), each with its part."""
        found: dict[str, Part] = {}
        for part in self.parts:
            found[part.name] = part
            if self.int8(part):
                found |= {f"{part.name}_{end}": part for end in ("scale", "error", "cosine")}
        return found
