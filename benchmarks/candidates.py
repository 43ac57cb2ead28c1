"""Queries with candidates of reqa_squad: sentences that answer, and what BM25 takes for them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.data.read import read_rows


@dataclass(frozen=True)
class Sizes:
    """How much of the set is used.

    Attributes:
        train: Queries to learn from, of train_pairs.
        dev: Queries that choose the best state, likewise.
        test: Queries that judge, of queries and qrels.
        learned: Candidates of a training query.
        judged: Candidates of the others.
    """

    train: int = 1000
    dev: int = 100
    test: int = 400
    learned: int = 8
    judged: int = 12


def write_candidates(data: Path, folder: Path, sizes: Sizes) -> None:
    """train.jsonl, dev.jsonl and test.jsonl of query, passages and labels.

    The sentences of train_pairs are searched for its questions, those of corpus for the others, so
    that no sentence is in both. Sentences that the search puts first and nobody calls relevant are
    the negatives; some may answer nevertheless, as in every set that is made so.

    Args:
        data: The folder of reqa_squad.
        folder: Where the files go.
        sizes: How many.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = list(read_rows(str(data / "train_pairs.jsonl")))
    sentences = list(dict.fromkeys(pair["text_b"] for pair in pairs))
    places = {sentence: place for place, sentence in enumerate(sentences)}
    relevant: dict[str, set[int]] = {}
    for pair in pairs:
        relevant.setdefault(pair["text_a"], set()).add(places[pair["text_b"]])
    drawn = random.Random(0).sample(sorted(relevant), sizes.train + sizes.dev)
    for name, queries, count in (
        ("train", drawn[: sizes.train], sizes.learned),
        ("dev", drawn[sizes.train :], sizes.judged),
    ):
        _write(folder / f"{name}.jsonl", _with_negatives(queries, relevant, sentences, count))
    asked, answers, documents = _test_rows(data)
    queries = random.Random(0).sample(sorted(asked), sizes.test)
    found = {asked[query]: answers[query] for query in queries}
    rows = _with_negatives(list(found), found, documents, sizes.judged)
    _write(folder / "test.jsonl", rows)


def _test_rows(data: Path) -> tuple[dict[str, str], dict[str, set[int]], list[str]]:
    """Queries by id, the places of what answers them, and all sentences."""
    corpus = list(read_rows(str(data / "corpus.jsonl")))
    places = {row["_id"]: place for place, row in enumerate(corpus)}
    answers: dict[str, set[int]] = {}
    for row in read_rows(str(data / "qrels.jsonl")):
        answers.setdefault(row["query_id"], set()).add(places[row["corpus_id"]])
    rows = read_rows(str(data / "queries.jsonl"))
    return {row["_id"]: row["text"] for row in rows}, answers, [row["text"] for row in corpus]


def _with_negatives(
    queries: Sequence[str], relevant: dict[str, set[int]], sentences: Sequence[str], count: int
) -> list[dict[str, Any]]:
    """A row a query, of `count` candidates in an order that tells nothing."""
    import bm25s

    search = bm25s.BM25()
    search.index(bm25s.tokenize(list(sentences), show_progress=False), show_progress=False)
    most = count + max(len(relevant[query]) for query in queries)
    asked = bm25s.tokenize(list(queries), show_progress=False)
    found, _ = search.retrieve(asked, k=most, show_progress=False)
    rows, order = [], random.Random(1)
    for query, near in zip(queries, found.tolist(), strict=True):
        own = sorted(relevant[query])[: count - 1]
        others = [place for place in near if place not in relevant[query]]
        candidates = [*own, *others[: count - len(own)]]
        order.shuffle(candidates)
        rows.append(
            {
                "query": query,
                "passages": [sentences[place] for place in candidates],
                "labels": [int(place in relevant[query]) for place in candidates],
            }
        )
    return rows


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
