"""`limbeck predict` with a reranker: the scores and ranks of passages, in the order of the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TextIO

from limbeck.config.recipe import DataConfig
from limbeck.data.candidates import Candidates
from limbeck.data.ranked_rows import Asking, asked_in
from limbeck.data.read import Row
from limbeck.serve.predictor import Prediction, Predictor

_QUERIES = 512
"""Rows of lists whose answers are in memory at a time."""


def write_ranks(
    predictor: Predictor, rows: Iterable[Row], source: str, data: DataConfig, stream: TextIO
) -> None:
    """Rank the passages of every row: a line a row.

    Rows that list a query's passages are answered as they come: with the lists of scores and
    ranks. Rows that are pairs are answered once all have been read, because those of a query are
    ranked together: each with its score and its rank among them.

    Args:
        predictor: Of a run that ranks.
        rows: Of the file.
        source: What it is called in messages.
        data: Columns.
        stream: Where the lines go.
    """
    askings = asked_in(rows, source, data)
    first = next(askings, None)
    if first is None:
        return
    whole = chain([first], askings)
    lines = _of_lists(predictor, whole) if first.listed else _of_pairs(predictor, list(whole))
    stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _of_lists(predictor: Predictor, askings: Iterator[Asking]) -> Iterator[dict]:
    while part := list(islice(askings, _QUERIES)):
        items = [Candidates(one.query, _passages(one)) for one in part]
        for asking, told in zip(part, predictor.predict(items), strict=True):
            scores = [round(score, 6) for score in told.scores]
            yield _named(asking) | {"scores": scores, "ranks": list(told.ranks)}


def _of_pairs(predictor: Predictor, askings: list[Asking]) -> Iterator[dict]:
    """Answers in the order of the rows; equal passages of a query share a score and a rank."""
    passages: dict[tuple[str | None, str], dict[str, int]] = {}
    for one in askings:
        own = passages.setdefault((one.id, one.query), {})
        for passage in _passages(one):
            own.setdefault(passage, len(own))
    items = [Candidates(query, tuple(own)) for (_, query), own in passages.items()]
    told: dict[tuple[str | None, str], Prediction] = dict(
        zip(passages, predictor.predict(items), strict=True)
    )
    for one in askings:
        key = (one.id, one.query)
        for passage in _passages(one):
            place = passages[key][passage]
            score, rank = told[key].scores[place], told[key].ranks[place]
            yield _named(one) | {"score": round(score, 6), "rank": rank}


def _named(asking: Asking) -> dict:
    return {} if asking.id is None else {"query_id": asking.id}


def _passages(asking: Asking) -> tuple[str, ...]:
    return tuple(passage for passage, _ in asking.graded)
