"""Texts are read from disk again and again, never held as a whole."""

from __future__ import annotations

import errno
import hashlib
import io
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.config.recipe import DataConfig
from limbeck.data.labels import encode_labels
from limbeck.data.raw_labels import ONE_LABEL
from limbeck.data.split import without_leaks
from limbeck.data.spool import Spool, SpoolWriter, spooled_mb
from limbeck.data.texts import Texts, gather
from limbeck.errors import OutputError


def _spool(texts: list[str], folder: Path | None = None) -> Spool:
    writer = SpoolWriter(folder)
    for number, text in enumerate(texts):
        writer.add(f"x/{number}", text)
    return writer.finish()


def _rows(spool: Spool, rows: range | None = None) -> list[tuple[str, str]]:
    batches = list(spool.batches(rows))
    return [
        (row["id"], row["text"]) for batch in batches for row in batch.to_pylist() if batch.num_rows
    ]


@settings(deadline=None, max_examples=100)
@given(
    texts=st.lists(st.text(max_size=5), min_size=1, max_size=30),
    start=st.integers(0, 30),
    length=st.integers(0, 30),
    kept=st.sets(st.integers(0, 29)),
)
def test_rows_come_back_as_they_were_put_in(
    texts: list[str], start: int, length: int, kept: set[int]
) -> None:
    """A row at the seam of two batches that is lost or doubled shifts every label after it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck.data.spool._ROWS", 4)
        patch.setattr("limbeck.data.spool._CHARACTERS", 9)
        spool = _spool(texts)
        expected = [(f"x/{number}", text) for number, text in enumerate(texts)]
        assert (len(spool), _rows(spool)) == (len(texts), expected)
        start = min(start, len(texts))
        end = min(start + length, len(texts))
        assert _rows(spool, range(start, end)) == expected[start:end]
        places = np.array(sorted(place for place in kept if place < len(texts)), dtype=np.int64)
        taken = spool.take(places)
        assert _rows(taken) == [expected[place] for place in places]
        assert _rows(taken + spool) == [expected[place] for place in places] + expected


def test_long_texts_make_no_large_batch() -> None:
    """16,384 documents of a megabyte each would be read as one batch."""
    spool = _spool(["x" * 1_000_000] * 20)
    assert max(batch.num_rows for batch in spool.batches()) == 5


def test_nothing_is_left_on_disk(tmp_path: Path) -> None:
    """A killed run would leave a copy of the user's texts that nobody knows of."""
    folder = tmp_path / "knowledge" / "tokens"
    spool = _spool(["a", "b"], folder)
    assert list(tmp_path.iterdir()) == []
    assert [text for _, text in _rows(spool)] == ["a", "b"]


def test_a_folder_of_somebody_else_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished answers may be read from a folder in which nothing may be written."""
    real: Any = tempfile.TemporaryFile

    def refused(dir: Path | None = None) -> Any:
        if dir is not None:
            raise PermissionError(errno.EACCES, "denied")
        return real()

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert _rows(_spool(["a"], tmp_path)) == [("x/0", "a")]


class _FullDisk(io.BytesIO):
    def write(self, content: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback about a file without a name tells nobody what to do."""
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir=None: _FullDisk())
    with pytest.raises(OutputError, match="the disk is full"):
        _spool(["a"], tmp_path)


def test_the_fingerprint_is_that_of_ids_and_then_texts() -> None:
    """Recorded answers are found by it: another one, and a teacher is asked everything again."""
    rows = [{"text": text} for text in ("a", "", "ü b") if text]
    texts = gather("train", rows, "memory", DataConfig(), labels=None)
    content = b"train/1\x00train/2\x00a\x00" + "ü b".encode() + b"\x00"
    assert texts.fingerprint() == hashlib.blake2b(content, digest_size=16).hexdigest()


def test_columns_are_read_by_row_and_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report shows texts of single rows; the wrong one would be a lie about the student."""
    monkeypatch.setattr("limbeck.data.spool._ROWS", 4)
    rows = [{"text": f"t{number}"} for number in range(10)]
    texts = gather("test", rows, "memory", DataConfig(), labels=None)
    expected = [f"t{number}" for number in range(10)]
    assert [texts.texts[row] for row in (9, 0, 4, -1)] == ["t9", "t0", "t4", "t9"]
    assert texts.texts[3:9] == expected[3:9]
    assert texts.texts[::4] == expected[::4]
    assert (texts.ids[6], list(texts.texts)) == ("test/7", expected)
    with pytest.raises(IndexError):
        texts.texts[10]


_MANY = 20_000


def _many() -> Iterator[dict[str, Any]]:
    words = "a text of usual length, as there are a great many of in a file, " * 6
    return ({"text": f"{words}{row}", "label": row % 3} for row in range(_MANY))


def test_memory_does_not_grow_with_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million texts as one table took 600 MB, most of it while its pieces were joined."""
    monkeypatch.setattr("limbeck.data.spool._ROWS", 1000)
    held_out = gather("test", [{"text": "a"}], "memory", DataConfig(), labels=None)
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        texts = gather("train", _many(), "memory", DataConfig(), labels=ONE_LABEL)
        kept, _ = without_leaks(texts, [held_out])
        some: Texts = kept.take(np.arange(0, _MANY, 2))
        labels = encode_labels(some, ["0", "1", "2"], source="memory")
        some.fingerprint()
        python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)
    assert labels[:3].tolist() == [0, 2, 1]
    size = 400 * _MANY
    assert pool.max_memory() < 0.3 * size
    assert python < 0.4 * size


def test_a_file_counts_whole_and_once() -> None:
    """A file stays whole while one of its rows is needed; two splits of it are no two files."""
    one, two = _spool(["x" * 300_000] * 20), _spool(["y" * 100_000])
    assert 6.0 < spooled_mb([one]) < 6.1
    assert spooled_mb([one, one + two]) == spooled_mb([one, two]) == spooled_mb([one + two])
    taken = one.take(np.array([0, 1]))
    assert 0.6 < spooled_mb([taken]) < 0.7
    both = spooled_mb([taken]) + spooled_mb([one])
    assert spooled_mb([taken, one]) == pytest.approx(both)
    assert spooled_mb([]) == 0.0
