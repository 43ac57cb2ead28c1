"""Bulk answers: sorted and computed side by side, and in the user's order again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from limbeck.runtime.bulk import answer_all, answer_windows, batches_of
from limbeck.runtime.tokens import Tokens, flat


class Counting:
    """Answers a text of n words with [n, its first word's number]; late texts come first."""

    def __init__(self, *, workers: int, batch_tokens: int = 20) -> None:
        self.workers = workers
        self.batch_tokens = batch_tokens
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.tokenized = 0
        self.broken: int | None = None

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        return self.logits_of(self.tokens(texts), np.arange(len(texts)))

    def tokens(self, texts: Sequence[str]) -> Tokens:
        self.tokenized += 1
        return flat([[int(word) for word in text.split()] for text in texts], None)

    def logits_of(self, tokens: Tokens, rows: np.ndarray) -> np.ndarray:
        self.threads.add(threading.get_ident())
        self.batches.append(tokens.lengths[rows].tolist())
        firsts = tokens.ids[tokens.offsets[rows]]
        if self.broken in firsts:
            raise RuntimeError("no such operator")
        time.sleep(0.0005 * float(np.random.default_rng(len(self.batches)).random()))
        return np.stack([tokens.lengths[rows], firsts], axis=1).astype(np.float32)


def _texts(count: int) -> list[str]:
    lengths = np.random.default_rng(0).integers(1, 12, count)
    return [" ".join([str(place)] * length) for place, length in enumerate(lengths)]


def _expected(texts: Sequence[str]) -> list[list[float]]:
    return [[len(text.split()), float(text.split()[0])] for text in texts]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 30])
def test_the_order_is_the_users(workers: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below, at and above a window's end: a shifted answer is a wrong answer with a good score."""
    monkeypatch.setattr("limbeck.runtime.bulk.WINDOW", 8)
    texts = _texts(count)
    assert answer_all(Counting(workers=workers), texts).tolist() == _expected(texts)


def test_batches_keep_to_the_budget_and_pad_little() -> None:
    """A batch over the budget leaves the cache; a row in the wrong batch is padded."""
    lengths = np.random.default_rng(0).integers(1, 40, 1000)
    batches = batches_of(lengths, 200)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    padded = [len(rows) * int(lengths[rows].max()) for rows in batches]
    assert max(padded) <= 200
    assert sum(padded) < 1.03 * lengths.sum()


def test_a_text_over_the_budget_is_a_batch_of_its_own() -> None:
    """The longest texts are answered, too."""
    assert [rows.tolist() for rows in batches_of(np.array([3, 99, 98]), 10)] == [[1], [2], [0]]


def test_the_next_window_is_tokenized_while_one_is_computed() -> None:
    """Two windows are begun when the first is out, and never a third: memory stays flat."""
    answerer = Counting(workers=2)
    read = 0

    def windows() -> Iterator[list[str]]:
        nonlocal read
        for _ in range(50):
            read += 1
            yield _texts(10)

    for number, _ in enumerate(answer_windows(answerer, windows()), start=1):
        assert read == answerer.tokenized == min(number + 1, 50)


def test_torch_is_called_from_its_callers_thread_alone() -> None:
    """It uses all cores for a batch already; a second thread of torch's only costs."""
    answerer = Counting(workers=1)
    list(answer_windows(answerer, [_texts(9), _texts(9)]))
    assert answerer.threads == {threading.get_ident()}


@pytest.mark.parametrize("workers", [1, 2])
def test_windows_before_a_failure_are_answered(workers: int) -> None:
    """A broken line at the end of a file must not cost what stands before it."""

    def windows() -> Iterator[list[str]]:
        yield _texts(5)
        yield _texts(6)
        raise ValueError("line 12 is broken")

    got: list[int] = []
    with pytest.raises(ValueError, match="line 12 is broken"):
        got.extend(len(part) for part in answer_windows(Counting(workers=workers), windows()))
    assert got == [5, 6]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_runtime_is_told_and_ends_the_workers(workers: int) -> None:
    """An exception that a pool keeps to itself leaves answers of zeros."""
    answerer = Counting(workers=workers)
    answerer.broken = 4
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no such operator"):
        answer_all(answerer, _texts(200))
    assert threading.active_count() == before


def test_a_stream_that_is_left_ends_its_workers() -> None:
    """Who takes the first answers and leaves must not wait for the rest."""
    answerer = Counting(workers=2, batch_tokens=1)
    before = threading.active_count()
    stream = answer_windows(answerer, [_texts(3), _texts(2000), _texts(2000)])
    next(stream)
    stream.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert threading.active_count() == before
    assert len(answerer.batches) < 2003
