"""Cleaning of texts, the same in training and at prediction."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable

from limbeck.config.recipe import CleanConfig

_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")


def cleaner(config: CleanConfig) -> Callable[[str], str]:
    """The function that cleans one text as `config` says; the identity when all is off."""
    steps: list[Callable[[str], str]] = []
    if config.html:
        steps.append(_without_html)
    if config.unicode:
        steps.append(_one_unicode)
    if config.control:
        steps.append(_without_control)
    if config.control and config.unicode:  # letters that an invisible one kept apart now join
        steps.append(lambda text: unicodedata.normalize("NFKC", text))
    if config.white_space:
        steps.append(lambda text: " ".join(text.split()))

    def clean(text: str) -> str:
        for apply in steps:
            text = apply(text)
        return text

    return clean


def _without_html(text: str) -> str:
    return html.unescape(_TAG.sub(" ", text))


def _one_unicode(text: str) -> str:
    import ftfy

    return ftfy.fix_text(text, normalization="NFKC", remove_control_chars=False)


def _without_control(text: str) -> str:
    visible = _INVISIBLE.sub("", text)
    return "".join(
        " " if unicodedata.category(char) == "Cc" and char not in "\n\t" else char
        for char in visible
    )
