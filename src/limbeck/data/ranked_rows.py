"""Queries and their candidates, as rows of any of the usual shapes hold them.

A row is a query with lists of passages, or one pair of a query and a passage; pairs of one query
are found by its id, or by its text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.config.recipe import DataConfig
from limbeck.data.clean import cleaner
from limbeck.data.columns import PAIR_COLUMNS, find, known, text_columns
from limbeck.data.read import Row
from limbeck.errors import DataError

QUERY_COLUMNS = ("query", "question", "anchor", "text", "sentence")
ID_COLUMNS = ("query_id", "qid", "query-id")
_PASSAGES = ("passages", "documents", "docs", "candidates", "texts")
_POSITIVES = ("positives", "positive", "pos", "positive_passages")
_NEGATIVES = ("negatives", "negative", "neg", "negative_passages")
_NUMBERED = re.compile(r"negative_\d+")
_GRADES = ("labels", "relevance", "scores", "grades", "label", "score", "grade")
_IN_DICT = (("passage_text", "text", "passages"), ("is_selected", "label", "labels"))
_SHOWN = 60
_SHAPES = (
    'Write {"query": "…", "positives": ["…"], "negatives": ["…"]}, or {"query": "…", '
    '"passages": ["…", "…"], "labels": [1, 0]}, or a row a pair: {"query_id": 7, "query": "…", '
    '"passage": "…", "label": 1}.'
)

Graded = tuple[str, float | None]
"""A passage and how well it answers: 0 not at all, more the better; None where nobody has said."""


@dataclass(frozen=True)
class Asking:
    """What one row says: a query, and some of its candidates.

    Attributes:
        id: The query's, or None where the row names none.
        query: Its text.
        graded: The candidates.
        listed: Whether they are all of the row's query, or one of them.
    """

    id: str | None
    query: str
    graded: tuple[Graded, ...]
    listed: bool


@dataclass(frozen=True)
class Query:
    """A query and all its candidates.

    Attributes:
        id: Unique in its file.
        query: Its text.
        passages: Each once.
        grades: Of each, how well it answers; None where nobody has said.
    """

    id: str
    query: str
    passages: tuple[str, ...]
    grades: tuple[float | None, ...]


def holds_candidates(row: Row, data: DataConfig) -> bool:
    """Whether a row looks like a query with its candidates, or a pair that names its query."""
    if known(row, QUERY_COLUMNS) is not None and _lists(row):
        return True
    paired = data.pair_column is not None or any(
        known(row, (one,)) is not None and known(row, (other,)) is not None
        for one, other in PAIR_COLUMNS
    )
    return paired and _id_column(row, data) is not None


def asked_in(rows: Iterable[Row], source: str, data: DataConfig) -> Iterator[Asking]:
    """What each row says, cleaned.

    Args:
        rows: What `read_rows` gives.
        source: The file, for messages.
        data: Columns and cleaning.

    Raises:
        DataError: For a query or passage that is missing or empty, and for a grade that is no
            number, or below 0: the student would learn to put the best candidate last.
    """
    clean = cleaner(data.clean)
    for number, row in enumerate(rows, start=1):
        where = f"{source}, row {number}"
        listed = _lists(row)
        if listed:
            query = find(row, data.text_column, QUERY_COLUMNS, source, "text")
            graded = _of_lists(row, data, where)
        else:
            columns = text_columns(row, data, source)
            if columns.pair is None:
                raise DataError(
                    where,
                    f"it has no passages; the columns are {', '.join(map(str, row))}",
                    _SHAPES,
                )
            query = columns.text
            graded = [(row.get(columns.pair), _cell(row, data.label_column, _GRADES))]
        column = _id_column(row, data)
        told = None if column is None else row.get(column)
        yield Asking(
            None if told is None or told == "" else str(told),
            _text(row.get(query), clean, where, f"the query in column {query!r}"),
            tuple((_text(text, clean, where, "a passage"), _grade(cell, where))
                  for text, cell in graded),
            listed,
        )  # fmt: skip


def read_queries(
    rows: Iterable[Row], source: str, data: DataConfig, *, before: int = 0
) -> list[Query]:
    """The queries of all rows, each once, with all its candidates.

    Args:
        rows: What `read_rows` gives.
        source: The file, for messages.
        data: Columns and cleaning.
        before: Rows that have this split's ids already.

    Raises:
        DataError: As `asked_in`; also for one id of two queries, and for one passage of a query
            with two grades.
    """
    queries: dict[str, tuple[str, str, dict[str, float | None]]] = {}
    for number, asking in enumerate(asked_in(rows, source, data), start=1):
        where = f"{source}, row {number}"
        key = f"text {asking.query}" if asking.id is None else f"id {asking.id}"
        name = str(before + number) if asking.id is None else asking.id
        _, query, grades = queries.setdefault(key, (name, asking.query, {}))
        if query != asking.query:
            raise DataError(
                where,
                f"its query is {asking.query[:_SHOWN]!r}, but an earlier row of the id "
                f"{asking.id!r} asks {query[:_SHOWN]!r}",
                "Give each query an id of its own.",
            )
        for passage, grade in asking.graded:
            earlier = grades.get(passage)
            if None not in (grade, earlier) and grade != earlier:
                raise DataError(
                    where,
                    f"the passage {passage[:_SHOWN]!r} has the grade {grade:g} for the query "
                    f"{query[:_SHOWN]!r}, and {earlier:g} too",
                    "Keep one of them.",
                )
            grades[passage] = earlier if grade is None else grade
    if not queries:
        raise DataError(source, "there is no query", "Give a file with at least one.")
    return [Query(one, query, tuple(g), tuple(g.values())) for one, query, g in queries.values()]


def _lists(row: Row) -> bool:
    """Whether a row lists its query's candidates."""
    passages = _cell(row, None, _PASSAGES)
    return isinstance(passages, list | tuple | Mapping) or known(row, _POSITIVES) is not None


