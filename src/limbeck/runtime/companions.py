"""What lies beside an exported model: its tokenizer and how it pads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from limbeck.data.asked import Asked
from limbeck.data.candidates import Candidates, list_bounds, pairs_of
from limbeck.data.prose import Prose
from limbeck.data.texts import Item
from limbeck.data.worded import WordedText
from limbeck.files import read_json
from limbeck.runtime.prose import block_tokens
from limbeck.runtime.tokens import Padding, Tokens, flat, joined
from limbeck.runtime.windows import window_tokens
from limbeck.runtime.words import word_tokens

_CHUNK, _QUESTIONS = 1024, 128
"""Texts whose encodings (100 bytes a token and more) are in memory at a time."""


class Companions:
    """The tokenizer and the facts beside an .onnx file.

    Args:
        folder: Where tokenizer.json and limbeck.json lie.
        types: Whether the model takes segment ids.
    """

    def __init__(self, folder: Path, *, types: bool) -> None:
        from tokenizers import Tokenizer

        facts = read_json(folder / "limbeck.json")
        self.padding = Padding(facts["pad_id"], left=facts["padding_side"] == "left")
        self._types = types
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._max_tokens: int = facts["max_tokens"]
        self._tokenizer.enable_truncation(self._max_tokens)
        self._tokenizer.no_padding()
        self._cutting = Tokenizer.from_str(self._tokenizer.to_str())

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """Each token as text."""
        return [self._tokenizer.decode([index], skip_special_tokens=False) for index in ids]

    def tokens(self, texts: Sequence[Item]) -> Tokens:
        """Token ids of texts, cut at the export's longest."""
        parts = []
        worded = [item for item in texts if isinstance(item, WordedText)]
        for start in range(0, len(worded), _CHUNK):
            parts.append(
                word_tokens(self._tokenizer, worded[start : start + _CHUNK], types=self._types)
            )
        asked = [item for item in texts if isinstance(item, Asked)]
        for start in range(0, len(asked), _QUESTIONS):
            parts.append(
                window_tokens(
                    self._tokenizer,
                    asked[start : start + _QUESTIONS],
                    max_tokens=self._max_tokens,
                    types=self._types,
                )
            )
        prose = [item for item in texts if isinstance(item, Prose)]
        for start in range(0, len(prose), _QUESTIONS):
            part = prose[start : start + _QUESTIONS]
            parts.append(
                block_tokens(self._cutting, part, max_tokens=self._max_tokens, types=self._types)
            )
        if parts:
            return joined(parts)
        ranked = [item for item in texts if isinstance(item, Candidates)]
        if ranked:
            return replace(self.tokens(pairs_of(ranked)), lists=list_bounds(ranked))
        for start in range(0, len(texts), _CHUNK):
            encodings = self._tokenizer.encode_batch_fast(list(texts[start : start + _CHUNK]))
            types = [encoding.type_ids for encoding in encodings] if self._types else None
            parts.append(flat([encoding.ids for encoding in encodings], types))
        return joined(parts)
