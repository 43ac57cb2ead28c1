"""The teacher is never asked twice about the same text."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.config.recipe import DataConfig, KnowledgeConfig, TeacherConfig
from limbeck.data.encode import encode
from limbeck.data.texts import gather
from limbeck.knowledge import record as recording
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.record import record
from limbeck.knowledge.reuse import TEXT_COLUMN, Earlier
from limbeck.knowledge.store import Identity, Shard
from limbeck.teacher.load import fingerprint, load_classifier, look_at
from limbeck.teacher.parts import Part, hidden_parts


@pytest.fixture
def ask(random_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Records texts and returns (answers, number of rows that the teacher was asked about)."""
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    model = load_classifier(checkpoint)
    asked: list[int] = []
    real = recording.answers

    def counted(model: Any, checkpoint: Any, encoded: Any, rows: Any, kind: Any) -> Any:
        asked.append(len(rows))
        return real(model, checkpoint, encoded, rows, kind)

    monkeypatch.setattr(recording, "answers", counted)

    def make(texts: list[str], *, name: str = "train", kind: Kind | None = None) -> Any:
        asked.clear()
        rows = gather(name, [{"text": text} for text in texts], "-", DataConfig(), labels=None)
        ids = encode(rows, checkpoint.backend, max_tokens=32, folder=tmp_path / "tokens")
        answers = record(
            model,
            checkpoint,
            rows,
            ids,
            teacher_fingerprint=fingerprint(model, checkpoint.backend),
            kind=kind or Kind(hidden_parts((2,))),
            settings=KnowledgeConfig(folder=str(tmp_path), shard_rows=4),
        )
        return answers, sum(asked)

    return make


TEXTS = [f"the film was {word}" for word in ("warm", "cold", "dull", "fresh", "stale", "superb")]


def test_texts_that_were_answered_are_not_asked_again(ask: Any) -> None:
    """A file that grew by two rows costs two answers."""
    first, count = ask(TEXTS)
    assert count == 6
    more, count = ask(["rain", *reversed(TEXTS), "a dog"], name="other")
    assert count == 2
    np.testing.assert_array_equal(more.all_logits()[1:7], first.all_logits()[::-1])
    for row in range(6):
        left = first.states(Part("hidden", 2), np.array([row]), width=16, left=False)
        right = more.states(Part("hidden", 2), np.array([6 - row]), width=16, left=False)
        np.testing.assert_array_equal(left.numpy(), right.numpy())


def test_a_repeated_text_is_asked_once(ask: Any) -> None:
    """Within a shard and across shards."""
    answers, count = ask(["rain", "sea", "rain", "dog", "sea", "rain", "island"])
    assert count == 4
    logits = answers.all_logits()
    np.testing.assert_array_equal(logits[0], logits[2])
    np.testing.assert_array_equal(logits[1], logits[4])
    assert not np.array_equal(logits[0], logits[1])


def test_other_knowledge_is_asked_for(ask: Any) -> None:
    """Logits of another precision, or without the states that are needed, are no answer."""
    ask(TEXTS)
    assert ask(TEXTS, name="two", kind=Kind(hidden_parts((2, 4))))[1] == 6
    assert ask(TEXTS, name="three", kind=Kind(hidden_parts((2,)), "bfloat16"))[1] == 6


def test_a_damaged_neighbour_costs_only_its_own_answers(ask: Any, tmp_path: Path) -> None:
    """Copying from a broken shard would spread the damage."""
    answers, _ = ask(TEXTS)
    shard = answers.place / "shard-00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(bytes(content))
    assert ask(TEXTS, name="other")[1] == 4


def _shard(hashes: list[int] | np.ndarray, first_answer: int) -> Shard:
    """Recorded rows whose answer is a number of its own."""
    count = len(hashes)
    answers = pa.array(np.arange(first_answer, first_answer + count, dtype=np.float32))
    columns = {
        TEXT_COLUMN: pa.array(np.asarray(hashes, dtype=np.uint64)),
        "logits": pa.FixedSizeListArray.from_arrays(answers, 1),
    }
    return Shard(pa.table(columns), pa.py_buffer(b""))


def _earlier(folder: Path) -> Earlier:
    return Earlier(folder, Identity("t", "x", 8, Kind(), 1, 1))


_SHARDS = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=9), min_size=1, max_size=12)


@settings(deadline=None, max_examples=100)
@given(shards=_SHARDS, wanted=st.lists(st.integers(0, 50), max_size=20))
def test_the_first_answer_to_a_text_is_found(shards: list[list[int]], wanted: list[int]) -> None:
    """A neighbour's answer is a wrong target that looks like any other."""
    earlier, first, count = _earlier(Path("nowhere")), {}, 0
    for hashes in shards:
        earlier.add(_shard(hashes, count))
        for number, one in enumerate(hashes, start=count):
            first.setdefault(one, number)
        count += len(hashes)
    logits = np.full((len(wanted), 1), -1, dtype=np.float32)
    unknown = earlier.fill(np.array(wanted, dtype=np.uint64), logits, {})
    assert logits[:, 0].tolist() == [first.get(one, -1) for one in wanted]
    assert unknown.tolist() == [place for place, one in enumerate(wanted) if one not in first]
    assert earlier.reused == len(wanted) - len(unknown)


def _seconds_to_add(folder: Path, count: int) -> float:
    generator = np.random.default_rng(0)
    shards = [_shard(generator.integers(0, 2**63, 1024), 0) for _ in range(count)]
    earlier = _earlier(folder)
    start = time.process_time()
    for shard in shards:
        earlier.add(shard)
    return time.process_time() - start


def test_adding_a_shard_does_not_sort_all_others_again(tmp_path: Path) -> None:
    """Ten million rows would be sorted a thousand times."""
    few = min(_seconds_to_add(tmp_path, 50) for _ in range(3))
    assert _seconds_to_add(tmp_path, 800) < 60 * few  # sorting again costs 400 times as much


def test_known_hashes_take_little_memory(tmp_path: Path) -> None:
    """Three 64-bit numbers a row, and copies of them all while they are sorted, took 100 bytes."""
    generator = np.random.default_rng(0)
    shards = [_shard(generator.integers(0, 2**63, 4096), 0) for _ in range(64)]
    earlier = _earlier(tmp_path)
    tracemalloc.start()
    for shard in shards:
        earlier.add(shard)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = 64 * 4096
    assert held < 14 * rows
    assert peak < 45 * rows
