"""How far down `limbeck frontier` goes, and in how many steps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from limbeck.config.schedule import Strict


class FrontierConfig(Strict):
    """A family of students, each cut out of the one before it."""

    points: Annotated[int, Field(ge=2, le=32)] = Field(
        default=6,
        description="Students; the first is the recipe's own, the last the smallest.",
    )
    smallest: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.012,
        description="Encoder parameters of the last point, as a share of the teacher's. The points "
        "between go down by equal ratios.",
    )
    layers: PositiveInt = Field(default=1, description="Layers of the last point.")
    rank: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.17,
        description="Rank of the last point's word embeddings, as a share of their width; 1 leaves "
        "them whole.",
    )
    epochs: PositiveInt | None = Field(
        default=None,
        description="Passes over the texts at the second point; training.epochs by default. Points "
        "below, which are cheaper and have more to learn, get more, the last three times as many.",
    )
    learning_rates: tuple[PositiveFloat, ...] = Field(
        default=(1e-4, 3e-4, 1e-3),
        min_length=1,
        description="Rates that are tried for one pass each at every point but the first; "
        "validation chooses.",
    )
    retention: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="The least share of the teacher's validation score that is wanted: the verdict "
        "names the smallest point that holds it.",
    )
