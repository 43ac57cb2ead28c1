"""What a plan takes and refuses for tasks whose outputs are no distribution over classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.methods import method_names
from limbeck.errors import DataError, LimbeckError, RecipeError, TeacherError
from limbeck.files import read_json, write_json
from limbeck.run.plan import make_plan

_SETS, _NUMBERS = "multi_label_classification", "regression"
_ROWS: dict[str, list[Any]] = {_SETS: [["negative"], ["negative", "positive"], []],
                               _NUMBERS: [1, 2.5, 4]}  # fmt: skip


@pytest.fixture(scope="module")
def teachers(random_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Configs and tokenizers of teachers of each task; no plan reads weights."""
    found = {}
    for problem in (_SETS, _NUMBERS):
        folder = found[problem] = tmp_path_factory.mktemp(problem)
        for file in random_teacher.iterdir():
            if file.suffix == ".json":
                (folder / file.name).write_bytes(file.read_bytes())
        config = read_json(folder / "config.json") | {"problem_type": problem}
        if problem == _NUMBERS:
            config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
        write_json(folder / "config.json", config)
    return found


@pytest.fixture(params=[_SETS, _NUMBERS])
def plan_of(
    request: pytest.FixtureRequest, teachers: dict[str, Path], recipe: Callable[..., Any],
    tmp_path: Path,
) -> Callable[..., Any]:  # fmt: skip
    """Makes a plan for a teacher of the task; keywords as `recipe`."""
    problem = request.param
    labels, column = _ROWS[problem] * 10, "score" if problem == _NUMBERS else "labels"
    files = {}
    for split in ("train", "validation", "test"):
        path = tmp_path / f"{split}.jsonl"
        rows = [{"text": f"{split} {n}", column: one} for n, one in enumerate(labels)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files[f"data__{split}"] = str(path)

    def make(**settings: Any) -> Any:
        own = {"teacher__path": str(teachers[problem]), **files, **settings}
        return make_plan(recipe(**own), cache=tmp_path / "tokens")

    return make


def _logits(**settings: Any) -> dict[str, Any]:
    return {"objective__terms": [{"kind": "logits", "weight": 1.0} | settings]}


@pytest.mark.parametrize(
    "settings",
    [
        _logits(divergence="decoupled"),
        _logits(divergence="correlation"),
        _logits(divergence="jensen_shannon"),
        _logits(divergence="skewed_reverse_kl"),
        _logits(temperature={"shape": "adaptive"}),
        _logits(examples="teacher_correctness"),
        _logits(examples="student_entropy"),
    ],
    ids=str,
)
def test_refuses_terms_about_exclusive_classes(
    plan_of: Callable[..., Any], settings: dict[str, Any]
) -> None:
    """They would be computed by a softmax over outputs that are no distribution."""
    with pytest.raises(RecipeError, match=r"objective\.terms\[0\].*the task is"):
        plan_of(**settings)


def test_refuses_teachers_that_learn_along_on_classes(plan_of: Callable[..., Any]) -> None:
    """Their own loss is a cross-entropy over classes."""
    for source in ("mutual", "feedback"):
        with pytest.raises(RecipeError, match=rf"knowledge\.source.*{source}"):
            plan_of(knowledge__source=source)


def test_refuses_a_confidence_in_no_class(
    plan_of: Callable[..., Any], teachers: dict[str, Path]
) -> None:
    """There is no probability of the one right class to weigh teachers by."""
    with pytest.raises(RecipeError, match=r"ensemble\.combine"):
        plan_of(ensemble__combine="confidence", ensemble__teachers=[str(teachers[_SETS])])


@pytest.mark.parametrize("method", method_names())
def test_each_method_either_fits_or_is_refused_by_name(
    plan_of: Callable[..., Any], method: str
) -> None:
    """A method that fails in its first step has cost the teacher's answers."""
    try:
        plan = plan_of(method=method, data__plain=[])
    except LimbeckError as refused:
        error = str(refused)
    else:
        assert plan.task.name in ("multi_label", "regression")
        return
    named = ("objective.terms", "stages[", "knowledge.source", "student", "data.plain")
    assert error.startswith((*named, "pretraining"))
    assert method not in ("logits", "labels", "hidden", "tinybert", "minilm2", "patient")


def test_refuses_files_of_another_kind(plan_of: Callable[..., Any], tmp_path: Path) -> None:
    """Pairs beside single texts would be asked about in another form than is trained."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"text_a": "one", "text_b": "two"}) + "\n")
    with pytest.raises(DataError, match=r"data\.unlabelled.*pairs of texts"):
        plan_of(data__unlabelled=[str(pairs)])
    labelled = {"text_a": "one", "text_b": "two", "score": 1, "labels": []}
    pairs.write_text(json.dumps(labelled) + "\n")
    with pytest.raises(DataError, match=r"data\.test.*pairs of texts"):
        plan_of(data__test=str(pairs))


def test_rows_without_labels_are_for_the_teacher_alone(
    plan_of: Callable[..., Any], tmp_path: Path
) -> None:
    """Unlabelled rows must not be taught as 0, or as no class."""
    more = tmp_path / "more.jsonl"
    more.write_text("".join(json.dumps({"text": f"more {n}"}) + "\n" for n in range(5)))
    plan = plan_of(data__unlabelled=[str(more)])
    assert plan.material.counts["train_rows_labelled"] == 30
    assert len(plan.material.train.texts) == 35
    assert len(plan.material.train.labels) == 35


def test_one_number_needs_no_name_to_be_mixed(
    teachers: dict[str, Path], recipe: Callable[..., Any], tmp_path: Path
) -> None:
    """What a teacher calls its only output says nothing; classes must be the same."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"text": f"text {n}", "score": n % 5}) + "\n" for n in range(60))
    )
    other = tmp_path / "other"
    other.mkdir()
    for file in teachers[_NUMBERS].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    config = read_json(other / "config.json") | {
        "id2label": {"0": "score"},
        "label2id": {"score": 0},
    }
    write_json(other / "config.json", config)
    files = {f"data__{split}": str(rows) for split in ("train",)} | {
        "data__validation": None, "data__test": None,
    }  # fmt: skip
    settings = {"teacher__path": str(teachers[_NUMBERS]), "ensemble__teachers": [str(other)]}
    plan = make_plan(recipe(**files, **settings), cache=tmp_path / "tokens")
    assert len(plan.others) == 1
    settings["ensemble__teachers"] = [str(teachers[_SETS])]
    with pytest.raises(TeacherError, match="task is regression"):
        make_plan(recipe(**files, **settings), cache=tmp_path / "tokens")
