"""Cleaning, which must be the same in training and at prediction."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.config.recipe import CleanConfig
from limbeck.data.clean import cleaner

ALL = CleanConfig(unicode=True, html=True, control=True, white_space=True)


@given(text=st.text())
def test_without_switches_texts_stay_as_they_are(text: str) -> None:
    """Cleaning that nobody asked for changes what the teacher sees."""
    assert cleaner(CleanConfig())(text) == text


@pytest.mark.parametrize(
    ("switch", "text", "clean"),
    [
        ("html", "<p class='x'>a &amp; b</p>", " a & b "),
        ("html", "a<br/>b<!-- <b>no</b> -->c", "a b c"),
        ("html", "1 < 2 and 3 > 2, I <3 you", "1 < 2 and 3 > 2, I <3 you"),
        ("unicode", "cafÃ© â€œquotedâ€\x9d", 'café "quoted"'),
        ("unicode", "ｗｉｄｅ ﬁne", "wide fine"),
        ("control", "a\x00b\x07c\u200bd\ufeff", "a b cd"),
        ("control", "tab\tline\nstay", "tab\tline\nstay"),
        ("white_space", "  a \t b\n\nc\u00a0d ", "a b c d"),
    ],
)
def test_each_switch_does_its_own_work(switch: str, text: str, clean: str) -> None:
    """And no other's."""
    assert cleaner(CleanConfig(**{switch: True}))(text) == clean


@settings(deadline=None, max_examples=300)
@given(text=st.text(max_size=40))
def test_cleaning_control_characters_and_space_twice_is_cleaning_once(text: str) -> None:
    """A file that was cleaned before must not change again."""
    clean = cleaner(CleanConfig(control=True, white_space=True))
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    "text",
    ["<b>x</b> &amp; y", "cafÃ© at  “noon”", "e\u200b\u0301 \x01 \u00a0end", "plain", "1 < 2"],
)
def test_cleaning_usual_texts_twice_is_cleaning_once(text: str) -> None:
    """Letters that an invisible character kept apart must join in the first pass."""
    clean = cleaner(ALL)
    assert clean(clean(text)) == clean(text)
