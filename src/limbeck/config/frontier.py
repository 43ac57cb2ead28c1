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
    layers: PositiveInt = Field(
        default=1,
        description="Fewest layers of a point. Above that, trials say when a layer goes.",
    )
    rank: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.17,
        description="Rank of the last point's word embeddings, as a share of their width; 1 leaves "
        "them whole.",
    )
    epochs: PositiveInt | None = Field(
        default=None,
        description="Passes over the texts at the second point; training.epochs by default. Points "
        "below, which are cheaper and have more to learn, get more, the last twice as many.",
    )
    learning_rates: tuple[PositiveFloat, ...] = Field(
        default=(1e-4, 3e-4, 1e-3),
        min_length=1,
        description="Rates that are tried at every point but the first, each with as many layers "
        "as its parameters allow and with one fewer, with and without least squares.",
    )
    trial_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.08,
        description="Share of the texts that the first trials learn from; a third of the "
        "candidates goes on with three times as many, until `finalists` are left.",
    )
    finalists: Annotated[int, Field(ge=1, le=8)] = Field(
        default=2, description="Candidates that are trained in full; the best becomes the point."
    )
    retention: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="The least share of the teacher's validation score that is wanted: the verdict "
        "names the smallest point that holds it.",
    )
