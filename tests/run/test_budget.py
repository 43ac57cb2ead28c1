"""Budgets on this machine: what is measured, kept and predicted, and what a recipe becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.budget import table as tables
from limbeck.budget.structure import Structure
from limbeck.budget.table import read_table
from limbeck.config.load import dump_recipe, load_recipe
from limbeck.errors import RecipeError, StudentError
from limbeck.plan import plan
from limbeck.run import budget as budgets
from limbeck.run.budget import BudgetPlan
from limbeck.run.describe import describe
from limbeck.run.describe_budget import plan_lines
from limbeck.run.plan import make_plan

Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """How well this machine is timed is not what is tested here."""
    monkeypatch.setattr("limbeck.budget.probe._TURNS", 3)
    monkeypatch.setattr("limbeck.budget.probe._ROUNDS", 1)


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this machine's table is kept for all tests of this file."""
    return tmp_path_factory.mktemp("knowledge")


@pytest.fixture
def budgeted(recipe: Make, knowledge: Path) -> Make:
    """Makes a recipe with a budget for the tiny teacher."""

    def make(budget: str, **settings: Any) -> Any:
        given = {"student__layers": None, "knowledge__folder": str(knowledge)} | settings
        return recipe(student__budget=budget, **given)

    return make


def _within(found: BudgetPlan) -> bool:
    one, limits = found.chosen, found.limits
    return max(limits.excess(one.latency_ms, one.texts_per_s, one.size_mb).values()) <= 1


def test_a_size_is_met_and_its_prediction_holds(budgeted: Make, tmp_path: Path) -> None:
    """Bytes are arithmetic: three percent off is a file that does not fit its flash."""
    from limbeck.budget.probe import take_probes
    from limbeck.run.mold import mold_of
    from limbeck.run.plan import gather
    from limbeck.tasks.known import task_of_teacher
    from limbeck.teacher.load import look_at

    made = budgeted("size<=95kB")
    found = plan(made)
    assert found.needs_cut
    assert _within(found)
    teacher = look_at(made.teacher)
    task = task_of_teacher(teacher.config, "auto", where="x")
    material, _ = gather(made, teacher, task, tmp_path / "tokens", None)
    mold = mold_of(made, teacher, task, material, tmp_path / "tokens")
    vocabulary = found.whole.vocabulary
    shapes = [Structure(3, 2, 24, vocabulary), Structure(4, 4, 64, vocabulary)]
    probes, failures = take_probes(mold, shapes, list(found.table.costs), tmp_path / "probes")
    assert not failures
    assert len(probes) == 2 * len(found.table.costs)
    for probe in probes:
        predicted = found.table.costs[probe.runtime].of_structure(probe.structure)
        assert predicted.size_mb == pytest.approx(probe.size_mb, rel=0.03), probe


