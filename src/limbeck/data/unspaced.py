"""Scripts that are written without spaces between words."""

from __future__ import annotations

_UNSPACED = (
    (0x2E80, 0x303E), (0x3041, 0x30FF), (0x3100, 0x312F), (0x3190, 0x31FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Han, kana and bopomofo, their punctuation and full-width forms."""


def unspaced(character: str) -> bool:
    """Whether a character belongs to such a script."""
    code = ord(character)
    return code >= 0x2E80 and any(first <= code <= last for first, last in _UNSPACED)
