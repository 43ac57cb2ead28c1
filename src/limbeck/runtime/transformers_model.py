"""Answers by transformers, as most services call it: tokenizer, model, logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TeacherConfig
from limbeck.teacher.load import load_classifier, look_at

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TransformersAnswerer:
    """A loaded classifier and its tokenizer, in eval mode and float32."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int
    ) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits [texts, classes], float32; the texts go through as one batch."""
        import torch

        inputs = self._tokenizer(
            list(texts),
            padding=len(texts) > 1,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._model.device)
        with torch.inference_mode():
            return self._model(**inputs).logits.float().cpu().numpy()


def from_folder(path: str, *, max_tokens: int) -> TransformersAnswerer:
    """The classifier in a folder (or of a hub name), with the attention transformers chooses."""
    checkpoint = look_at(TeacherConfig(path=path), role="model")
    model = load_classifier(checkpoint, attention="sdpa")
    return TransformersAnswerer(
        model, checkpoint.tokenizer, max_tokens=checkpoint.max_tokens(max_tokens)
    )
