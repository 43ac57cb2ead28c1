"""A question about a text: what a model that finds answers in texts is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Windowing:
    """How contexts that are longer than a model reads are read.

    Attributes:
        stride: Tokens that two neighboring windows share; None for a third of a window.
        question_tokens: The most that a question keeps; None for a sixth of a window.
    """

    stride: int | None = None
    question_tokens: int | None = None

    def settled(self, max_tokens: int) -> tuple[int, int]:
        """Stride and question tokens for windows of `max_tokens` tokens."""
        stride, question = self.stride, self.question_tokens
        return (
            max(1, max_tokens // 3) if stride is None else stride,
            max(1, max_tokens // 6) if question is None else question,
        )


@dataclass(frozen=True)
class Asked:
    """A question, the text that may hold its answer, and how the text is read if it is long."""

    question: str
    context: str
    windowing: Windowing = Windowing()
