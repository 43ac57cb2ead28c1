"""The whole road for sets of labels, for numbers and for pairs of texts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.compare import compare, export_gated
from limbeck.config.load import load_recipe
from limbeck.config.recipe import TeachRecipe
from limbeck.distill import distill
from limbeck.errors import DataError, ExportError
from limbeck.files import read_json, write_json
from limbeck.serve.predictor import Predictor
from limbeck.teach import teach

Row = dict[str, Any]
GOOD = ["bright", "lovely", "warm", "clever"]
BAD = ["dull", "awful", "cold", "clumsy"]
PLAIN = ["the", "film", "was", "a", "story", "of", "one", "man", "and", "his", "dog"]


def _several_labels(chance: random.Random) -> Row:
    kinds = {"praise": GOOD, "blame": BAD, "place": ["island", "sea"]}
    labels = [kind for kind in kinds if chance.random() < 0.4]
    words = chance.choices(PLAIN, k=5) + [chance.choice(kinds[label]) for label in labels]
    chance.shuffle(words)
    return {"text": " ".join(words), "labels": "#".join(labels) or []}


def _similarity(chance: random.Random) -> Row:
    praise, blame = chance.randrange(4), chance.randrange(4)
    first = chance.choices(PLAIN, k=4) + chance.choices(GOOD, k=praise)
    second = chance.choices(PLAIN, k=4) + chance.choices(BAD, k=blame)
    return {"text_a": " ".join(first), "text_b": " ".join(second), "score": 3 + praise - blame}


def _which_side(chance: random.Random) -> Row:
    sides = [chance.choices(PLAIN, k=4), chance.choices(PLAIN, k=4)]
    place = chance.randrange(2)
    sides[place] += chance.choices(GOOD, k=2)
    chance.shuffle(sides[place])
    first, second = (" ".join(side) for side in sides)
    return {"premise": first, "hypothesis": second, "label": ("former", "latter")[place]}


def _files(folder: Path, make: Callable[[random.Random], Row]) -> dict[str, str]:
    chance, files = random.Random(0), {}
    for split, count in {"train": 4000, "validation": 60, "test": 80}.items():
        rows = [make(chance) for _ in range(count)]
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files[split] = str(path)
    return files


def _road(
    folder: Path,
    base: Path,
    make: Callable[[random.Random], Row],
    data: Row,
    *,
    epochs: int = 1,
    rate: float = 3e-3,
    **values: Any,
) -> tuple[Path, Any, float]:
    """A taught teacher and its student's run: folder, report, and the teacher's score."""
    rows = _files(folder, make) | data | {"max_tokens": 40}
    training = {
        "epochs": epochs, "learning_rate": rate, "batch_rows": 32, "precision": "float32",
        "threads": 1,
        "evaluations_per_epoch": 1,  # the last state: an early one may rank well, close together
    }  # fmt: skip
    score = teach(
        TeachRecipe.model_validate(
            {"base": str(base), "data": rows, "training": training,
             "dropout": 0.0, "output": str(folder / "teacher")}
        )
    )  # fmt: skip
    if values.pop("forget", False):
        config = read_json(folder / "teacher" / "config.json")
        assert config.pop("problem_type") == "multi_label_classification"
        write_json(folder / "teacher" / "config.json", config)
    settings = {
        "teacher.path": str(folder / "teacher"),
        **{f"data.{key}": value for key, value in rows.items()},
        **{f"training.{key}": value for key, value in training.items()},
        "student.layers": 2, "knowledge.folder": str(folder / "knowledge"),
        "evaluation.bootstrap": 100, "evaluation.speed_rounds": 1, "evaluation.speed_texts": 5,
        "evaluation.memory": False, "evaluation.control_epochs": 1,
        "output": str(folder / "run"), **values,
    }  # fmt: skip
    return folder / "run", distill(load_recipe(None, values=settings)), score


Run = tuple[Path, Any, float]


@pytest.fixture(scope="module")
def sets(random_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of a teacher whose config does not say that its labels may apply together."""
    return _road(
        tmp_path_factory.mktemp("sets"), random_teacher, _several_labels,
        {"label_separator": "#"}, epochs=14, rate=1e-3, task="multi_label", forget=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def numbers(random_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of pairs, by a student with fewer tokens."""
    return _road(
        tmp_path_factory.mktemp("numbers"), random_teacher, _similarity,
        {"score_range": (0, 6)}, **{"student.vocabulary": "trim"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def sides(random_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of pairs that only the place of their words tells apart, by a student without segments."""
    return _road(
        tmp_path_factory.mktemp("sides"), random_teacher, _which_side, {},
        **{"student.architecture": "distilbert"},
    )  # fmt: skip


@pytest.fixture(params=["sets", "numbers", "sides"])
def any_run(request: pytest.FixtureRequest) -> Run:
    return request.getfixturevalue(request.param)


def _judging(run: Path, report: Any, model: str) -> Any:
    """The recipe of `evaluate` and `export` for the run's test rows."""
    data = {key: report.recipe["data"][key] for key in ("label_separator", "score_range")}
    values = {
        "teacher.path": str(run.parent / "teacher") if model == "teacher" else str(run / model),
        "data.train": str(run.parent / "test.jsonl"), "data.max_tokens": 40,
        **{f"data.{key}": value for key, value in data.items() if value is not None},
        "task": report.task, "training.threads": 1, "evaluation.bootstrap": 100,
        "evaluation.speed_rounds": 1, "evaluation.speed_texts": 5, "evaluation.memory": False,
    }  # fmt: skip
    return load_recipe(None, values=values)


def test_evaluate_says_what_the_report_said(any_run: Run) -> None:
    """Two commands that judged the same models differently could not both be believed."""
    run, report, _ = any_run
    found = compare(_judging(run, report, "teacher"), str(run / "student"))
    assert found.score_name == report.score_name
    assert found.teacher.score.value == pytest.approx(report.teacher.score.value, abs=1e-4)
    assert found.student.score.value == pytest.approx(report.student.score.value, abs=1e-4)
    assert found.agreement == pytest.approx(report.agreement, abs=1e-3)


def test_export_takes_the_student_of_any_task(any_run: Run, tmp_path: Path) -> None:
    """Who trained elsewhere needs the gate alone."""
    run, report, _ = any_run
    exports = export_gated(_judging(run, report, "student"), tmp_path / "exported")
    onnx = next(export for export in exports if export.name == "onnx")
    assert onnx.reason == "" or "slower" in onnx.reason
    assert onnx.score.value == pytest.approx(report.student.score.value, abs=1e-4)


def _test_items(run: Path) -> list[Any]:
    rows = [json.loads(line) for line in (run.parent / "test.jsonl").read_text().splitlines()]
    kinds = [("text",), ("text_a", "text_b"), ("premise", "hypothesis")]
    names = next(kind for kind in kinds if kind[0] in rows[0])
    return [tuple(row[name] for name in names) if names[1:] else row[names[0]] for row in rows]


def test_teachers_learn_each_task(sets: Run, numbers: Run, sides: Run) -> None:
    """One that cannot learn what a bag of words tells was given other targets, or no segments."""
    assert sets[2] > 0.9
    assert numbers[2] > 0.8
    assert sides[2] > 0.9


def test_pipeline_of_the_student_answers_as_limbeck_does(any_run: Run) -> None:
    """A folder whose config lacks the task is served through the wrong function, unnoticed."""
    from transformers import pipeline

    from limbeck.runtime.transformers_model import from_folder
    from limbeck.tasks.known import task_named

    run, report, _ = any_run
    items = _test_items(run)[:8]
    classify = pipeline("text-classification", model=str(run / "student"), device="cpu")
    asked = [
        item if isinstance(item, str) else {"text": item[0], "text_pair": item[1]} for item in items
    ]
    told = [classify(one, top_k=None, truncation=True, max_length=40) for one in asked]
    own = from_folder(str(run / "student"), max_tokens=40).logits(items)
    expected = task_named(report.task).answers(own)
    names = report.data["classes"]
    for row, answer in zip(told, expected, strict=True):
        by_name = {one["label"]: one["score"] for one in row}
        np.testing.assert_allclose([by_name[name] for name in names], answer, atol=2e-5)


def test_students_say_which_task_they_are_for(any_run: Run) -> None:
    """The next tool, and a second distillation, read it from the config."""
    run, report, _ = any_run
    problem = read_json(run / "student" / "config.json")["problem_type"]
    assert problem.startswith(report.task)
    assert read_json(run / "export" / "limbeck.json")["task"] == report.task


def test_reports_fit_the_schema_and_the_page_tells_the_score(any_run: Run) -> None:
    """Programs read report.json, people the page; neither may fall over another task."""
    import jsonschema

    run, report, _ = any_run
    schema = read_json(Path(__file__).parent.parent / "docs" / "report.schema.json")
    jsonschema.validate(read_json(run / "report.json"), schema)
    page = (run / "report.html").read_text()
    assert report.score_name.lower() in page.lower()
    assert "nan" not in page.replace("explanation", "").lower().split()


def test_a_set_of_labels_is_judged_and_said_as_one(sets: Run) -> None:
    """One label a row out of a head for several is half an answer."""
    run, report, _ = sets
    assert report.task == "multi_label"
    assert set(report.student.metrics) == {"macro_f1", "mean_average_precision", "exact_match"}
    predictions = Predictor(run).predict(_test_items(run))
    for one in predictions:
        expected = [name for name, share in one.probabilities.items() if share > 0.5]
        assert one.label == (", ".join(expected) or "none")
    assert any(", " in one.label for one in predictions)
    assert "top_k=None" in (run / "student" / "README.md").read_text()


def test_a_list_of_labels_is_refused_by_a_head_that_does_not_say_it_takes_one(
    sets: Run,
) -> None:
    """Without a task, such a teacher counts as single-label: its lists must not become classes."""
    folder = sets[0].parent
    rows = folder / "lists.jsonl"
    rows.write_text(json.dumps({"text": "a film", "labels": ["praise", "place"]}) + "\n")
    values = {
        "teacher.path": str(folder / "teacher"), "data.train": str(rows),
        "knowledge.folder": str(folder / "knowledge"), "output": str(folder / "refused"),
    }  # fmt: skip
    with pytest.raises(DataError, match="task=multi_label"):
        distill(load_recipe(None, values=values))


def test_a_correlation_is_told_in_its_own_unit(numbers: Run) -> None:
    """Points are hundredths of a share; a correlation is a share of nothing."""
    run, report, _ = numbers
    assert report.score_name == "Spearman"
    assert not any("point" in sentence for sentence in [*report.verdict, *report.warnings])
    page = (run / "report.html").read_text()
    assert "Root mean squared error" in page or "root mean squared error" in page
    assert "points of Spearman" not in page
    assert "✓" not in page  # no number is right or wrong by its digits
    assert '"text_pair"' in (run / "student" / "README.md").read_text()


def test_a_run_of_pairs_answers_pairs_alone(numbers: Run, tmp_path: Path) -> None:
    """A model of pairs gives a single text a number too, and it means nothing."""
    from limbeck.cli.predicting import predict_file

    run, _, _ = numbers
    with pytest.raises(ExportError, match="trained on pairs of texts"):
        Predictor(run).predict(["a film"])
    predict_file(run, str(run.parent / "test.jsonl"), None, None, tmp_path / "answers.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [set(line) for line in lines] == [{"score"}] * 80


def test_a_run_of_single_texts_reads_one_column(sets: Run, tmp_path: Path) -> None:
    """A second text that merely stands in the file must not reach a model of single texts."""
    from limbeck.cli.predicting import predict_file

    run, _, _ = sets
    with pytest.raises(ExportError, match="trained on single texts"):
        Predictor(run).predict([("a film", "a dog")])
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"text": "lovely island", "text_pair": "awful dog"}) + "\n")
    predict_file(run, str(texts), None, None, tmp_path / "answers.jsonl")
    told = json.loads((tmp_path / "answers.jsonl").read_text())
    alone = Predictor(run, bulk=True).predict(["lovely island"])[0]
    assert ", ".join(told["labels"]) == alone.label.replace("none", "")


def test_segments_reach_the_teacher_though_the_student_has_none(sides: Run) -> None:
    """Without them, half of what the teacher knows about pairs is not in its answers."""
    from limbeck.runtime.transformers_model import from_folder

    run, report, _ = sides
    teacher = from_folder(str(run.parent / "teacher"), max_tokens=40)
    items = _test_items(run)
    names = report.data["classes"]
    rows = [json.loads(line) for line in (run.parent / "test.jsonl").read_text().splitlines()]
    answers = teacher.logits(items).argmax(1)  # transformers' own tokenizer and segments
    right = np.mean([names[a] == row["label"] for a, row in zip(answers, rows, strict=True)])
    assert report.teacher.score.value == pytest.approx(right)
    config = read_json(run / "student" / "tokenizer_config.json")
    assert read_json(run / "student" / "config.json")["model_type"] == "distilbert"
    assert "token_type_ids" not in config.get("model_input_names", [])
