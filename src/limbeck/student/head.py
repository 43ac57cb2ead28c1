"""What stands on top of an encoder: classes, the vocabulary, or a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, assert_never

from limbeck.teacher.pooling import vectors_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Head = Literal["classifier", "masked_lm", "vectors"]


def model_class(head: Head) -> Any:
    """The transformers class that makes and loads models with this head."""
    from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

    match head:
        case "classifier":
            return AutoModelForSequenceClassification
        case "masked_lm":
            return AutoModelForMaskedLM
        case "vectors":
            from limbeck.teacher.sentence_encoder import SentenceEncoder

            return SentenceEncoder
        case _:
            assert_never(head)


def head_like(config: PreTrainedConfig, wished: Head) -> Head:
    """`wished`, or a head that gives vectors where this config's model does."""
    return "vectors" if wished == "classifier" and vectors_of(config) is not None else wished
