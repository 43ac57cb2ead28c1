"""Files of somebody else's answers: read in every form, and refused with the place at fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.teacher import AnswersConfig
from limbeck.data.told import Told, joined, read_told
from limbeck.errors import DataError
from limbeck.tasks.known import task_named
from limbeck.tasks.told import outputs_of

NAMES = ["negative", "neutral", "positive"]


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def _told(values: Any, names: tuple[str, ...] | None = None) -> Told:
    values = np.array(values, dtype=np.float32)
    return Told("told.npy", None, values, names, np.arange(1, len(values) + 1))


def test_lists_objects_and_columns_are_the_same_answers(tmp_path: Path) -> None:
    """Every service writes its scores in another form."""
    wanted = [[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]
    lists = [{"id": f"r{n}", "probabilities": row} for n, row in enumerate(wanted)]
    objects = [
        {"id": f"r{n}", "probabilities": dict(zip(NAMES, row, strict=True))}
        for n, row in enumerate(wanted)
    ]
    columns = tmp_path / "wide.csv"
    columns.write_text("id,negative,neutral,positive\nr0,0.1,0.2,0.7\nr1,0.5,0.25,0.25\n")
    written = tmp_path / "lists.csv"
    written.write_text('id,probs\nr0,"[0.1, 0.2, 0.7]"\nr1,"[0.5, 0.25, 0.25]"\n')
    arrays = tmp_path / "arrays.npz"
    np.savez(arrays, ids=np.array(["r0", "r1"]), values=np.array(wanted))
    sources = [
        _jsonl(tmp_path / "lists.jsonl", lists),
        _jsonl(tmp_path / "objects.jsonl", objects),
        str(columns),
        str(written),
        str(arrays),
    ]
    for source in sources:
        told = read_told(source, AnswersConfig())
        assert list(told.ids or ()) == ["r0", "r1"]
        np.testing.assert_allclose(told.values, wanted, rtol=1e-6)
    assert read_told(sources[1], AnswersConfig()).names == tuple(NAMES)
    assert read_told(sources[2], AnswersConfig()).names == tuple(NAMES)


def test_an_empty_cell_is_no_answer(tmp_path: Path) -> None:
    """Services time out: such a row must not be learned as zeros."""
    rows = [{"id": "a", "logits": [1, 2]}, {"id": "b", "logits": None}, {"id": "c", "logits": ""}]
    told = read_told(_jsonl(tmp_path / "some.jsonl", rows), AnswersConfig(kind="logits"))
    assert told.ids == ["a"]


BROKEN: dict[str, tuple[list[dict[str, Any]], str]] = {
    "width": ([{"id": 1, "logits": [1, 2]}, {"id": 2, "logits": [1]}], "row 2: the answer has 1"),
    "nan": (
        [{"id": 1, "logits": [1, 2]}, {"id": 2, "logits": [1, float("nan")]}],
        r"row 2 \(id 2\): the answer holds NaN",
    ),
    "twin": ([{"id": 1, "logits": [1, 2]}] * 2, r"row 2 \(id 1\): this id stands in row 1"),
    "word": ([{"id": 1, "logits": ["high", 2]}], "row 1: 'high' stands where"),
    "classes": (
        [{"id": 1, "logits": {"a": 1, "b": 2}}, {"id": 2, "logits": {"a": 1, "c": 2}}],
        r"row 2: the answer has other classes than those above \(b, c\)",
    ),
    "no id": ([{"id": None, "logits": [1, 2]}], "row 1: it has no id"),
    "gap without ids": ([{"logits": [1, 2]}, {"logits": None}], "row 2: it has no answer"),
    "nothing": ([{"id": 1, "text": "a"}], "no column holds answers"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_refuses_broken_answers_with_file_and_row(name: str, tmp_path: Path) -> None:
    """Among a million rows, the one at fault must be named."""
    rows, message = BROKEN[name]
    source = _jsonl(tmp_path / "broken.jsonl", rows)
    with pytest.raises(DataError, match=message) as caught:
        read_told(source, AnswersConfig(kind="logits"))
    assert str(caught.value).startswith(source)


def test_refuses_arrays_that_are_no_answers(tmp_path: Path) -> None:
    """A file of objects would need pickle, and three dimensions are no rows."""
    place = tmp_path / "odd.npy"
    for array, message in (
        (np.array([{"a": 1}], dtype=object), "numpy cannot read"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
        (np.array(["a"]), "array of <U1"),
    ):
        np.save(place, array, allow_pickle=True)
        with pytest.raises(DataError, match=message):
            read_told(str(place), AnswersConfig())
    place.write_text("no array")
    with pytest.raises(DataError, match="numpy cannot read"):
        read_told(str(place), AnswersConfig())


def test_answers_find_their_rows_by_either_id() -> None:
    """Limbeck's own ids always work, the rows' own where they have any."""
    values = np.zeros((2, 1), dtype=np.float32)
    told = Told("a.jsonl", ["x", "train/2"], values, None, np.array([1, 2]))
    found = joined(told, {"train": ["w", None, "x"]}, id_column="id")
    assert found == {"train/3": 0, "train/2": 1}


def test_refuses_answers_that_belong_nowhere() -> None:
    """A wrong join trains every row towards another row's answer."""
    values = np.zeros((2, 1), dtype=np.float32)
    told = Told("a.jsonl", ["x", "y"], values, None, np.array([1, 2]))
    with pytest.raises(DataError, match=r"row 2 \(id y\): none of the 2 rows of train has this id"):
        joined(told, {"train": ["x", "z"]}, id_column="id")
    with pytest.raises(DataError, match="row 2: its id 'x' is that of train/1 too"):
        joined(told, {"train": ["x", "x"]}, id_column="id")
    nameless = Told("a.npy", None, values, None, np.array([1, 2]))
    with pytest.raises(DataError, match="it has 2 answers and no ids, but train has 3 rows"):
        joined(nameless, {"train": [None] * 3}, id_column="id")


