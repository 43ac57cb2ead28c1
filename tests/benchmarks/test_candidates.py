"""The candidates of the benchmark of rerankers: what answers, and what a search takes for it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TOWNS = [f"town{n}" for n in range(30)]


@pytest.fixture
def candidates(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("bm25s", reason="the search is of benchmarks/requirements.txt")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("candidates")


def _lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Questions about towns; every second sentence shares a word with each question."""
    _lines(
        tmp_path / "train_pairs.jsonl",
        [{"text_a": f"who built {t}", "text_b": f"anna built {t}"} for t in TOWNS]
        + [{"text_a": f"who built {TOWNS[0]}", "text_b": f"and boris, {TOWNS[0]}"}],
    )
    _lines(
        tmp_path / "corpus.jsonl",
        [{"_id": str(n), "text": f"clara saw {t}"} for n, t in enumerate(TOWNS)],
    )
    _lines(
        tmp_path / "queries.jsonl",
        [{"_id": f"q{n}", "text": f"who saw {t}"} for n, t in enumerate(TOWNS)],
    )
    _lines(
        tmp_path / "qrels.jsonl",
        [{"query_id": f"q{n}", "corpus_id": str(n), "score": 1} for n in range(len(TOWNS))],
    )
    return tmp_path


def test_each_query_has_its_answers_among_others(
    candidates: Any, data: Path, tmp_path: Path
) -> None:
    """A relevant sentence among the negatives would make a right model wrong."""
    sizes = candidates.Sizes(train=20, dev=5, test=12, learned=4, judged=6)
    candidates.write_candidates(data, tmp_path / "rows", sizes)
    seen: set[str] = set()
    for name, count, size, said in (
        ("train", 20, 4, "built"), ("dev", 5, 6, "built"), ("test", 12, 6, "saw"),
    ):  # fmt: skip
        rows = _read(tmp_path / "rows" / f"{name}.jsonl")
        assert len(rows) == count
        for row in rows:
            town = row["query"].split()[-1]
            assert row["query"] not in seen
            seen.add(row["query"])
            assert len(set(row["passages"])) == size
            right = [town in passage.split() for passage in row["passages"]]
            assert row["labels"] == [int(one) for one in right]
            assert sum(right) == 1 + (town == TOWNS[0] and said == "built")
    places = [row["labels"].index(1) for row in _read(tmp_path / "rows" / "test.jsonl")]
    assert len(set(places)) > 1  # where the answer stands tells nothing
