"""Tags: IOB2 is checked, other schemes are recognized and become it with the same entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.data.tags import TagCheck, TagScheme, parted, tag_names, to_iob2
from limbeck.errors import DataError

Entity = tuple[int, int, str]


def _entities(iob2: Sequence[str]) -> set[Entity]:
    """First word, last word and type, read word by word."""
    found: set[Entity] = set()
    begin: int | None = None
    for place, tag in enumerate([*iob2, "O"]):
        if begin is not None and not tag.startswith("I-"):
            found.add((begin, place - 1, iob2[begin][2:]))
            begin = None
        if tag.startswith("B-"):
            begin = place
    return found


@st.composite
def _rows(draw: st.DrawFn) -> list[tuple[int, str]]:
    """Lengths and types of runs of words; the type O is outside."""
    kinds = st.sampled_from(["O", "LOC", "a-b"])
    return draw(st.lists(st.tuples(st.integers(1, 3), kinds), min_size=1, max_size=6))


def _written(runs: list[tuple[int, str]], scheme: str) -> list[str]:
    tags: list[str] = []
    before = "O"
    for length, kind in runs:
        if kind == "O":
            tags += ["O"] * length
        elif scheme == "bioes":
            inner = [f"I-{kind}"] * (length - 2)
            tags += [f"S-{kind}"] if length == 1 else [f"B-{kind}", *inner, f"E-{kind}"]
        elif scheme == "bmes":
            inner = [f"M-{kind}"] * (length - 2)
            tags += [f"S-{kind}"] if length == 1 else [f"B-{kind}", *inner, f"E-{kind}"]
        elif scheme == "bilou":
            inner = [f"I-{kind}"] * (length - 2)
            tags += [f"U-{kind}"] if length == 1 else [f"B-{kind}", *inner, f"L-{kind}"]
        else:
            first = "B" if scheme == "iob2" or before == kind else "I"
            tags += [f"{first}-{kind}", *[f"I-{kind}"] * (length - 1)]
        before = kind
    return tags


@given(_rows(), st.sampled_from(["iob1", "bioes", "bmes", "bilou"]))
def test_conversion_keeps_every_entity(runs: list[tuple[int, str]], written: str) -> None:
    """Two neighbors of a type that became one would be a wrong target and a wrong score."""
    scheme: TagScheme = "iob1" if written == "iob1" else "bioes"
    tags = to_iob2(_written(runs, written), scheme)
    assert tags == _written(runs, "iob2")
    assert len(_entities(tags)) == sum(kind != "O" for _, kind in runs)
    TagCheck("iob2").refuse_broken(tags, ["w"] * len(tags), "here")


def _refused(
    tags: Sequence[str], scheme: TagScheme = "iob2", earlier: Sequence[str] = ()
) -> DataError:
    check = TagCheck(scheme)
    if earlier:
        check.refuse_broken(earlier, [f"e{n}" for n in range(len(earlier))], "a.jsonl, row 1")
    with pytest.raises(DataError) as caught:
        check.refuse_broken(tags, [f"w{n}" for n in range(len(tags))], "a.jsonl, row 2")
    return caught.value


@pytest.mark.parametrize("tags", [["O", "I-LOC"], ["B-PER", "I-LOC"], ["I-LOC", "I-LOC"]])
def test_refuses_an_entity_that_goes_on_with_nothing(tags: list[str]) -> None:
    """No count of entities would find it."""
    error = _refused(tags, earlier=["O", "B-LOC"])
    assert "row 2, word" in error.where
    assert "in IOB2 every I-X follows" in error.found
    assert "IOB1" not in error.found
    assert "B-LOC" in error.remedy


def test_iob1_is_recognized() -> None:
    """CoNLL 2003 was written so: every second entity would be refused, and nobody told why."""
    error = _refused(["O", "I-LOC", "B-LOC"])
    assert "IOB1" in error.found
    assert "data.tags=iob1" in error.remedy


@given(_rows())
def test_iob1_leaves_iob2_as_it_is_and_mends_beginnings(runs: list[tuple[int, str]]) -> None:
    """Real files in IOB2 hold a few I-X that follow nothing: one setting reads them all."""
    tags = _written(runs, "iob2")
    assert to_iob2(tags, "iob1") == tags
    assert to_iob2(["I-new", *tags], "iob1") == ["B-new", *tags]
    assert "data.tags=iob1" in _refused(["I-new", *tags], earlier=["O", "B-LOC"]).remedy


@pytest.mark.parametrize("tag", ["S-LOC", "E-LOC", "U-LOC", "L-LOC", "M-LOC"])
def test_bioes_and_its_kin_are_recognized(tag: str) -> None:
    """One word says what to do."""
    error = _refused(["O", tag])
    assert "BIOES" in error.found
    assert "data.tags=bioes" in error.remedy


@pytest.mark.parametrize("tag", ["X-LOC", "LOC", "b-LOC", "B-", "NN"])
def test_refuses_tags_of_no_scheme(tag: str) -> None:
    """A class of parts of speech is offered its own setting."""
    error = _refused([tag])
    assert repr(tag) in error.found
    assert "parts of speech" in error.remedy


def test_a_converted_row_that_is_still_broken_is_refused() -> None:
    """E-LOC without a beginning is a mistake in BIOES too; the word is named as it was written."""
    assert "'E-LOC'" in _refused(["O", "E-LOC"], scheme="bioes").found


def test_tags_of_no_scheme_are_not_checked_where_it_is_none() -> None:
    """Parts of speech are tags as well."""
    TagCheck("none").refuse_broken(["NN", "I-am"], ["a", "b"], "here")
    assert to_iob2(["NN", "VB"], "none") == ["NN", "VB"]


def test_classes_hold_the_inner_tag_of_every_type() -> None:
    """The test set may have the first entity of two words of that type."""
    assert tag_names(["B-LOC", "O", "B-a-b"], "iob2") == ["O", "B-LOC", "I-LOC", "B-a-b", "I-a-b"]
    assert tag_names(["VB", "NN"], "none") == ["NN", "VB"]
    assert parted("B-a-b") == ("B", "a-b")
    assert set(get_args(TagScheme)) == {"iob2", "iob1", "bioes", "none"}
