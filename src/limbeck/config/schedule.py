"""Numbers that change over a training: ramps and steps, in shares of its length."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class Strict(BaseModel):
    """A frozen model in which an unknown key is an error: a typo must not train."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Ramp(Strict):
    """From one number to another; before `begin` it is the first, after `end` the second."""

    shape: Literal["linear", "cosine"] = Field(
        description="A straight line, or half a cosine: slow, fast, slow."
    )
    start: Finite = Field(description="The number until `begin`.")
    stop: Finite = Field(description="The number from `end` on.")
    begin: float = Field(default=0.0, description="Share of the training, 0 its first step.")
    end: float = Field(default=1.0, description="Share of the training, 1 its last step.")

    @model_validator(mode="after")
    def _inside(self) -> Self:
        _refuse_outside("begin", self.begin)
        _refuse_outside("end", self.end)
        if self.begin >= self.end:
            raise ValueError(
                f"begin is {self.begin} and end is {self.end}; a ramp begins before it ends"
            )
        return self


class Steps(Strict):
    """One number after the other; `at` says where each begins but the first."""

    shape: Literal["step"]
    values: tuple[Finite, ...] = Field(min_length=1, description="The numbers, first to last.")
    at: tuple[float, ...] = Field(
        default=(), description="Rising shares of the training, one fewer than the numbers."
    )

    @model_validator(mode="after")
    def _inside(self) -> Self:
        for place in self.at:
            _refuse_outside("at", place)
        if len(self.at) != len(self.values) - 1:
            raise ValueError(
                f"there are {len(self.values)} values and {len(self.at)} places in at; "
                f"{len(self.values)} values need {len(self.values) - 1}"
            )
        if list(self.at) != sorted(set(self.at)):
            raise ValueError(f"at is {list(self.at)}; the places must rise")
        return self


def _refuse_outside(key: str, share: float) -> None:
    if not 0 <= share <= 1:
        where = "beyond the last step" if share > 1 else "before the first step"
        raise ValueError(
            f"{key} is {share}, {where}; it is a share of the training, from 0 (its first step) "
            "to 1 (its last)"
        )


class Adaptive(Strict):
    """A temperature for each row: lower where the student's logits point elsewhere."""

    shape: Literal["adaptive"]
    base: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=2.0, description="The mean of the rows' temperatures."
    )
    spread: Finite = Field(default=0.5, description="How far they may lie from it.")
    focus: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=1.0, description="The greater, the more the worst rows alone are told apart."
    )

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if self.spread * 2**self.focus >= self.base:
            raise ValueError(
                f"base is {self.base}, spread {self.spread} and focus {self.focus}: a row's "
                "temperature could reach 0; spread * 2^focus must stay below base"
            )
        return self


def _tag(value: Any) -> str:
    shape = value.get("shape") if isinstance(value, dict) else getattr(value, "shape", None)
    if isinstance(value, dict) or shape is not None:
        return "steps" if shape == "step" else "ramp"
    return "number"


Number = Annotated[
    Annotated[Finite, Tag("number")]
    | Annotated[Ramp, Tag("ramp")]
    | Annotated[Steps, Tag("steps")],
    Discriminator(_tag),
]
"""A number, or a schedule of numbers."""


def number_at(number: Number, share: float) -> float:
    """The number at a share of the training.

    Args:
        number: A constant or a schedule.
        share: From 0, the first step, to 1, the last.
    """
    match number:
        case Ramp():
            way = (share - number.begin) / (number.end - number.begin)
            way = min(max(way, 0.0), 1.0)
            if number.shape == "cosine":
                way = (1 - math.cos(math.pi * way)) / 2
            return number.start + way * (number.stop - number.start)
        case Steps():
            return number.values[sum(share >= place for place in number.at)]
        case _:
            return number


def largest(number: Number) -> float:
    """The largest number that it ever is."""
    match number:
        case Ramp():
            return max(number.start, number.stop)
        case Steps():
            return max(number.values)
        case _:
            return number


def smallest(number: Number) -> float:
    """The smallest number that it ever is."""
    match number:
        case Ramp():
            return min(number.start, number.stop)
        case Steps():
            return min(number.values)
        case _:
            return number
