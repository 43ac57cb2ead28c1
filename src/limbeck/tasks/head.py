"""What stands on top of a model: classes of texts or of words, answers, tokens, or a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Head = Literal["classifier", "token_classifier", "span", "masked_lm", "causal_lm", "vectors"]
OF_TOKENS: tuple[Head, ...] = ("masked_lm", "causal_lm")
"""Heads that foretell tokens."""

_OF_ANSWERS = ("ForQuestionAnswering", "ForQuestionAnsweringSimple")
"""Simple is XLNet's: two numbers a token, where its other head searches with beams."""
_CAUSAL = ("ForCausalLM", "GPT2LMHeadModel")


def head_of(config: PreTrainedConfig) -> Head:
    """The head of a checkpoint: a vector where its config says how one is made, else its class."""
    if getattr(config, "sentence_vectors", None) is not None:  # `teacher.pooling` writes it
        return "vectors"
    made_as = getattr(config, "architectures", None) or []
    if any(name.endswith(_OF_ANSWERS) for name in made_as):
        return "span"
    if any(name.endswith("ForMaskedLM") for name in made_as):
        return "masked_lm"
    if any(name.endswith(_CAUSAL) for name in made_as):
        return "causal_lm"
    of_words = any(name.endswith("ForTokenClassification") for name in made_as)
    return "token_classifier" if of_words else "classifier"
