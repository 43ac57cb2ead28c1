"""A teacher that is a file: the whole road, and what is refused before it costs time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.read import read_rows
from limbeck.distill import distill, plan_only
from limbeck.errors import LimbeckError
from limbeck.files import read_json
from limbeck.run.plan import make_plan
from limbeck.run.recording import ask_teacher, load_teacher

Recipes = Callable[..., Any]


@pytest.fixture
def say(tmp_path: Path) -> Callable[..., Path]:
    """Writes what a model would say of the rows of a file: sure of their labels."""

    def make(
        source: Path, name: str, *, every: int = 1, sure: float = 0.9, ids: str | None = "train"
    ) -> Path:
        rows = []
        for number, row in enumerate(read_rows(str(source)), start=1):
            share = sure if row["label"] else 1 - sure
            own = {"id": f"{ids}/{number}"} if ids is not None else {}
            if (number - 1) % every == 0:
                rows.append({**own, "probabilities": [1 - share, share]})
        place = tmp_path / name
        place.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return place

    return make


@pytest.fixture
def boxed(recipe: Recipes, random_teacher: Path) -> Recipes:
    """Makes a recipe whose teacher is a file; the encoder's own head is arbitrary."""

    def make(**settings: Any) -> Any:
        values = {"teacher__path": str(random_teacher), "training__threads": 1}
        return recipe(**(values | settings))

    return make


def test_a_student_learns_from_a_file_and_the_report_says_what_is_unknown(
    boxed: Recipes, say: Callable[..., Path], files: dict[str, Path], tmp_path: Path
) -> None:
    """Scores of a model that is gone must be enough, and nothing may be made up of it."""
    answers = say(files["train"], "answers.jsonl", every=2)
    report = distill(
        boxed(
            teacher__answers__train=str(answers),
            teacher__answers__missing_share=0.6,
            training__epochs=6,
            training__learning_rate=3e-3,
        )
    )
    assert report.student.score.value > 0.85
    assert report.teacher is None
    assert report.agreement is None
    assert report.retention is None
    assert set(report.arms) == {"control"}
    assert set(report.differences) == {"student_minus_control"}
    assert report.data["train_rows_told"] == pytest.approx(200, abs=15)
    assert "are unknown" in report.verdict[0]
    assert "is unknown" in report.verdict[1]
    assert any("no answer and taught by their labels" in text for text in report.warnings)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "not known" in page
    assert "unknown" in (tmp_path / "run" / "student" / "README.md").read_text()


def test_answers_on_the_test_rows_show_what_is_kept(
    boxed: Recipes, say: Callable[..., Path], files: dict[str, Path]
) -> None:
    """Where fidelity can be measured it must be: it is what the user pays for."""
    report = distill(
        boxed(
            teacher__answers__train=str(say(files["train"], "train.jsonl")),
            teacher__answers__test=str(say(files["test"], "test.jsonl", ids="test")),
            training__epochs=6,
            training__learning_rate=3e-3,
            evaluation__control=False,
        )
    )
    assert report.teacher is not None
    assert report.teacher.score.value == 1.0
    assert report.teacher.latency_ms_p50 is None
    assert report.teacher.parameters is None
    assert report.retention is not None
    assert report.retention.value == pytest.approx(report.student.score.value)
    assert report.agreement == pytest.approx(report.student.score.value)
    assert "of the teacher's answers" in report.verdict[0]


def test_a_row_without_an_answer_learns_from_its_label_alone(
    boxed: Recipes, say: Callable[..., Path], files: dict[str, Path], tmp_path: Path
) -> None:
    """NaN of a missing answer in the loss would end the training; a 0 would teach nonsense."""
    plan = make_plan(
        boxed(teacher__answers__train=str(say(files["train"], "answers.jsonl", every=2))),
        cache=tmp_path / "cache",
    )
    knowledge = ask_teacher(plan, load_teacher(plan), cache=tmp_path / "cache")
    assert knowledge.train is not None
    told = knowledge.train.told
    assert told is not None
    numbers = [int(identity.split("/")[1]) for identity in plan.material.train.texts.ids]
    np.testing.assert_array_equal(told, [number % 2 == 1 for number in numbers])
    rows = np.flatnonzero(told)[:40]
    shares = knowledge.train.logits(rows).softmax(-1).numpy()
    right = plan.material.train.labels[rows]
    np.testing.assert_allclose(shares[np.arange(40), right], 0.9, rtol=1e-5)


