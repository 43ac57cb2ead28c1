"""A tokenizer as bytes: what token ids are kept under."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def tokenizer_bytes(tokenizer: Tokenizer) -> bytes:
    """The tokenizer as bytes that do not change with its padding and truncation settings."""
    plain = type(tokenizer).from_str(tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    return plain.to_str().encode()
