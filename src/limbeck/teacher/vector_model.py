"""The model of a config that gives vectors: an encoder and its pooling, or a table of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from limbeck.teacher.load import Checkpoint
from limbeck.teacher.sentence_encoder import SentenceEncoder, load_sentence_encoder
from limbeck.teacher.static import StaticConfig, StaticEncoder, load_static

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class VectorModel:
    """Makes such models as transformers' AutoModel classes make theirs."""

    @staticmethod
    def from_config(
        config: PreTrainedConfig, *, attn_implementation: str = "eager", dtype: Any = None
    ) -> SentenceEncoder | StaticEncoder:
        """A model with new weights."""
        if isinstance(config, StaticConfig):
            return StaticEncoder(config)
        return SentenceEncoder.from_config(
            config, attn_implementation=attn_implementation, dtype=dtype
        )


def load_vector_model(
    checkpoint: Checkpoint, *, attention: str, dropout: float | None = None
) -> PreTrainedModel:
    """The checkpoint's model in float32, in eval mode; see `load_sentence_encoder`.

    Raises:
        TeacherError: If weights are missing, or hold NaN.
    """
    if isinstance(checkpoint.config, StaticConfig):
        return load_static(checkpoint)
    return load_sentence_encoder(checkpoint, attention=attention, dropout=dropout)
