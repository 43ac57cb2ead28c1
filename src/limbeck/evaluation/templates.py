"""How pages are made of templates: strict, escaped, and with words for values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_DASH = "–"
_NAME_LENGTH = 120
_MOST_ITEMS = 15


def environment() -> jinja2.Environment:
    """Where pages are made: strict, and nothing of the user's is taken for HTML."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"asides": _asides, "value": _value, "words": _words, "cut": _cut}
    return made


def _asides(sentence: str) -> list[tuple[str, bool]]:
    """The parts of a sentence, each with whether it stands in parentheses."""
    sentence = re.sub(r"(?<=[ (])-(?=\d)", "−", sentence)
    parts = re.split(r"(\([^()]*\))", sentence)
    return [(part, part.startswith("(")) for part in parts if part]


def _value(value: Any) -> str:
    """A value of one of the report's free dictionaries, for people."""
    match value:
        case None | "" | [] | ():
            return _DASH
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
        case list() | tuple():
            shown = [_cut(_value(one)) for one in value[:_MOST_ITEMS]]
            more = len(value) - len(shown)
            return ", ".join(shown) + (f" and {more:,} more" if more else "")
        case Mapping():
            return ", ".join(f"{_words(key)} {_value(one)}" for key, one in value.items())
    return str(value)


def _words(key: object) -> str:
    words = str(key).replace("_", " ")
    return re.sub(r"\b(gpu|gb|mb)\b", lambda found: found[0].upper(), words)


def _cut(text: str, length: int = _NAME_LENGTH) -> str:
    """A text, cut at a space where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    return text[:length].rsplit(" ", 1)[0].rstrip() + "…"
