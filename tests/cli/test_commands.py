"""Every command on small texts, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.cli.main import app, run
from limbeck.files import read_json

FAST = ["--set", "evaluation.speed_rounds=1", "--set", "evaluation.speed_texts=5"]
FAST += ["--set", "evaluation.memory=false", "--set", "data.max_tokens=32"]


def _run(*arguments: object) -> int:
    return run(lambda: app([str(argument) for argument in arguments], standalone_mode=False))


def test_teach_makes_a_classifier_that_transformers_loads(
    random_teacher: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """It is the first step for whoever has no teacher yet."""
    from transformers import AutoModelForSequenceClassification

    settings = ["--set", "training.epochs=4", "--set", "training.learning_rate=3e-3"]
    status = _run(
        "teach", "--base", random_teacher, "--train", files["train"], "--test", files["test"],
        "--output", tmp_path / "new", *settings,
    )  # fmt: skip
    assert status == 0
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "new")
    assert model.config.id2label == {0: "0", 1: "1"}
    assert read_json(tmp_path / "new" / "limbeck_teach.json")["score"] > 0.8
    assert not list(tmp_path.glob(".*teaching*"))
    assert _run("teach", "--base", random_teacher, "--train", files["train"], "--output",
                tmp_path / "new") == 2  # fmt: skip


def test_record_keeps_answers_that_distill_uses(
    teacher: Path,
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Recorded overnight, on texts without a label column, for tomorrow's students."""
    status = _run(
        "record", "--teacher", teacher, "--train", files["train"], "--knowledge", tmp_path / "k",
        "--set", "data.max_tokens=32",
    )  # fmt: skip
    assert status == 0
    assert str(tmp_path / "k") in capsys.readouterr().out
    from limbeck.knowledge import record as recording

    real, asked = recording.answers, []
    monkeypatch.setattr(recording, "answers", lambda *a: asked.append(len(a[3])) or real(*a))
    status = _run(
        "distill", "--teacher", teacher, "--train", files["train"], "--validation",
        files["validation"], "--test", files["test"], "--output", tmp_path / "run", *FAST,
        "--set", f"knowledge.folder={tmp_path / 'k'}", "--set", "training.epochs=1",
        "--set", "evaluation.control=false",
    )  # fmt: skip
    assert status == 0
    assert sum(asked) <= 80 + 160  # validation and test; not one training text


def test_evaluate_compares_two_models(
    teacher: Path,
    random_teacher: Path,
    files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also students that limbeck did not make."""
    arguments = ["--teacher", teacher, "--test", files["test"], *FAST]
    assert _run("evaluate", "--student", teacher, *arguments, "--output", tmp_path / "c.json") == 0
    same = read_json(tmp_path / "c.json")
    assert same["agreement"] == 1.0
    assert same["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert _run("evaluate", "--student", random_teacher, *arguments) == 0
    assert "The student keeps" in capsys.readouterr().out


def test_evaluate_refuses_models_of_other_classes(
    teacher: Path,
    files: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """Class 0 of the one is not class 0 of the other."""
    import shutil

    other = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(teacher, other)
    config = json.loads((other / "config.json").read_text())
    config["id2label"] = {"0": "positive", "1": "negative"}
    (other / "config.json").write_text(json.dumps(config))
    arguments = ["--teacher", teacher, "--student", other, "--test", files["test"]]
    assert _run("evaluate", *arguments) == 2
    assert "cannot be compared" in capsys.readouterr().err


def test_export_passes_any_classifier_through_the_gate(
    teacher: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """int8 of a model that limbeck did not make is judged the same way."""
    arguments = ["--model", teacher, "--test", files["test"], "--output", tmp_path / "out"]
    assert _run("export", *arguments, *FAST) == 0
    gate = read_json(tmp_path / "out" / "gate.json")
    accepted = [entry["file"] for entry in gate["exports"] if entry["accepted"]]
    assert accepted
    assert {path.name for path in (tmp_path / "out").glob("*.onnx")} == set(accepted)
    assert _run("export", *arguments, *FAST) == 2  # what is there is not overwritten


def test_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """What each needs, costs, and when to choose it."""
    assert _run("methods") == 0
    shown = capsys.readouterr().out
    for word in ("logits", "hidden", "labels", "needs", "costs", "choose"):
        assert word in shown


def test_a_dry_run_reads_no_weights_and_writes_nothing(
    teacher: Path,
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It must be free, or nobody looks before leaping."""
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(teacher, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    status = _run(
        "distill", "--teacher", bare, "--train", files["train"], "--validation",
        files["validation"], "--student", "layers=2 vocabulary=trim", "--dry-run",
    )  # fmt: skip
    assert status == 0
    shown = capsys.readouterr().out
    for word in ("teacher", "student", "steps", "disk", "tokens kept", "validation 80"):
        assert word in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_predict_answers_every_format(
    teacher: Path, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One JSON line a text, in the order of the file."""
    status = _run(
        "distill", "--teacher", teacher, "--train", files["train"], "--validation",
        files["validation"], "--test", files["test"], "--output", tmp_path / "run", *FAST,
        "--set", f"knowledge.folder={tmp_path / 'k'}", "--set", "training.epochs=1",
        "--set", "evaluation.control=false",
    )  # fmt: skip
    assert status == 0
    capsys.readouterr()
    texts = ["superb and lovely", "awful, dull", "warm fresh film"]
    (tmp_path / "a.txt").write_text("\n".join(texts) + "\n")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    answers = []
    for name in ("a.txt", "a.jsonl"):
        assert _run("predict", tmp_path / "run", tmp_path / name) == 0
        answers.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 3
    out = tmp_path / "answers.jsonl"
    assert _run("predict", tmp_path / "run", tmp_path / "a.txt", "--output", out) == 0
    assert len(out.read_text().splitlines()) == 3


def test_pretrain_makes_a_student_that_a_run_begins_with(
    random_teacher: Path, teacher: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """A general student that no task can begin with would be days lost."""
    from transformers import AutoModel

    sentences = [f"the man and his dog on an island by the {w}." for w in ("sea", "rain")] * 300
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text("\n".join(sentences))
    keep = ["--set", f"knowledge.folder={tmp_path / 'k'}", *FAST]
    made = tmp_path / "general"
    status = _run(
        "pretrain", "--teacher", random_teacher, "--plain", tmp_path / "books", "--student",
        "layers=2", "--method", "tinybert", "--output", made, *keep,
    )  # fmt: skip
    assert status == 0
    assert AutoModel.from_pretrained(made).config.num_hidden_layers == 2
    again = ("pretrain", "--teacher", random_teacher, "--plain", tmp_path / "books")
    assert _run(*again, "--method", "tinybert", "--output", made, *keep) == 2
    status = _run(
        "distill", "--teacher", teacher, "--train", files["train"], "--test", files["test"],
        "--student", f"checkpoint={made}", "--output", tmp_path / "run", *keep,
        "--set", "evaluation.control=false",
    )  # fmt: skip
    assert status == 0
    notes = read_json(tmp_path / "run" / "report.json")["training"]["student"]["notes"]
    assert notes == [f"weights from {made}"]