def test_the_same_answers_by_id_by_place_and_as_knowledge_give_the_same_targets(
    boxed: Recipes, say: Callable[..., Path], files: dict[str, Path], tmp_path: Path, limbeck: Any
) -> None:
    """How answers were joined must not matter: a shift by one row would teach other texts."""
    by_id = say(files["train"], "by_id.jsonl")
    rows = [json.loads(line) for line in by_id.read_text().splitlines()]
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)), encoding="utf-8")
    array = tmp_path / "by_place.npy"
    np.save(array, np.array([row["probabilities"] for row in rows]))
    wide = tmp_path / "wide.csv"
    lines = [f"{row['id']},{row['probabilities'][1]},{row['probabilities'][0]}" for row in rows]
    wide.write_text("id,positive,negative\n" + "\n".join(lines) + "\n", encoding="utf-8")
    ended = limbeck(
        "record", "--vectors", by_id, "--train", files["train"], "--answers-kind", "probabilities",
        "--task", "single_label", "--set", "data.labels=[negative, positive]",
    )  # fmt: skip
    assert ended.status == 0, ended.told
    manifest = next(path for path in tmp_path.glob("knowledge/*/manifest.json"))
    assert read_json(manifest)["complete"]
    settings: dict[str, Any] = {"data__labels": ("negative", "positive")}
    found = []
    for source in (by_id, mixed, array, wide, manifest.parent):
        plan = make_plan(
            boxed(teacher__answers__train=str(source), **settings), cache=tmp_path / "cache"
        )
        assert plan.box is not None
        found.append(plan.box.train)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-5)


