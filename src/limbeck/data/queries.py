"""Queries as the rows of a split: on disk with the lists of their candidates, grades in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from limbeck.data.list_rows import list_offsets
from limbeck.data.per_query import RankTargets
from limbeck.data.ranked_rows import Query
from limbeck.data.spool import SpoolWriter
from limbeck.data.texts import Texts

_CHUNK = 1024


def gather_queries(
    name: str, queries: Iterable[Query], *, labels: bool, folder: Path | None = None
) -> Texts:
    """The queries as `Texts`: pairs of a query and the JSON list of its passages.

    Args:
        name: The split's name, the first part of every id; the query's own is the rest.
        queries: What `read_queries` gives.
        labels: Whether to keep the grades.
        folder: On whose disk the texts are kept while the process needs them.
    """
    named = (replace(query, id=f"{name}/{query.id}") for query in queries)
    return _gathered(name, named, labels=labels, folder=folder)


def _gathered(name: str, queries: Iterable[Query], *, labels: bool, folder: Path | None) -> Texts:
    """The same of queries whose ids are those of the rows."""
    writer, places, codes = SpoolWriter(folder), dict[str, int](), []
    for query in queries:
        passages = json.dumps(query.passages, ensure_ascii=False)
        writer.add(query.id, query.query, passages)
        if not labels or all(grade is None for grade in query.grades):
            codes.append(-1)
            continue
        written = json.dumps(query.grades)
        codes.append(places.setdefault(written, len(places)))
    return Texts(
        name,
        writer.finish(),
        tuple(places),
        np.array(codes, dtype=np.int32),
        paired=True,
        listed=True,
    )


def rank_targets(texts: Texts) -> RankTargets:
    """The grades of a split's candidates; none of a query that lacks one.

    Args:
        texts: Of `gather_queries`.
    """
    offsets = list_offsets(texts)
    grades = np.full(offsets[-1], np.nan, dtype=np.float32)
    known = [np.array(json.loads(written), dtype=np.float32) for written in texts.written]
    for row, code in enumerate(texts.codes.tolist()):
        if code >= 0 and not np.isnan(known[code]).any():
            grades[offsets[row] : offsets[row + 1]] = known[code]
    return RankTargets(grades, offsets)


def fewer_candidates(texts: Texts, most: int, *, seed: int, folder: Path | None) -> Texts:
    """The queries with at most so many candidates each, drawn by seed and query alone.

    At most half of them, but all of fewer, are relevant ones, the best first; the others are drawn
    from all that is left, so that they are as hard as the whole list is.

    Args:
        texts: Of `gather_queries`.
        most: Candidates of a query, at least 2.
        seed: Of the drawing.
        folder: On whose disk the texts are kept while the process needs them.
    """
    counts = np.diff(list_offsets(texts))
    if not (counts > most).any():
        return texts
    queries = _cut(texts, most, seed)
    return _gathered(texts.name, queries, labels=True, folder=folder)


def _cut(texts: Texts, most: int, seed: int) -> Iterator[Query]:
    for start in range(0, len(texts), _CHUNK):
        part = slice(start, start + _CHUNK)
        columns = (texts.ids[part], texts.texts[part], texts.pairs[part])
        for identity, query, written, code in zip(
            *columns, texts.codes[part].tolist(), strict=True
        ):
            passages = json.loads(written)
            grades: list[float | None] = [None] * len(passages)
            if code >= 0:
                grades = json.loads(texts.written[code])
            kept = range(len(passages))
            if len(passages) > most:
                kept = _drawn(grades, most, _generator(seed, query))
            yield Query(
                identity,
                query,
                tuple(passages[place] for place in kept),
                tuple(grades[place] for place in kept),
            )


def _generator(seed: int, query: str) -> np.random.Generator:
    digest = hashlib.blake2b(query.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])


def _drawn(grades: list[float | None], most: int, generator: np.random.Generator) -> list[int]:
    values = np.array([grade or 0.0 for grade in grades])
    relevant = np.flatnonzero(values > 0)
    best = relevant[np.argsort(-values[relevant], kind="stable")]
    others = generator.permutation(np.flatnonzero(values == 0))
    first = best[: max(most // 2, most - len(others))]
    return sorted([*first.tolist(), *others[: most - len(first)].tolist()])
