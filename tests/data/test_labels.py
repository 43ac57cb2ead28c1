"""Labels as class indices in the teacher's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from limbeck.data.labels import encode_labels, label_names, names_from_data
from limbeck.errors import DataError, TeacherError

Make = Callable[..., Any]


def _encoded(texts_of: Make, labels: list[Any], names: list[str], **more: Any) -> list[int]:
    texts = texts_of([f"t{i}" for i in range(len(labels))], labels)
    return encode_labels(texts, names, source="file.csv", **more).tolist()


@pytest.mark.parametrize(
    "labels",
    [["bad", "good"], ["Bad", " GOOD"], [0, 1], [0.0, 1.0], ["0", "1"], ["0.0", "1.0"]],
)
def test_names_integers_and_floats_are_the_same_labels(texts_of: Make, labels: list[Any]) -> None:
    """Pandas writes 1 as 1.0 in a column with gaps; people write Good for good."""
    assert _encoded(texts_of, labels, ["bad", "good"]) == [0, 1]


def test_separators_in_names_do_not_count(texts_of: Make) -> None:
    """card_arrival, card-arrival and Card Arrival are one intent."""
    labels = ["card_arrival", "Card Arrival", "top-up"]
    assert _encoded(texts_of, labels, ["top_up", "card-arrival"]) == [1, 1, 0]


@pytest.mark.parametrize("bare", [None, ""])
def test_rows_without_a_label_are_minus_one_hundred(texts_of: Make, bare: object) -> None:
    """They teach through the teacher alone."""
    assert _encoded(texts_of, [1, bare, 0], ["0", "1"]) == [1, -100, 0]
    assert _encoded(texts_of, [1, bare, 0], ["bad", "good"]) == [1, -100, 0]


@pytest.mark.parametrize("bare", [-1, "-1", -1.0, "-1.0"])
def test_a_split_of_minus_one_alone_is_unlabelled(texts_of: Make, bare: object) -> None:
    """So GLUE writes its test sets."""
    assert _encoded(texts_of, [bare, bare], ["bad", "good"]) == [-100, -100]


@pytest.mark.parametrize("labels", [[-1, 0, 1], ["-1", "1", "0"], [-1.0, 1.0, 1.0]])
def test_refuses_minus_one_among_other_labels(texts_of: Make, labels: list[Any]) -> None:
    """Sentiment coded -1, 0, 1 would lose its negative class and shift the others."""
    with pytest.raises(DataError, match="may mean a class or none"):
        _encoded(texts_of, labels, ["negative", "neutral", "positive"])
    with pytest.raises(DataError, match="may mean a class or none"):
        names_from_data(texts_of(["a", "b", "c"], labels), None, "file")


def test_minus_one_is_a_class_where_a_class_is_named_so(texts_of: Make) -> None:
    """Sentiment is often -1, 0, 1."""
    assert _encoded(texts_of, [-1, 0, 1], ["-1", "0", "1"]) == [0, 1, 2]


def test_integers_are_names_where_classes_are_named_by_integers(texts_of: Make) -> None:
    """Stars from 1 to 3 are no indices from 0 to 2."""
    assert _encoded(texts_of, [3, 1, 2], ["1", "2", "3"]) == [2, 0, 1]


def test_all_splits_are_read_alike(texts_of: Make) -> None:
    """Train with 0, 1, 2 and validation with 1, 2 must not be read by two rules."""
    train = texts_of(["a", "b", "c"], [0, 1, 2])
    names = ["1", "2", "3"]
    assert _encoded(texts_of, [1, 2], names, beside=[train]) == [1, 2]
    assert _encoded(texts_of, [1, 2], names) == [0, 1]


@pytest.mark.parametrize("labels", [["bad", "goud"], [0, 2], [0, 1, -2]])
def test_refuses_labels_unknown_to_the_teacher(texts_of: Make, labels: list[Any]) -> None:
    """It names the file, the rows and what is allowed."""
    with pytest.raises(TeacherError, match=r"file\.csv, rows train/\d") as caught:
        _encoded(texts_of, labels, ["bad", "good"])
    assert "bad, good" in caught.value.remedy


def test_an_unknown_label_gets_the_nearest_name(texts_of: Make) -> None:
    """Typos in labels are the usual cause."""
    with pytest.raises(TeacherError, match="Did you mean 'good'"):
        _encoded(texts_of, ["bad", "goud"], ["bad", "good"])


def test_names_for_a_teacher_without_names_are_asked_for(texts_of: Make) -> None:
    """LABEL_0 says nothing about the order."""
    with pytest.raises(TeacherError, match=r"set data\.labels"):
        _encoded(texts_of, ["bad", "good"], ["LABEL_0", "LABEL_1"])


def test_declared_names_replace_generic_ones() -> None:
    """The user says what the teacher's config does not."""
    assert label_names(("bad", "good"), ["LABEL_0", "LABEL_1"]) == ["bad", "good"]


def test_declared_names_may_differ_in_case() -> None:
    """The teacher's spelling is kept, because the student inherits it."""
    assert label_names(("BAD", "good"), ["bad", "good"]) == ["bad", "good"]


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        (("good", "bad"), "the order differs"),
        (("good", "fair", "bad"), "3 labels, but the teacher tells 2"),
        (("good", "awful"), "the teacher's classes are bad, good"),
    ],
)
def test_refuses_declared_names_that_are_not_the_teachers(
    declared: tuple[str, ...], found: str
) -> None:
    """Integer labels would train towards other classes."""
    with pytest.raises(TeacherError, match=found):
        label_names(declared, ["bad", "good"])


def test_a_new_teacher_gets_its_names_in_number_order(texts_of: Make) -> None:
    """As text, 10 comes before 2."""
    texts = texts_of(["a", "b", "c", "d"], [10, 2, "2.0", None])
    assert names_from_data(texts, None, "file") == ["2", "10"]


@pytest.mark.parametrize("labels", [["x", "x"], [None, None], ["x", None]])
def test_refuses_to_teach_one_class(texts_of: Make, labels: list[Any]) -> None:
    """A model that always says the same is right on all rows and worth nothing."""
    with pytest.raises(DataError, match=r"every labelled row has|no row has a label"):
        names_from_data(texts_of(["a", "b"], labels), None, "file")
