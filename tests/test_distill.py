"""The whole road on small generated texts."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from limbeck.distill import distill
from limbeck.errors import OutputError
from limbeck.files import read_json
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.transformers_model import from_folder
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.training.log import read_log

Make = Callable[..., Any]


def _weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "student" / "model.safetensors")


def _same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


@pytest.fixture(scope="module")
def finished(
    teacher: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A finished run with a trimmed vocabulary and unlabelled texts, and its report."""
    from limbeck.config.load import load_recipe

    folder = tmp_path_factory.mktemp("finished")
    made = load_recipe(
        None,
        values={
            "teacher.path": str(teacher),
            "data.train": str(files["train"]),
            "data.unlabelled": [str(files["unlabelled"])],
            "data.validation": str(files["validation"]),
            "data.test": str(files["test"]),
            "data.max_tokens": 32,
            "student.layers": 2,
            "student.vocabulary": "trim",
            "knowledge.folder": str(folder / "knowledge"),
            "training.epochs": 3,
            "training.learning_rate": 1e-3,
            "training.batch_rows": 32,
            "training.precision": "float32",
            "evaluation.bootstrap": 200,
            "evaluation.speed_rounds": 1,
            "evaluation.speed_texts": 20,
            "output": str(folder / "run"),
        },
    )
    return folder / "run", distill(made)


def test_a_run_leaves_what_the_design_names(finished: tuple[Path, Any]) -> None:
    """Programs and people look for these names."""
    folder, _ = finished
    for name in ("recipe.yaml", "report.json", "report.html", "log.jsonl", "export/gate.json"):
        assert (folder / name).is_file(), name
    assert not (folder / "checkpoints").exists()
    assert {p.name for p in folder.glob("[!.]*")} == {
        "inputs.json", "recipe.yaml", "report.json", "report.html", "log.jsonl", "export",
        "student",
    }  # fmt: skip


def test_the_student_keeps_the_teacher_on_an_easy_task(finished: tuple[Path, Any]) -> None:
    """A road that loses an easy task is broken somewhere."""
    _, report = finished
    assert report.teacher.score.value > 0.95
    assert report.retention.value > 0.95


def test_the_student_loads_without_limbeck_and_answers_the_same(
    finished: tuple[Path, Any], files: dict[str, Path]
) -> None:
    """Users serve the folder with transformers' pipeline; labels and answers must be right."""
    from transformers import pipeline

    folder, report = finished
    classify = pipeline("text-classification", model=str(folder / "student"), device="cpu")
    rows = [json.loads(line) for line in files["test"].read_text().splitlines()]
    answers = classify([row["text"] for row in rows])
    names = ("negative", "positive")
    right = [a["label"] == names[r["label"]] for a, r in zip(answers, rows, strict=True)]
    assert np.mean(right) == pytest.approx(report.student.score.value, abs=1e-9)


def test_the_report_says_what_the_added_texts_bought(finished: tuple[Path, Any]) -> None:
    """Texts are dear to gather and to train on: whoever adds them asks what for."""
    from limbeck.training.log import read_log

    folder, report = finished
    added = report.data["unlabelled_rows"] - report.data["unlabelled_rows_dropped"]
    assert added > 0
    arm = report.arms["own_texts"]
    assert arm.encoder_parameters == report.student.encoder_parameters
    assert "student_minus_own_texts" in report.differences
    assert any("without the unlabelled texts" in sentence for sentence in report.verdict)
    assert "the same student, no added texts" in (folder / "report.html").read_text()
    # As many steps on fewer rows, from the same teacher.
    training = report.training
    steps, passes = training["own_texts"]["steps"], training["student"]["steps"]
    assert 0.7 * passes <= steps <= 1.3 * passes
    logged = [line for line in read_log(folder / "log.jsonl") if line["arm"] == "own_texts"]
    assert any("logits_kl" in line for line in logged)


