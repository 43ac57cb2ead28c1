"""What stands on top of an encoder: classes of texts or of words, the vocabulary, or a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Head = Literal["classifier", "token_classifier", "masked_lm", "vectors"]


def head_of(config: PreTrainedConfig) -> Head:
    """The head of a checkpoint: a vector where its config says how one is made, words, or texts."""
    if getattr(config, "sentence_vectors", None) is not None:  # `teacher.pooling` writes it
        return "vectors"
    made_as = getattr(config, "architectures", None) or []
    of_words = any(name.endswith("ForTokenClassification") for name in made_as)
    return "token_classifier" if of_words else "classifier"