def _id_column(row: Row, data: DataConfig) -> str | None:
    if data.query_id_column is not None:
        return find(row, data.query_id_column, (), "data.query_id_column", "query_id")
    return known(row, ID_COLUMNS)


def _cell(row: Row, given: str | None, names: Sequence[str]) -> Any:
    column = known(row, names) if given is None else given
    return None if column is None else row.get(column)


def _of_lists(row: Row, data: DataConfig, where: str) -> list[tuple[Any, Any]]:
    """The passages of a row and their grades, as they are written."""
    passages = _cell(row, data.pair_column, _PASSAGES)
    if isinstance(passages, Mapping):  # MS MARCO's own rows
        passages, grades = (_cell(passages, None, names) for names in _IN_DICT)
    else:
        grades = _cell(row, data.label_column, _GRADES)
    if passages is None:
        sides = [(_cell(row, None, _POSITIVES), 1.0), (_cell(row, None, _NEGATIVES), 0.0)]
        sides += [(row[name], 0.0) for name in row if _NUMBERED.fullmatch(str(name))]
        found = [(text, grade) for texts, grade in sides for text in _several(texts)]
    else:
        texts = _several(passages)
        several = [None] * len(texts) if grades is None else _several(grades)
        if len(several) != len(texts):
            raise DataError(
                where,
                f"{len(texts)} passages have {len(several)} labels",
                "Give each passage its label, or leave labels out.",
            )
        found = list(zip(texts, several, strict=True))
    if not found:
        raise DataError(where, "its query has no passage", "Delete the row, or give it passages.")
    return found


def _several(cell: Any) -> list[Any]:
    if cell is None:
        return []
    return list(cell) if isinstance(cell, list | tuple) else [cell]


def _text(text: Any, clean: Any, where: str, what: str) -> str:
    cleaned = clean(text) if isinstance(text, str) else ""
    if not cleaned.strip():
        raise DataError(
            where, f"{what} is {text!r}", "Delete it; a text has at least one visible character."
        )
    try:
        cleaned.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            where,
            f"{what} holds half a character ({cleaned[error.start]!a})",
            "Delete it from the text, or clean texts with --set data.clean.unicode=true.",
        ) from None
    return cleaned


def _grade(cell: Any, where: str) -> float | None:
    if cell is None or cell == "":
        return None
    try:
        grade = float(cell)
    except (TypeError, ValueError):
        grade = math.nan
    if not (math.isfinite(grade) and grade >= 0):
        raise DataError(
            where,
            f"a label is {cell!r}, which is no relevance",
            "Write 0 for a passage that does not answer, 1 (or more, the better it does) for one "
            "that does, and nothing where nobody has said.",
        )
    return grade
