"""The class of a model with a head."""

from __future__ import annotations

from typing import Any, assert_never

from limbeck.tasks.head import Head


def model_class(head: Head) -> Any:
    """The class that makes and loads models with this head: transformers', or ours of vectors."""
    from transformers import (
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    match head:
        case "classifier":
            return AutoModelForSequenceClassification
        case "token_classifier":
            return AutoModelForTokenClassification
        case "masked_lm":
            return AutoModelForMaskedLM
        case "vectors":
            from limbeck.teacher.vector_model import VectorModel

            return VectorModel
        case _:
            assert_never(head)
