"""What stands on top of an encoder: classes, or the vocabulary."""

from __future__ import annotations

from typing import Any, Literal, assert_never

Head = Literal["classifier", "masked_lm"]


def model_class(head: Head) -> Any:
    """The transformers class that makes and loads models with this head."""
    from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

    match head:
        case "classifier":
            return AutoModelForSequenceClassification
        case "masked_lm":
            return AutoModelForMaskedLM
        case _:
            assert_never(head)
