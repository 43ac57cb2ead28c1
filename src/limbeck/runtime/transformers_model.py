"""Answers by transformers, as most services call it: tokenizer, model, logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TeacherConfig
from limbeck.data.asked import Asked
from limbeck.data.candidates import Candidates, list_bounds, pairs_of
from limbeck.data.per_word import Outputs
from limbeck.data.prose import Prose
from limbeck.data.texts import Item
from limbeck.data.worded import WordedText
from limbeck.runtime.answerer import BATCH_TOKENS, answered
from limbeck.runtime.prose import block_tokens
from limbeck.runtime.tokens import Padding, Tokens, flat, joined
from limbeck.runtime.windows import window_tokens
from limbeck.runtime.words import word_tokens
from limbeck.teacher.head import logits_of
from limbeck.teacher.load import backend_of, load_classifier, look_at

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_GPU_BATCH_TOKENS = 16384
_CHUNK = 128
"""Questions whose windows' encodings are in memory at a time."""


class TransformersAnswerer:
    """A loaded classifier and its tokenizer, in eval mode and float32."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int
    ) -> None:
        self.workers = 1
        self.batch_tokens = BATCH_TOKENS if model.device.type == "cpu" else _GPU_BATCH_TOKENS
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        pad_id = tokenizer.pad_token_id
        self._padding = Padding(
            pad_id if isinstance(pad_id, int) else 0,
            left=tokenizer.padding_side == "left",
            type_id=tokenizer.pad_token_type_id,
        )
        self._types = "token_type_ids" in tokenizer.model_input_names

    @cached_property
    def _cutting(self) -> Tokenizer:
        """A tokenizer of its own, which says where tokens stand: calls change transformers'."""
        backend = backend_of(self._tokenizer)
        own = type(backend).from_str(backend.to_str())
        own.no_padding()
        own.enable_truncation(self._max_tokens)
        return own

    def logits(self, texts: Sequence[Item]) -> Outputs:
        """Logits [texts, classes], or their words'; the texts go through as one batch."""
        import torch

        if any(isinstance(item, WordedText | Asked | Candidates | Prose) for item in texts):
            return answered(self, self.tokens(texts))
        first, second = _columns(texts)
        inputs = self._tokenizer(
            first,
            second,
            padding=len(texts) > 1,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._model.device)
        with torch.inference_mode():
            return self._model(**inputs).logits.float().cpu().numpy()

    def tokens(self, texts: Sequence[Item]) -> Tokens:
        """Their token ids, cut at the model's longest."""
        worded = [item for item in texts if isinstance(item, WordedText)]
        if worded:
            return word_tokens(self._cutting, worded, types=self._types)
        asked = [item for item in texts if isinstance(item, Asked)]
        if asked:
            return joined(
                [self._windows(asked[n : n + _CHUNK]) for n in range(0, len(asked), _CHUNK)]
            )
        ranked = [item for item in texts if isinstance(item, Candidates)]
        if ranked:
            return replace(self.tokens(pairs_of(ranked)), lists=list_bounds(ranked))
        prose = [item for item in texts if isinstance(item, Prose)]
        if prose:
            return joined(
                [self._blocks(prose[n : n + _CHUNK]) for n in range(0, len(prose), _CHUNK)]
            )
        first, second = _columns(texts)
        made = self._tokenizer(
            first,
            second,
            truncation=True,
            max_length=self._max_tokens,
            return_attention_mask=False,
        )
        return flat(made["input_ids"], made.get("token_type_ids"))

    def logits_of(self, tokens: Tokens, rows: np.ndarray) -> Outputs:
        """Logits [rows, classes], or their words', of some rows as one batch."""
        import torch

        arrays = tokens.batch(rows, self._padding)
        inputs = {
            name: torch.from_numpy(array).to(self._model.device) for name, array in arrays.items()
        }
        with torch.inference_mode():
            logits = logits_of(self._model(**inputs)).float().cpu().numpy()
        return tokens.outputs(logits, rows, self._padding)

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """Each token as text."""
        return [self._cutting.decode([index], skip_special_tokens=False) for index in ids]

    def _blocks(self, prose: Sequence[Prose]) -> Tokens:
        return block_tokens(self._cutting, prose, max_tokens=self._max_tokens, types=self._types)

    def _windows(self, asked: Sequence[Asked]) -> Tokens:
        return window_tokens(self._cutting, asked, max_tokens=self._max_tokens, types=self._types)


def _columns(texts: Sequence[Item]) -> tuple[list[str], list[str] | None]:
    """The texts, and their second texts where they come in pairs."""
    pairs = [item for item in texts if isinstance(item, tuple)]
    if pairs:
        return [first for first, _ in pairs], [second for _, second in pairs]
    return [item for item in texts if isinstance(item, str)], None


def from_folder(path: str | TeacherConfig, *, max_tokens: int) -> TransformersAnswerer:
    """The model in a folder (or of a hub name), with the attention transformers chooses."""
    config = TeacherConfig(path=path) if isinstance(path, str) else path
    checkpoint = look_at(config, role="model")
    model = load_classifier(checkpoint, attention="sdpa")
    return TransformersAnswerer(
        model, checkpoint.tokenizer, max_tokens=checkpoint.max_tokens(max_tokens)
    )
