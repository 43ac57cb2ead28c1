"""What stands on top of an encoder: classes of texts or of words, answers, words, or a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Head = Literal["classifier", "token_classifier", "span", "masked_lm", "vectors"]

_OF_ANSWERS = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
"""Simple is XLNet's: two numbers a token, where its other head searches with beams."""


def head_of(config: PreTrainedConfig) -> Head:
    """The head of a checkpoint: a vector where its config says how one is made, else its class."""
    if getattr(config, "sentence_vectors", None) is not None:  # `teacher.pooling` writes it
        return "vectors"
    made_as = getattr(config, "architectures", None) or []
    if any(name.endswith(_OF_ANSWERS) for name in made_as):
        return "span"
    of_words = any(name.endswith("ForTokenClassification") for name in made_as)
    return "token_classifier" if of_words else "classifier"
