"""Questions and answers: both formats, and every way in which an answer can be misplaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.data.squad import Answer, question_texts, read_questions, with_titles
from limbeck.errors import DataError

CONTEXT = "The 😀 river café runs to the sea. The sea is calm."


def _nested(path: Path, answers: Any, **more: Any) -> str:
    asked = {"id": "q1", "question": "Where to?", "answers": answers, **more}
    article = {"title": "Rivers", "paragraphs": [{"context": CONTEXT, "qas": [asked]}]}
    file = path / "a.json"
    file.write_text(json.dumps({"version": "1.1", "data": [article]}, indent=1))
    return str(file)


def _flat(path: Path, answers: Any, more: dict[str, Any] | None = None) -> str:
    row = {"id": "q1", "title": "Rivers", "question": "Where to?", "context": CONTEXT}
    file = path / "a.jsonl"
    file.write_text(json.dumps(row | {"answers": answers} | (more or {})) + "\n")
    return str(file)


def _refused(source: str) -> DataError:
    with pytest.raises(DataError) as caught:
        read_questions(source)
    return caught.value


def test_both_formats_give_the_same_questions(tmp_path: Path) -> None:
    """A data set from the hub is the same data set."""
    start = CONTEXT.index("the sea")
    one = read_questions(_nested(tmp_path, [{"text": "the sea", "answer_start": start}]))
    two = read_questions(_flat(tmp_path, {"text": ["the sea"], "answer_start": [start]}))
    three = read_questions(_flat(tmp_path, [{"text": "the sea", "answer_start": start}]))
    assert one == two == three
    assert one[0].answers == (Answer("the sea", start),)
    assert (one[0].id, one[0].title) == ("q1", "Rivers")


def test_no_answer_is_not_an_unknown_one(tmp_path: Path) -> None:
    """A student of [CLS] where nobody has looked would learn to answer nothing."""
    assert read_questions(_nested(tmp_path, [], is_impossible=True))[0].answers == ()
    assert read_questions(_flat(tmp_path, {"text": [], "answer_start": []}))[0].answers == ()
    assert read_questions(_flat(tmp_path, None))[0].answers is None


def test_csv_holds_answers_as_json(tmp_path: Path) -> None:
    """As pandas users write them."""
    file = tmp_path / "a.csv"
    file.write_text('id,question,context,answers\n1,who?,Ann ran,"[]"\n')
    assert read_questions(str(file))[0].answers == ()
    file.write_text("id,question,context,answers\n1,who?,Ann ran,{'text'\n")
    assert "not JSON" in _refused(str(file)).found


@pytest.mark.parametrize(
    ("text", "start", "found", "remedy"),
    [
        ("the sea", 0, "there stands 'The 😀 r'", "stands at 25. Set"),
        ("sea", 4, "there stands '😀 r'", "stands at 29, and 1 more times"),
        ("lake", 4, "there stands '😀 ri'", "does not hold the answer"),
        ("the sea", 999, f"has {len(CONTEXT)} characters", "stands at 25"),
        ("river", 27, "there stands", "stands at 6"),
        ("runs", len("The 😀 river café ".encode()), "there stands", "count bytes"),
        ("café", 13, "there stands", "count UTF-16 units"),
        ("the sea", -1, "should stand at character -1", "stands at 25"),
    ],
)
def test_refuses_answers_that_are_not_at_their_place(
    tmp_path: Path, text: str, start: int, found: str, remedy: str
) -> None:
    """The student would learn to answer with something else."""
    error = _refused(_nested(tmp_path, [{"text": text, "answer_start": start}]))
    assert "question q1" in error.where
    assert found in error.found
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"question": " "}, "its question is ' '"),
        ({"context": None}, "its context is None"),
        ({"answers": "[1"}, "not JSON"),
        ({"answers": 5}, "its answers are a int"),
        ({"answers": {"text": ["a"], "answer_start": []}}, "1 answers at 0 places"),
        ({"answers": {"text": [""], "answer_start": [0]}}, "an answer is ''"),
        ({"answers": {"text": ["The"], "answer_start": [0.5]}}, "answer_start is 0.5"),
        ({"answers": {"text": ["The"]}}, "there is no 'answer_start'"),
    ],
)
def test_refuses_rows_that_are_no_questions(
    tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    """With what stands there."""
    assert found in _refused(_flat(tmp_path, None, changes)).found


def test_refuses_what_is_no_squad(tmp_path: Path) -> None:
    """With the keys that are there."""
    (tmp_path / "a.json").write_text('{"data": [{"title": "x", "texts": []}]}')
    assert (
        "there is no 'paragraphs'; there is title, texts"
        in _refused(str(tmp_path / "a.json")).found
    )
    (tmp_path / "a.json").write_text('{"data": []}')
    assert "no question" in _refused(str(tmp_path / "a.json")).found
    assert "no list of answers" in _refused(_nested(tmp_path, None, is_impossible=False)).found


def test_refuses_an_id_that_comes_twice(tmp_path: Path) -> None:
    """One answer would be scored for both."""
    source = _flat(tmp_path, None)
    Path(source).write_text(Path(source).read_text() * 2)
    assert "the same id" in _refused(source).found


def test_titles_choose_articles(tmp_path: Path) -> None:
    """A split by articles keeps its contexts apart."""
    questions = read_questions(_flat(tmp_path, None))
    assert with_titles(questions, ["Rivers"]) == questions
    with pytest.raises(DataError, match=r"'River'.*Did you mean 'Rivers'"):
        with_titles(questions, ["River"])
    assert list(question_texts([*questions, *questions])) == ["Where to?"] * 2 + [CONTEXT]


@pytest.mark.parametrize(
    ("file", "count"),
    [("squad_v1_dev/dev", 10570), ("squad_v1_train_small/train", 4000), ("xquad/zh", 1190)],
)
def test_real_sets_are_read_whole(shared: Path, file: str, count: int) -> None:
    """Counts are those that their sources state."""
    questions = read_questions(str(shared / "data" / f"{file}.json"))
    assert len(questions) == count
    if "dev" in file:
        titles = json.loads((shared / "data/squad_v1_dev/split_titles.json").read_text())
        assert [len(with_titles(questions, part)) for part in titles.values()] == [8026, 2544]