def test_the_table_is_measured_once(
    budgeted: Make, knowledge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute before every plan would be a minute too many; a damaged file is none."""
    first = plan(budgeted("size<=95kB"))
    real, measured = budgets.measure_table, [0]

    def counted(*arguments: Any, **settings: Any) -> Any:
        measured[0] += 1
        return real(*arguments, **settings)

    monkeypatch.setattr(budgets, "measure_table", counted)
    again = plan(budgeted("size<=95kB"))
    assert measured == [0]
    assert again == first
    place = next((knowledge / "latency").glob("*.json"))
    assert read_table(place) == first.table
    place.write_text(place.read_text()[:200])
    assert read_table(place) is None


def test_another_machine_or_text_length_has_a_table_of_its_own(
    budgeted: Make, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times of short texts say nothing of long ones."""
    from limbeck.run.mold import mold_of
    from limbeck.run.plan import gather
    from limbeck.tasks.known import task_of_teacher
    from limbeck.teacher.load import look_at

    def path(**settings: Any) -> Path:
        made = budgeted("size<=95kB", **settings)
        teacher = look_at(made.teacher)
        task = task_of_teacher(teacher.config, "auto", where="x")
        material, _ = gather(made, teacher, task, tmp_path, None)
        mold = mold_of(made, teacher, task, material, tmp_path)
        return tables.table_path(tmp_path, mold, ["onnx_int8"])

    first = path()
    assert path() == first
    assert path(data__max_tokens=6) != first
    real = tables.describe
    monkeypatch.setattr(tables, "describe", lambda: {**real(), "processor": "another"})
    assert path() != first


def test_the_recipe_becomes_explicit_and_stays_the_same(budgeted: Make, tmp_path: Path) -> None:
    """Running recipe.yaml again must give the same student, whatever a table says then."""
    made = make_plan(budgeted("size<=95kB"), cache=tmp_path / "tokens")
    student = made.recipe.student
    assert student.budget == "size<=95kB"
    assert student.planned is not None
    assert student.layers is not None
    assert not student.open_budget
    (tmp_path / "again.yaml").write_text(dump_recipe(made.recipe, "again"))
    again = load_recipe(tmp_path / "again.yaml")
    assert again == made.recipe
    assert make_plan(again, cache=tmp_path / "tokens").student_counts == made.student_counts
    assert "for size<=95kB" in "\n".join(describe(made))


def test_a_trimmed_vocabulary_is_taken_where_size_counts(budgeted: Make) -> None:
    """And a vocabulary that the user fixed is not touched."""
    full = plan(budgeted("latency<=1s speedup>=0.0001x", student__layers=2))
    assert full.chosen.structure.vocabulary == full.whole.vocabulary
    trimmed = plan(budgeted("size<=95kB", student__vocabulary="trim"))
    assert trimmed.student().vocabulary == "trim"
    fixed = plan(budgeted("size<=95kB", student__vocabulary="full"))
    assert fixed.chosen.structure.vocabulary == fixed.whole.vocabulary


def test_layers_that_are_fixed_stay(budgeted: Make) -> None:
    """The user knows them better."""
    for settings in ({"student__layers": 3}, {"student__from": "1,2,4"}):
        found = plan(budgeted("size<=110kB", **settings))
        assert found.student().layers == 3
        assert not found.others


def test_a_budget_that_needs_no_cut_is_told(budgeted: Make, tmp_path: Path) -> None:
    """The teacher's own export is free."""
    made = budgeted("size<=100MB latency<=10s")
    found = plan(made)
    assert not found.needs_cut
    assert "No cut is needed" in "\n".join(plan_lines(found))
    with pytest.raises(RecipeError, match="needs no cut: the teacher's own onnx"):
        make_plan(made, cache=tmp_path / "tokens")


@pytest.mark.parametrize(
    ("budget", "settings", "said"),
    [
        ("size<=9kB", {}, r"size<=0.009MB cannot be met here: the smallest structure \(1 layer, 1"),
        ("latency<=1us", {}, "ms at best, as onnx"),
        ("throughput>=1000000000/s", {}, "texts a second at best"),
        ("retention>=99%", {}, "limits neither time nor size"),
        ("size<=95kB", {"student__budget_runtime": "openvino"}, "openvino is not installed"),
        ("size<=40kB", {"student__layers": 4}, r"leave out student.layers"),
    ],
)
def test_refuses_what_cannot_be_met(
    budgeted: Make, budget: str, settings: dict[str, Any], said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Before any training, with the nearest that can be."""
    monkeypatch.setattr(budgets, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=said):
        plan(budgeted(budget, **settings))


def test_refuses_more_layers_than_the_teacher_has(budgeted: Make) -> None:
    """Said before anything is timed."""
    with pytest.raises(StudentError, match="the teacher has 4"):
        plan(budgeted("size<=95kB", student__layers=9))


def test_the_plan_is_a_table_of_80_columns(budgeted: Make) -> None:
    """It is read in a terminal."""
    found = plan(budgeted("size<=95kB smaller>=2x"))
    lines = plan_lines(found)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert text.count("\n* ") == 1
    for word in ("budget    size<=0.095MB smaller>=2x", "texts/s", "keeps", "teacher", "--student"):
        assert word in text
    assert f"layers={found.student().layers}" in text


def test_a_teacher_that_cannot_be_pruned_loses_layers_alone(
    budgeted: Make,
    tiny: dict[str, Any],
    write_tokenizer: Callable[..., Any],
    tmp_path: Path,
    knowledge: Path,
) -> None:
    """Its students are planned too, by the only cut there is."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = tmp_path / "deberta"
    tokenizer = write_tokenizer(folder)
    names = dict(enumerate(("negative", "positive")))
    config = AutoConfig.for_model(
        **{**tiny["deberta-v2"], "vocab_size": len(tokenizer), "id2label": names,
           "label2id": {name: index for index, name in names.items()}}
    )  # fmt: skip
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    found = plan(budgeted("latency<=10s", **{"teacher.path": str(folder)}, student__layers=2))
    student = found.student()
    assert student.layers == 2
    assert not student.pruning.wanted
