"""What stands in files and on disk: splits, windows, recorded answers, SQuAD itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import DataConfig, TeacherConfig

Make = Callable[..., Any]
Questions = Callable[..., list[dict[str, Any]]]
Write = Callable[[Path, list[dict[str, Any]]], Path]


def test_a_held_out_share_has_contexts_of_its_own(
    tmp_path: Path, questions_of: Questions, write: Write
) -> None:
    """A context that was trained on is no test of what the student finds in new ones."""
    from limbeck.run.material import gather_material
    from limbeck.tasks.question_answering import QuestionAnswering

    rows = [
        {**row, "id": f"{row['id']}-{turn}", "question": f"{row['question']} {turn}"}
        for row in questions_of(30, seed=7)
        for turn in range(3)
    ]
    data = DataConfig(train=str(write(tmp_path / "rows.jsonl", rows)))
    material = gather_material(data, None, task=QuestionAnswering(), seed=0)
    sides = [set(part.texts.pairs) for part in (material.train, material.validation)]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize(
    "name", ["squad_v1_train_small/train.json", "squad_v1_dev/dev.json", "xquad/zh.json"]
)
def test_squad_reaches_the_rows_of_a_run(shared: Path, tmp_path: Path, name: str) -> None:
    """Real contexts, real answers: every window's gold tokens give back an answer of the file."""
    from limbeck.data.encode import encode
    from limbeck.data.per_question import SpanOutputs
    from limbeck.data.per_word import WordOutputs
    from limbeck.metrics.question_answering import token_f1
    from limbeck.run.material import first_row
    from limbeck.tasks.known import task_of_rows
    from limbeck.tasks.question_answering import QuestionAnswering
    from limbeck.tasks.reading import read_texts
    from limbeck.teacher.load import look_at

    source = shared / "data" / name
    if not source.exists():
        pytest.skip(f"{source} is not here")
    data = DataConfig(train=str(source), max_tokens=160)
    task = task_of_rows(first_row(data, None), data, "auto")
    assert isinstance(task, QuestionAnswering)
    texts = read_texts("train", str(source), data, task, labels=True).take(np.arange(200))
    checkpoint = look_at(TeacherConfig(path=str(shared / "models" / "minilm-l6-sst2")))
    encoded = encode(texts, checkpoint.backend, max_tokens=160, folder=tmp_path)
    assert len(encoded) > 200
    assert encoded.places is not None
    assert encoded.groups is not None
    values = np.zeros((len(encoded.places.places), 2), dtype=np.float32)
    held = encoded.groups.answers[:, 0] > 0
    for side in (0, 1):
        values[encoded.places.offsets[:-1][held] + encoded.groups.answers[held, side], side] = 9
    outputs = encoded.of_texts(WordOutputs(values, encoded.places.offsets, encoded.places.places))
    assert isinstance(outputs, SpanOutputs)
    targets = task.targets(texts, [], source="")
    said = targets.texts(task.answers(outputs).spans)
    assert token_f1(said, targets.answers()).mean() > 0.98


def test_no_window_is_asked_about_twice(
    make: Make,
    tmp_path: Path,
    rows: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    questions_of: Questions,
    write: Write,
) -> None:
    """A file that grew costs what is new in it."""
    from limbeck.run.recording import record_texts

    few = write(tmp_path / "few.jsonl", questions_of(60, seed=1))
    more = write(tmp_path / "more.jsonl", questions_of(500, seed=1)[:90])
    first = record_texts(make(tmp_path, data__train=str(few)))
    capsys.readouterr()
    from limbeck.progress import shown

    with shown():
        second = record_texts(make(tmp_path, data__train=str(more)))
    assert first != second
    known = sum(
        entry["rows"] for entry in json.loads((first / "manifest.json").read_text())["shards"]
    )
    assert f"{known:,} answers were known" in capsys.readouterr().err
