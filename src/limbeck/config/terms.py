"""The terms that an objective can be made of; `training.losses` says what each computes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat


class Strict(BaseModel):
    """A frozen model in which an unknown key is an error: a typo must not train."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class HardTerm(Strict):
    """Cross-entropy to the labels, over the labelled rows of a batch."""

    kind: Literal["hard"] = "hard"
    weight: Weight = 0.1


class LogitsTerm(Strict):
    """The distance between the student's and the teacher's class distributions."""

    kind: Literal["logits"] = "logits"
    weight: Weight = 0.9
    divergence: Literal["kl", "cross_entropy", "reverse_kl", "jensen_shannon"] = "kl"
    temperature: Annotated[PositiveFloat, Field(allow_inf_nan=False)] = 2.0


class HiddenTerm(Strict):
    """The distance between hidden states of matched layers, over the real tokens.

    `layer_map` maps student layers to teacher layers (counted from 1; 0 is the embedding
    output); without it they are spread evenly, the last to the last.
    """

    kind: Literal["hidden"] = "hidden"
    weight: Weight = 1.0
    distance: Literal["mse", "cosine"] = "mse"
    layer_map: dict[int, int] | None = None


Term = Annotated[HardTerm | LogitsTerm | HiddenTerm, Field(discriminator="kind")]
