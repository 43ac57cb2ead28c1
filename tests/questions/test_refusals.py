"""Bad questions, and what does not fit them: one message each, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.distill import distill
from limbeck.errors import DataError, LimbeckError, RecipeError, TeacherError

Make = Callable[..., Any]
Questions = Callable[..., list[dict[str, Any]]]
Write = Callable[[Path, list[dict[str, Any]]], Path]


REFUSALS: list[tuple[dict[str, Any], type[LimbeckError], str]] = [
    ({"answers": {"text": ["paris"], "answer_start": [0]}}, DataError, "question t0"),
    ({"context": " "}, DataError, "its context is ' '"),
    ({"answers": {"text": ["the"]}}, DataError, "answer_start"),
]


@pytest.mark.parametrize(("change", "kind", "found"), REFUSALS)
def test_refuses_broken_questions_by_name(
    make: Make,
    tmp_path: Path,
    change: dict[str, Any],
    kind: type[LimbeckError],
    found: str,
    questions_of: Questions,
    write: Write,
) -> None:
    """The student would learn to answer with something else."""
    bad = questions_of(5, seed=8)
    bad[0] |= change
    with pytest.raises(kind, match=found):
        distill(make(tmp_path, data__train=str(write(tmp_path / "bad.jsonl", bad))))


@pytest.mark.parametrize(
    ("settings", "kind", "found"),
    [
        ({"data__question_tokens": 30}, DataError, "no window would get on"),
        ({"data__stride": 60}, DataError, "no window would get on"),
        ({"data__text_column": "question"}, RecipeError, "are called id, question, context"),
        ({"data__clean__html": True}, RecipeError, "which cleaning would move"),
        ({"data__augment": {"copies": 1}}, RecipeError, "data.augment.copies"),
        ({"method": "exits"}, RecipeError, "terms"),
        ({"knowledge__source": "mutual"}, RecipeError, "knowledge.source"),
        ({"task": "single_label"}, TeacherError, "finds answers in texts"),
        ({"method": "decoupled"}, RecipeError, "distributions over classes"),
    ],
)
def test_refuses_settings_that_do_not_fit(
    make: Make,
    tmp_path: Path,
    settings: dict[str, Any],
    kind: type[LimbeckError],
    found: str,
) -> None:
    """Better refused than trained towards something else."""
    with pytest.raises(kind, match=found):
        distill(make(tmp_path, **settings))


def test_refuses_heads_and_files_of_other_tasks(
    make: Make,
    random_teacher: Path,
    files: dict[str, Path],
    rows: dict[str, Path],
    finder: Path,
    tmp_path: Path,
) -> None:
    """A classifier says nothing about places, labels of texts are no answers."""
    with pytest.raises(TeacherError, match="question_answering"):
        distill(make(tmp_path, task="question_answering", teacher__path=str(random_teacher)))
    with pytest.raises(DataError, match="task=question_answering"):
        distill(make(tmp_path, teacher__path=str(random_teacher)))
    with pytest.raises(DataError, match="there is no 'context'"):
        distill(make(tmp_path, data__train=str(files["train"])))
    with pytest.raises(RecipeError, match=r"ensemble\.teachers"):
        distill(make(tmp_path, ensemble__teachers=[str(finder)]))


def test_a_student_of_other_tokens_is_taught_by_characters(
    make: Make, write_tokenizer: Callable[..., Any], base: Path, tmp_path: Path
) -> None:
    """Its places are not the teacher's, whatever their number."""
    import shutil

    from limbeck.run.plan import make_plan

    shutil.copytree(base, tmp_path / "other")
    write_tokenizer(tmp_path / "other", extra=["rome", "##me"])
    wanted = make(tmp_path, student__checkpoint=str(tmp_path / "other"), student__layers=None)
    plan = make_plan(wanted, cache=tmp_path / "cache")
    assert plan.crossed is not None
    assert plan.crossed.windows is not None
    assert plan.encoded.cut_like


def test_bad_questions_end_in_one_message_and_status_2(
    tmp_path: Path, finder: Path, capsys: Any, questions_of: Questions, write: Write
) -> None:
    """No traceback for a mistake in a file."""
    from limbeck.cli.main import app, run

    bad = questions_of(5, seed=8)
    bad[3]["answers"]["answer_start"] = [10_000]
    source = write(tmp_path / "bad.jsonl", bad)
    arguments = ["distill", "--teacher", finder, "--train", source, "--output", tmp_path / "run"]
    assert run(lambda: app([str(one) for one in arguments], standalone_mode=True)) == 2
    told = capsys.readouterr().err
    assert told.count("DataError") == 1
    assert "question t3" in told
    assert "Traceback" not in told
