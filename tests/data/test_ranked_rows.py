"""Queries and their candidates are the same in whatever shape they are written."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.ranked_rows import Query, holds_candidates, read_queries
from limbeck.errors import DataError

Row = dict[str, Any]
RIVER = Query("7", "which river", ("the Rhine", "a dog", "rain"), (1.0, 0.0, 0.0))


def _read(rows: list[Row], **data: Any) -> list[Query]:
    return read_queries(rows, "f", DataConfig.model_validate(data))


SHAPES: dict[str, list[Row]] = {
    "labelled lists": [
        {"qid": 7, "query": "which river", "passages": ["the Rhine", "a dog", "rain"],
         "labels": [1, 0, 0]}
    ],
    "sides": [
        {"query_id": "7", "query": "which river", "positives": ["the Rhine"],
         "negatives": ["a dog", "rain"]}
    ],
    "one positive": [
        {"query_id": "7", "question": "which river", "positive": "the Rhine",
         "negative": ["a dog", "rain"]}
    ],
    "triplets": [
        {"query_id": "7", "anchor": "which river", "positive": "the Rhine", "negative": "a dog"},
        {"query_id": "7", "anchor": "which river", "positive": "the Rhine", "negative": "rain"},
    ],
    "numbered negatives": [
        {"query_id": "7", "anchor": "which river", "positive": "the Rhine",
         "negative_1": "a dog", "negative_2": "rain"}
    ],
    "MS MARCO": [
        {"query_id": 7, "query": "which river",
         "passages": {"is_selected": [1, 0, 0], "passage_text": ["the Rhine", "a dog", "rain"]}}
    ],
    "pairs": [
        {"query_id": 7, "query": "which river", "passage": "the Rhine", "label": 1},
        {"query_id": 7, "query": "which river", "passage": "a dog", "label": "0"},
        {"query_id": 7, "query": "which river", "passage": "rain", "label": 0.0},
    ],
    "pairs of named columns": [
        {"nr": "7", "q": "which river", "p": "the Rhine", "grade": True},
        {"nr": "7", "q": "which river", "p": "a dog", "grade": False},
        {"nr": "7", "q": "which river", "p": "rain", "grade": 0},
    ],
}  # fmt: skip
NAMED = {"query_id_column": "nr", "text_column": "q", "pair_column": "p", "label_column": "grade"}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_usual_shape_is_the_same_query(shape: str) -> None:
    """A data set that must be rewritten first is not tried."""
    data = NAMED if "named" in shape else {}
    assert _read(SHAPES[shape], **data) == [RIVER]
    assert holds_candidates(SHAPES[shape][0], DataConfig.model_validate(data))


@pytest.mark.parametrize(
    "row",
    [
        {"query": "which river", "passage": "the Rhine", "label": 1},
        {"text_a": "a", "text_b": "b", "score": 3.5},
        {"text": "a", "query_id": 3, "label": 1},
        {"text": "a", "label": 1},
        {"question": "who", "context": "a", "answers": {"text": [], "answer_start": []}},
    ],
)
def test_other_rows_are_no_queries(row: Row) -> None:
    """Pairs with a number are a regression, as they have always been."""
    assert not holds_candidates(row, DataConfig())


def test_without_ids_equal_queries_are_one() -> None:
    """Each pair alone is a list of one candidate, which teaches nothing."""
    rows = [
        {"query": "a", "passage": "p", "label": 1},
        {"query": "b", "passage": "p", "label": 0},
        {"query": "a", "passage": "q"},
    ]
    assert _read(rows) == [
        Query("1", "a", ("p", "q"), (1.0, None)),
        Query("2", "b", ("p",), (0.0,)),
    ]


def test_a_passage_that_comes_twice_is_one() -> None:
    """Its share of the query's softmax would be doubled."""
    rows = [{"query": "a", "passages": ["p", "q", "p"], "labels": [1, 0, None]}]
    assert _read(rows) == [Query("1", "a", ("p", "q"), (1.0, 0.0))]


def test_texts_are_cleaned_before_they_are_compared() -> None:
    """At prediction they are cleaned too, and a query in two spellings is one."""
    rows = [
        {"query": "a  b", "passage": "p", "label": 1},
        {"query": "a b ", "passage": "q", "label": 0},
    ]
    assert len(_read(rows)) == 2
    (query,) = _read(rows, clean={"white_space": True})
    assert (query.query, query.passages) == ("a b", ("p", "q"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"query": " ", "passages": ["p"]}, "row 1: the query in column 'query' is ' '"),
        ({"query": "a", "passages": ["p", ""]}, "row 1: a passage is ''"),
        ({"query": "a", "passages": [{"text": "p"}]}, "a passage is {'text': 'p'}"),
        ({"query": "a", "positives": [], "negatives": None}, "its query has no passage"),
        ({"query": "a", "passages": []}, "its query has no passage"),
        ({"query": "a", "passages": ["p", "q"], "labels": [1]}, "2 passages have 1 labels"),
        ({"query": "a", "passages": ["p"], "labels": [-1]}, "a label is -1, which is no relevance"),
        ({"query": "a", "passages": ["p"], "labels": [float("nan")]}, "a label is nan"),
        ({"query": "a", "passages": ["p"], "labels": ["yes"]}, "a label is 'yes'"),
        ({"query": "a", "passages": ["p", "p"], "labels": [1, 0]}, "has the grade 0 .* and 1 too"),
        ({"query": "a", "passages": ["\ud800"]}, "half a character"),
        ({"query_id": 1, "text": "a", "label": 1}, "it has no passages"),
        ({"headline": "a"}, "no column looks like the text"),
    ],
)
def test_refuses_what_is_no_query(row: Row, message: str) -> None:
    """Skipped, it would be missed by nobody; kept, it would train towards a wrong order."""
    with pytest.raises(DataError, match=message):
        _read([row])


def test_refuses_one_id_of_two_queries() -> None:
    """Candidates of one question would be compared with those of another."""
    rows = [{"qid": 1, "query": q, "passage": "p", "label": 1} for q in ("a", "b")]
    with pytest.raises(DataError, match="row 2: its query is 'b', but an earlier row"):
        _read(rows)


def test_refuses_no_rows() -> None:
    """An empty set would end in a division by zero."""
    with pytest.raises(DataError, match="there is no query"):
        _read([])
