"""Texts and their translations: rows of which each column is one language."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from limbeck.config.schedule import Strict


class ParallelConfig(Strict):
    """The languages of parallel rows: the teacher reads one, the student all of them."""

    source: str = Field(description="The column that the teacher reads.")
    targets: tuple[str, ...] = Field(
        min_length=1, description="The columns of its translations; a training row may lack some."
    )

    @property
    def sides(self) -> tuple[str, ...]:
        """All columns, the source first."""
        return (self.source, *self.targets)

    @model_validator(mode="after")
    def _different(self) -> Self:
        twice = sorted({side for side in self.sides if self.sides.count(side) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice; each language has a column of its own")
        return self