@pytest.fixture
def limbeck(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a command in this process, from inside tmp_path."""
    from types import SimpleNamespace

    from limbeck.cli.main import app, run

    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> SimpleNamespace:
        status = run(lambda: app([str(one) for one in arguments], standalone_mode=True))
        return SimpleNamespace(status=status, told=capsys.readouterr().err)

    return command


def test_the_rows_own_ids_join_answers(boxed: Recipes, tmp_path: Path) -> None:
    """Users have ids of their own, and their scores come in another order."""
    texts, answers = [], []
    for number in range(60):
        word = "bright" if number % 2 else "dull"
        texts.append({"key": f"k{number}", "text": f"a {word} film {number}", "label": number % 2})
        answers.append({"key": f"k{number}", "logits": [0.0, float(number)]})
    train, said = tmp_path / "own.jsonl", tmp_path / "said.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    said.write_text("".join(json.dumps(row) + "\n" for row in reversed(answers)), encoding="utf-8")
    plan = make_plan(
        boxed(
            data__train=str(train),
            teacher__answers__train=str(said),
            teacher__answers__kind="logits",
            teacher__answers__id_column="key",
        ),
        cache=tmp_path / "cache",
    )
    assert plan.box is not None
    numbers = [int(text.split()[-1]) for text in plan.material.train.texts.texts]
    np.testing.assert_array_equal(plan.box.train[:, 1], numbers)


def test_labels_that_hold_together_get_a_probability_each(boxed: Recipes, tmp_path: Path) -> None:
    """Sets of labels have no softmax: each probability becomes a logit of its own."""
    texts, answers = [], []
    for number in range(60):
        labels = [name for name, every in (("warm", 2), ("bright", 3)) if number % every == 0]
        texts.append({"text": f"a film {number}", "labels": labels})
        share = {"bright": 0.9 if number % 3 == 0 else 0.2, "warm": 0.5}
        answers.append({"id": f"train/{number + 1}", "probabilities": share})
    train, said = tmp_path / "sets.jsonl", tmp_path / "said.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    said.write_text("".join(json.dumps(row) + "\n" for row in answers), encoding="utf-8")
    plan = make_plan(
        boxed(
            data__train=str(train), data__validation=None, data__test=None,
            teacher__answers__train=str(said),
        ),
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert plan.task.name == "multi_label"
    assert plan.box is not None
    told = plan.task.answers(plan.box.train)
    numbers = np.array([int(text.split()[-1]) for text in plan.material.train.texts.texts])
    place = plan.material.names.index("bright")
    wanted = np.where(numbers % 3 == 0, 0.9, 0.2)
    np.testing.assert_allclose(told[:, place], wanted, atol=1e-5)
    np.testing.assert_allclose(told[:, 1 - place], 0.5, atol=1e-5)


def test_numbers_become_a_regression(boxed: Recipes, tmp_path: Path) -> None:
    """A scorer without classes is a black box too."""
    rows = [{"text": f"a film {number}", "score": number / 60} for number in range(60)]
    train = tmp_path / "scored.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = tmp_path / "told.npy"
    np.save(told, np.arange(60) / 50)
    plan = make_plan(
        boxed(
            data__train=str(train), data__validation=None, data__test=None,
            teacher__answers__train=str(told), teacher__answers__kind="scores",
        ),
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert plan.task.name == "regression"
    assert plan.box is not None
    numbers = np.array([int(text.split()[-1]) for text in plan.material.train.texts.texts])
    np.testing.assert_allclose(plan.box.train[:, 0], numbers / 50, rtol=1e-6)


def test_a_text_student_learns_vectors_of_another_width_from_anywhere(
    boxed: Recipes, files: dict[str, Path], tmp_path: Path
) -> None:
    """An image encoder's space has its own width: the student must get a layer into it."""
    rows = list(read_rows(str(files["train"])))
    generator = np.random.default_rng(0)
    table = {word: generator.normal(size=48) for row in rows for word in row["text"].split()}
    vectors = np.stack([sum(table[word] for word in row["text"].split()) for row in rows])
    np.save(tmp_path / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    report = distill(
        boxed(
            teacher__pooling="mean",
            teacher__answers__train=str(tmp_path / "vectors.npy"),
            teacher__answers__kind="vectors",
            data__validation=None,
            data__test=None,
            training__epochs=20,
            training__learning_rate=3e-3,
        )
    )
    assert report.score_name == "mean cosine to the teacher"
    assert report.teacher is not None
    assert report.teacher.score.value == pytest.approx(1.0)
    assert report.student.score.value > 0.5
    assert not [export for export in report.exports if "width" in export.reason]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "live": ({"knowledge__source": "live"}, "nobody can ask"),
    "copies": ({"data__augment__copies": 1}, "copies are new texts"),
    "layers": ({"method": "hidden"}, "looks at layers"),
    "budget": ({"student__budget": "latency<=5ms"}, "nobody can ask"),
    "missing": ({"teacher__answers__missing_share": 0.1}, r"training rows \(50\.\d%\) have no"),
    "no texts": ({"data__test": None, "teacher__answers__test": "SAME"}, "data.test names none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_a_file_cannot_answer(
    name: str,
    boxed: Recipes,
    say: Callable[..., Path],
    files: dict[str, Path],
    tmp_path: Path,
) -> None:
    """Each would fail after hours, or train on something that nobody said."""
    answers = say(files["train"], "answers.jsonl", every=2)
    settings, message = REFUSED[name]
    settings = {key: str(answers) if value == "SAME" else value for key, value in settings.items()}
    with pytest.raises(LimbeckError, match=message):
        plan_only(boxed(teacher__answers__train=str(answers), **settings), cache=tmp_path / "cache")


def test_refuses_a_frontier_of_a_file(
    boxed: Recipes, say: Callable[..., Path], files: dict[str, Path]
) -> None:
    """Its points are measured beside the teacher."""
    from limbeck.frontier import frontier

    recipe = boxed(teacher__answers__train=str(say(files["train"], "answers.jsonl")))
    with pytest.raises(LimbeckError, match="measured beside its teacher"):
        frontier(recipe)


def test_the_command_line_names_answers(
    limbeck: Any, say: Callable[..., Path], files: dict[str, Path], random_teacher: Path
) -> None:
    """Users begin there; exactly one of a model and a file is recorded."""
    answers = say(files["train"], "answers.jsonl")
    ended = limbeck(
        "distill", "--teacher", random_teacher, "--teacher-answers", answers,
        "--train", files["train"], "--student", "layers=2", "--dry-run",
    )  # fmt: skip
    assert ended.status == 0, ended.told
    ended = limbeck("record", "--train", files["train"])
    assert ended.status == 2
    assert "neither is given" in ended.told


def test_a_sources_vector_stands_for_its_translations(boxed: Recipes, tmp_path: Path) -> None:
    """An API's vectors of English texts teach the other languages too."""
    rows = [{"en": f"a film {n}", "de": f"ein film {n}"} for n in range(40)]
    train = tmp_path / "parallel.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    plan = make_plan(
        boxed(
            data__train=str(train), data__validation=None, data__test=None,
            data__parallel__source="en", data__parallel__targets=["de"],
            teacher__pooling="mean", teacher__answers__kind="vectors",
            teacher__answers__train=str(tmp_path / "vectors.npy"),
        ),
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert plan.box is not None
    numbers = [int(text.split()[-1]) for text in plan.material.train.texts.texts]
    assert len(numbers) == 2 * len(set(numbers))
    np.testing.assert_array_equal(plan.box.train, vectors[numbers])


def test_refuses_answers_in_another_order_of_classes(
    boxed: Recipes, say: Callable[..., Path], files: dict[str, Path], tmp_path: Path
) -> None:
    """A list without names may be turned round, and would train towards the opposite."""
    answers = say(files["train"], "answers.jsonl", sure=0.1)
    recipe = boxed(teacher__answers__train=str(answers), data__validation=None)
    plan = make_plan(recipe, cache=tmp_path / "cache")
    with pytest.raises(LimbeckError, match="label order differs"):
        ask_teacher(plan, load_teacher(plan), cache=tmp_path / "cache")
