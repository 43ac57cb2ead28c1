"""What stands in a label column, and what is refused there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limbeck.data.raw_labels import is_list, label_sets, one_label, scores
from limbeck.errors import DataError


@pytest.mark.parametrize(
    ("cell", "read"),
    [("a", "a"), (3, "3"), (3.0, "3"), ("", None), (None, None), (float("nan"), None)],
)
def test_a_single_label_is_read_as_written(cell: Any, read: str | None) -> None:
    """3.0 is what a table with gaps makes of 3; an empty cell is no class of its own."""
    assert one_label(cell, "f, row 1") == read


@pytest.mark.parametrize("cell", [["a", "b"], {"a": 1}])
def test_refuses_a_list_as_a_single_label(cell: Any) -> None:
    """A softmax would train towards the class of that very list."""
    with pytest.raises(DataError, match=r"(?s)f, row 1.*task=multi_label"):
        one_label(cell, "f, row 1")


@pytest.mark.parametrize(
    ("separator", "cell", "read"),
    [
        (None, ["b", "a", "b"], ["a", "b"]),
        (None, '["b", "a"]', ["a", "b"]),
        (None, (), []),
        (None, [2, 7], ["2", "7"]),
        ("#", "b#a", ["a", "b"]),
        ("#", "b # a", ["a", "b"]),
        ("#", 3.0, ["3"]),
        ("#", ["a"], ["a"]),
        (",", '["a, b"]', ["a, b"]),
    ],
)
def test_labels_are_a_set_however_they_are_written(
    separator: str | None, cell: Any, read: list[str]
) -> None:
    """Order and repetition say nothing, and an empty list says that no label applies."""
    found = label_sets(separator)(cell, "f, row 1")
    assert found is not None
    assert json.loads(found) == read


def test_a_row_without_labels_is_not_a_row_to_which_none_apply() -> None:
    """The one is for the teacher alone, the other teaches 0 for every class."""
    assert label_sets(None)(None, "f, row 1") is None
    assert label_sets("#")("", "f, row 1") is None
    assert label_sets(None)([], "f, row 1") == "[]"


@pytest.mark.parametrize(
    ("separator", "cell", "match"),
    [
        (None, "a#b", "label_separator"),
        (None, 3, "no list"),
        ("#", "a##b", "empty"),
        (None, ["a", None], "empty"),
        (None, ["a", ["b"]], "itself a list"),
        (None, "[a, b]", "no JSON list"),
        (None, [0, 1, 0], "a 0 or 1 for every class"),
        (None, [0.0, 0.0, 1.0, 0.0], "a 0 or 1 for every class"),
    ],
)
def test_refuses_what_is_no_set_of_labels(separator: str | None, cell: Any, match: str) -> None:
    """A joined string would be one strange class; a 0 or 1 a class would be the classes 0 and 1."""
    with pytest.raises(DataError, match=match):
        label_sets(separator)(cell, "f, row 1")


@pytest.mark.parametrize(("cell", "read"), [(3, 3.0), ("2.5", 2.5), ("", None), (None, None)])
def test_a_score_is_a_number(cell: Any, read: float | None) -> None:
    """CSV files hold text."""
    found = scores(0.0, 5.0)(cell, "f, row 1")
    assert (None if found is None else float(found)) == read


@pytest.mark.parametrize(
    ("cell", "match"),
    [
        ("good", "task=single_label"), ([1.0], "no number"), (float("nan"), "finite"),
        (float("inf"), "finite"), (5.1, "score_range"), (-0.1, "score_range"),
    ],
)  # fmt: skip
def test_refuses_what_is_no_score(cell: Any, match: str) -> None:
    """A NaN would count as unlabelled and a score of another scale would lead the whole head."""
    with pytest.raises(DataError, match=match):
        scores(0.0, 5.0)(cell, "f, row 1")


def test_without_a_range_any_finite_score_is_one() -> None:
    """Prices have no bounds that anybody would write down."""
    assert scores(None, None)(-1e9, "f, row 1") == "-1000000000.0"


def test_lists_are_told_from_texts_that_begin_like_one() -> None:
    """The task is guessed from it where nothing names one."""
    assert is_list('["a"]')
    assert not any(map(is_list, ["[sic] fine", "a", None, 3, '{"a": 1}']))
