"""What stands on top of an encoder: classes of texts, classes of words, or the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, assert_never

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Head = Literal["classifier", "token_classifier", "masked_lm"]


def model_class(head: Head) -> Any:
    """The transformers class that makes and loads models with this head."""
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
        case _:
            assert_never(head)


def head_of(config: PreTrainedConfig) -> Head:
    """The head that a fine-tuned checkpoint was saved with: of words, or else of texts."""
    made_as = getattr(config, "architectures", None) or []
    of_words = any(name.endswith("ForTokenClassification") for name in made_as)
    return "token_classifier" if of_words else "classifier"
