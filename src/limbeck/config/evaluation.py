"""What a run measures, and what an export must keep."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from limbeck.config.schedule import Strict

Share = Annotated[float, Field(ge=0, le=1)]


class EvaluationConfig(Strict):
    """What is measured, and against what."""

    control: bool = Field(
        default=True, description="Train the same student without the teacher too."
    )
    own_texts: bool = Field(
        default=True,
        description="Where unlabelled texts or altered copies are added to the training rows: "
        "train the same student without them too, to tell what they bought.",
    )
    control_epochs: PositiveInt | None = Field(
        default=None,
        description="Passes of the control arm, and of own_texts; by default as many as give it "
        "the student's steps, at most 10, so that it is not the shorter training that loses.",
    )
    bootstrap: PositiveInt = Field(
        default=2000, description="Resamples behind a confidence interval."
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        default=0.95, description="Its level."
    )
    speed_texts: PositiveInt = Field(
        default=200, description="Texts in a round of the latency test."
    )
    speed_rounds: PositiveInt = Field(
        default=3, description="Rounds, alternating between the models."
    )
    memory: bool = Field(
        default=True, description="Measure peak memory, each model in its own process."
    )


class ExportConfig(Strict):
    """The gate: what an exported model must keep."""

    score_tolerance: Share = Field(
        default=0.005,
        description="Largest loss of test score against the student that is accepted; of a "
        "language model, as a share of its score.",
    )
    flip_tolerance: Share = Field(
        default=0.05,
        description="Largest share of answers (of a language model: likeliest tokens) that may "
        "differ from the student's.",
    )