def test_an_arm_on_its_own_texts_never_sees_the_others(
    teacher: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """An arm that learned from the added texts too would show that they bought nothing."""
    from limbeck.config.load import load_recipe
    from limbeck.run.arms import OWN_TEXTS, classroom
    from limbeck.run.folder import RunFolder
    from limbeck.run.plan import make_plan

    values = {
        "teacher.path": str(teacher),
        "data.train": str(files["train"]),
        "data.unlabelled": [str(files["unlabelled"])],
        "data.test": str(files["test"]),
        "data.augment.copies": 1,
        "student.layers": 2,
        "output": str(tmp_path / "run"),
    }
    plan = make_plan(load_recipe(None, values=values), cache=tmp_path / "tokens")
    nobody: Any = None
    rest = (nobody, None, nobody, RunFolder(str(tmp_path / "run")), tmp_path / "tokens")
    room = classroom(OWN_TEXTS, plan, *rest)
    counts = plan.material.counts
    own = counts["train_rows_labelled"]
    assert room.lessons.rows is not None
    assert room.lessons.rows.tolist() == list(range(own))
    assert plan.material.added == counts["train_rows_used"] - own > counts["altered_rows"] > 0
    assert classroom("student", plan, *rest).lessons.rows is None


def test_the_model_card_tells_the_verdict(finished: tuple[Path, Any]) -> None:
    """Who finds the folder alone must learn what it is and what it was measured to be."""
    folder, report = finished
    card = (folder / "student" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    for sentence in report.verdict:
        assert sentence in card
    assert "Texts go in as they are." in card


def test_the_predictor_agrees_with_the_report(
    finished: tuple[Path, Any], files: dict[str, Path]
) -> None:
    """The export that answers is the one that was measured."""
    from limbeck.serve.predictor import Predictor

    folder, report = finished
    rows = [json.loads(line) for line in files["test"].read_text().splitlines()]
    predictor = Predictor(folder)
    names = ("negative", "positive")
    predictions = predictor.predict([row["text"] for row in rows])
    score = np.mean([p.label == names[r["label"]] for p, r in zip(predictions, rows, strict=True)])
    measured = report.export(predictor.runtime)
    expected = measured.score.value if measured else report.student.score.value
    assert score == pytest.approx(expected)
    assert sum(predictions[0].probabilities.values()) == pytest.approx(1.0)


def test_a_finished_run_is_returned_and_not_made_again(
    finished: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Giving a command twice must not cost an hour."""
    from limbeck.config.load import load_recipe

    folder, report = finished
    road = importlib.import_module("limbeck.distill")
    monkeypatch.setattr(road, "load_teacher", lambda plan: pytest.fail("ran again"))
    assert distill(load_recipe(folder / "recipe.yaml")) == report


def test_report_json_fits_its_schema(finished: tuple[Path, Any]) -> None:
    """Programs read report.json by the committed schema."""
    import jsonschema

    schema = read_json(Path(__file__).parent.parent / "docs" / "report.schema.json")
    jsonschema.validate(read_json(finished[0] / "report.json"), schema)


def test_the_log_holds_every_term(finished: tuple[Path, Any]) -> None:
    """A loss that is not seen cannot be doubted."""
    lines = read_log(finished[0] / "log.jsonl")
    student = [line for line in lines if line["arm"] == "student" and "loss" in line]
    assert student
    for line in student:
        assert line["loss"] == pytest.approx(0.1 * line["hard"] + 0.9 * line["logits_kl"], rel=1e-4)
    control = [line for line in lines if line["arm"] == "control" and "loss" in line]
    assert control
    assert all("logits_kl" not in line for line in control)


def test_the_control_arm_gets_as_many_steps_from_fewer_rows(finished: tuple[Path, Any]) -> None:
    """Else the shorter training would lose, and not the missing teacher."""
    _, report = finished
    steps = {arm: report.training[arm]["planned_steps"] for arm in ("control", "student")}
    assert steps["control"] == pytest.approx(steps["student"], rel=0.15)


def test_the_same_seed_gives_the_same_student(recipe: Make, tmp_path: Path) -> None:
    """A result that cannot be made again proves nothing."""
    for name in ("one", "two"):
        distill(recipe(output=str(tmp_path / name), evaluation__control=False))
    assert _same(_weights(tmp_path / "one"), _weights(tmp_path / "two"))


def test_the_resolved_recipe_gives_the_same_student(recipe: Make, tmp_path: Path) -> None:
    """recipe.yaml is what a user keeps."""
    from limbeck.config.load import load_recipe

    distill(recipe(evaluation__control=False))
    again = load_recipe(tmp_path / "run" / "recipe.yaml", values={"output": str(tmp_path / "two")})
    distill(again)
    assert _same(_weights(tmp_path / "run"), _weights(tmp_path / "two"))


@pytest.mark.parametrize("method", ["logits", "hidden"])
def test_live_teacher_and_recorded_knowledge_give_the_same_losses(
    recipe: Make, tmp_path: Path, method: str
) -> None:
    """Recording is a shortcut, not another method."""
    losses = {}
    for source in ("recorded", "live"):
        output = tmp_path / source
        distill(
            recipe(
                method=method,
                knowledge__source=source,
                output=str(output),
                evaluation__control=False,
                student__hidden=16 if method == "hidden" else None,
            )
        )
        lines = read_log(output / "log.jsonl")
        losses[source] = [line["loss"] for line in lines if "loss" in line]
    assert losses["recorded"] == pytest.approx(losses["live"], rel=2e-4)
    assert len(losses["recorded"]) > 10


def test_a_second_student_asks_the_teacher_nothing(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher is the dear part."""
    distill(recipe(output=str(tmp_path / "one"), evaluation__control=False))
    monkeypatch.setattr("limbeck.knowledge.record.answers", lambda *a: pytest.fail("asked again"))
    distill(recipe(output=str(tmp_path / "two"), evaluation__control=False, student__layers=1))


def test_refuses_a_folder_that_holds_another_run(recipe: Make, tmp_path: Path) -> None:
    """Two runs in one folder would be neither."""
    distill(recipe(evaluation__control=False))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.name != ".lock"}
    with pytest.raises(OutputError, match=r"another run: its training\.epochs is 2"):
        distill(recipe(evaluation__control=False, training__epochs=3))
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.name != ".lock"}
    assert before == after


def test_refuses_to_go_on_with_changed_texts(
    recipe: Make, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a training on one file and half on another is a student of neither."""
    train = tmp_path / "train.jsonl"
    train.write_bytes(files["train"].read_bytes())
    made = recipe(data__train=str(train), evaluation__control=False)
    road = importlib.import_module("limbeck.distill")
    with monkeypatch.context() as patch:
        patch.setattr(road, "train_arm", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            distill(made)
    train.write_bytes(files["train"].read_bytes() + b'{"text": "one more", "label": 1}\n')
    with pytest.raises(OutputError, match="content of train changed"):
        distill(made)


def test_datasets_objects_serve_as_files(
    recipe: Make, files: dict[str, Path], tmp_path: Path
) -> None:
    """Who has a datasets.Dataset should not have to write files."""
    from datasets import Dataset

    def rows(name: str) -> Dataset:
        return Dataset.from_list(
            [json.loads(line) for line in files[name].read_text().splitlines()]
        )

    made = recipe(
        data__train=None, data__validation=None, data__test=None, evaluation__control=False
    )
    given = {name: rows(name) for name in ("train", "validation", "test")}
    report = distill(made, datasets=given)
    distill(recipe(output=str(tmp_path / "files"), evaluation__control=False))
    assert _same(_weights(tmp_path / "run"), _weights(tmp_path / "files"))
    assert report.data["test_rows"] == 160


def test_texts_of_no_class_are_told_by_a_low_probability(
    recipe: Make, tmp_path: Path, files: dict[str, Path]
) -> None:
    """Who serves a classifier must know whether its doubt means anything."""
    outside = tmp_path / "outside.txt"
    outside.write_text("\n".join(["rain by the sea", "one man", "his dog", "the the"] * 5) + "\n")
    report = distill(recipe(data__outside=str(outside)))
    served = from_folder(str(tmp_path / "run" / "student"), max_tokens=32)
    texts = [json.loads(line)["text"] for line in files["test"].read_text().splitlines()]
    surest = [
        SINGLE_LABEL.answers(answer_all(served, asked)).max(axis=1)
        for asked in (texts, outside.read_text().splitlines())
    ]
    doubts = -np.concatenate(surest)
    expected = roc_auc_score(np.arange(len(doubts)) >= len(texts), doubts)
    assert report.student.metrics["AUROC_of_no_class"] == pytest.approx(expected, abs=0.01)
    assert 0.5 < report.teacher.metrics["AUROC_of_no_class"] <= 1.0
    assert "AUROC_of_no_class" in report.arms["control"].metrics
    assert report.data["rows_of_no_class"] == 20
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "with an AUROC of" in page
    same = distill(recipe(data__outside=str(files["test"]), output=str(tmp_path / "same")))
    assert same.student.metrics["AUROC_of_no_class"] == pytest.approx(0.5, abs=0.01)


def test_without_any_label_the_teacher_alone_teaches(
    recipe: Make, files: dict[str, Path], tmp_path: Path
) -> None:
    """Unlabelled texts are what users have most of."""
    rows = [json.loads(line) for line in files["train"].read_text().splitlines()]
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    report = distill(recipe(data__train=str(bare)))
    assert "control" not in report.arms
    assert report.retention.value > 0.9
    assert any("no control arm" in warning for warning in report.warnings)


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory, teacher: Path) -> Path:
    """A narrower encoder without a head, with a vocabulary of its own."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = tmp_path_factory.mktemp("other")
    AutoTokenizer.from_pretrained(teacher).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(AutoTokenizer.from_pretrained(folder)),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_a_student_may_start_from_another_checkpoint(recipe: Make, other_model: Path) -> None:
    """Another model's weights and tokenizer, this teacher's answers and class names."""
    made = recipe(
        student__layers=None,
        student__checkpoint=str(other_model),
        training__epochs=20,
        training__learning_rate=1e-2,
        evaluation__control=False,
    )
    report = distill(made)
    assert report.training["student"]["notes"] == [f"weights from {other_model}"]
    assert report.student.encoder_parameters < report.teacher.encoder_parameters / 4
    assert report.agreement > 0.8


@pytest.mark.parametrize("init", ["normal", "xavier", "kaiming"])
def test_a_student_may_start_from_new_weights(recipe: Make, init: str) -> None:
    """What a teacher's weights are worth is seen against these."""
    made = recipe(student__init=init, student__layers=1, evaluation__control=False)
    assert distill(made).training["student"]["notes"] == [f"weights are new ({init})"]
