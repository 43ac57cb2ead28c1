"""The teacher is never asked twice about the same text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import DataConfig, KnowledgeConfig, TeacherConfig
from limbeck.data.encode import encode
from limbeck.data.texts import gather
from limbeck.knowledge import record as recording
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.record import record
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
        rows = gather(name, [{"text": text} for text in texts], "-", DataConfig(), labels=False)
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