def test_probabilities_of_classes_become_their_logarithms() -> None:
    """A softmax over the logits must give the probabilities back."""
    shares = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    task = task_named("single_label")
    logits = outputs_of(task, _told(shares), NAMES, "probabilities")
    np.testing.assert_allclose(task.answers(logits), shares, atol=3e-6)
    assert np.isfinite(logits).all()


def test_probabilities_of_labels_become_their_logits() -> None:
    """A sigmoid over the logits must give the probabilities back; their sum is free."""
    shares = np.array([[0.2, 0.9, 0.5], [1.0, 0.0, 0.0]])
    task = task_named("multi_label")
    logits = outputs_of(task, _told(shares), NAMES, "probabilities")
    np.testing.assert_allclose(task.answers(logits), shares, atol=3e-6)


def test_named_columns_are_put_into_the_order_of_the_classes() -> None:
    """By position, the first class would learn another's answers."""
    told = _told([[1.0, 2.0, 3.0]], ("Positive", "negative", "neutral"))
    found = outputs_of(task_named("single_label"), told, NAMES, "logits")
    np.testing.assert_array_equal(found, [[2.0, 3.0, 1.0]])


WRONG: dict[str, tuple[Any, tuple[str, ...] | None, str, str]] = {
    "sum": ([[0.2, 0.3, 0.4]], None, "probabilities", "row 1: the probabilities sum to 0.9"),
    "range": ([[0.5, -0.5, 1.0]], None, "probabilities", "-0.5 is no probability"),
    "scores": ([[2.5, 3.5, 1.0]], None, "probabilities", "2.5 is no probability"),
    "width": ([[0.5, 0.5]], None, "probabilities", "has 2 numbers, but there are 3 classes"),
    "name": (
        [[0.2, 0.3, 0.5]], ("negative", "neutrl", "positive"), "logits",
        "no answers about 'neutral'; it tells of negative, neutrl, positive. Did you mean",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_refuses_numbers_that_are_no_answers_of_the_task(name: str) -> None:
    """A softmax over what is no distribution trains towards something nobody said."""
    values, names, kind, message = WRONG[name]
    with pytest.raises(DataError, match=message):
        outputs_of(task_named("single_label"), _told(values, names), NAMES, kind)  # type: ignore[arg-type]


def test_refuses_vectors_that_point_nowhere() -> None:
    """The cosine of a zero vector is nothing, and equal vectors teach nothing."""
    task = task_named("sentence_embeddings")
    with pytest.raises(DataError, match="row 2: the vector is all zeros"):
        outputs_of(task, _told([[1.0, 0.0], [0.0, 0.0]]), [], "vectors")
    with pytest.raises(DataError, match="all 3 vectors are the same"):
        outputs_of(task, _told([[1.0, 0.0]] * 3), [], "vectors")
