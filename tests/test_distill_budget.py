"""The whole road for a budget: planned, trained, measured, told, and the same again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.load import load_recipe
from limbeck.distill import distill
from limbeck.errors import OutputError
from limbeck.evaluation.budget import budget_of, budget_sentence, nearest_to_budget
from limbeck.evaluation.report import Report
from limbeck.run import budget as budgets

Make = Callable[..., Any]
BUDGET = "size<=95kB throughput>=1/s"


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """How well this machine is timed is not what is tested here."""
    monkeypatch.setattr("limbeck.budget.probe._TURNS", 3)
    monkeypatch.setattr("limbeck.budget.probe._ROUNDS", 1)


def test_a_student_is_made_to_its_budget(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that is served must be the one that was paid for, in every run of the recipe."""
    settings = {
        "student__layers": None,
        "student__budget": BUDGET,
        "evaluation__control": False,
        "knowledge__precision": "float32",
        "training__attention": "eager",
    }
    report = distill(recipe(**settings))
    student = report.recipe["student"]
    assert student["budget"] == BUDGET
    assert student["layers"] >= 1
    planned = student["planned"]
    export = report.export(planned["runtime"])
    assert export is not None
    assert export.size_mb == pytest.approx(planned["size_mb"], rel=0.03)
    said = next(line for line in report.verdict if line.startswith("The budget was"))
    assert "size<=0.095MB throughput>=1/s, planned for" in said
    if any(one.accepted and one.size_mb <= 0.095 for one in report.exports):
        assert "It is met" in said

    def never(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("planned again")

    monkeypatch.setattr(budgets, "plan_budget", never)
    assert distill(recipe(**settings)) == report  # the same command: the finished run's report
    with pytest.raises(OutputError, match=r"student\.budget"):
        distill(recipe(**{**settings, "student__budget": "size<=90kB"}))
    with pytest.raises(OutputError, match=r"student\.layers"):
        distill(recipe(**{**settings, "student__layers": student["layers"] + 1}))
    again = load_recipe(
        tmp_path / "run" / "recipe.yaml", values={"output": str(tmp_path / "again")}
    )
    twice = distill(again)
    assert twice.student.parameters == report.student.parameters
    assert twice.student.score == report.student.score


def _report(report: Report, budget: str | None, **figures: float) -> Report:
    exports = [export.model_copy(update=figures) for export in report.exports if export.accepted]
    planned = {"runtime": "onnx_int8", "latency_ms": 0.5, "texts_per_s": 900.0, "size_mb": 5.0}
    student = {"budget": budget, "planned": planned}
    return report.model_copy(update={"exports": exports, "recipe": {"student": student}})


@pytest.fixture(scope="module")
def finished(random_teacher: Path) -> Report:
    """A report whose figures the tests below replace."""
    from limbeck.evaluation.report import Export, Performance, Span

    span = Span(value=0.9, low=0.88, high=0.92)
    model = Performance(
        score=span, latency_ms_p50=10.0, latency_ms_p95=20.0, texts_per_s=100.0, size_mb=90.0,
        parameters=10, encoder_parameters=5, runtime="transformers", metrics={}, agreement=1.0,
        calibration_error=None, peak_memory_mb=None, train_seconds=None, per_class={},
        confusion=[],
    )  # fmt: skip
    export = Export(
        name="onnx_int8", file="x", accepted=True, reason="", score=span, score_change=0.0,
        flips=0, latency_ms_p50=0.5, latency_ms_p95=1.0, texts_per_s=1000.0, size_mb=5.0,
        parameters=10, peak_memory_mb=None,
    )  # fmt: skip
    return Report(
        limbeck_version="0", machine={}, recipe={}, task="single_label", data={},
        score_name="accuracy", verdict=[], warnings=[], teacher=model, student=model, arms={},
        retention=span, agreement=1.0, differences={},
        exports=[export, export.model_copy(update={"name": "onnx", "accepted": False})],
        best_single=None, best_bulk=None, training={}, disagreements=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "figures", "said"),
    [
        ("latency<=0.6ms size<=6MB", {}, "It is met: onnx_int8 answers in 0.50 ms, 1,000 texts/s"),
        ("latency<=0.4ms", {}, "which misses latency by 25.0%."),
        ("latency<=0.4ms", {}, 'run with the budget "latency<=0.313725ms"'),
        ("latency<=0.4ms size<=4MB", {}, "misses latency by 25.0% and size by 25.0%"),
        ("speedup>=20x", {}, "It is met"),
        ("speedup>=25x", {}, "misses speedup by 25.0%"),
        ("smaller>=18x", {}, "It is met"),
        ("smaller>=36x", {}, "misses smaller by 100.0%"),
        ("throughput>=1500/s", {}, "misses throughput by 50.0%"),
        ("size<=6MB retention>=99%", {}, "It is met: onnx_int8 answers"),
        ("size<=6MB retention>=99%", {}, "and keeps 100.0% of the teacher's score"),
        ("size<=6MB", {"size_mb": 9.0}, "misses size by 50.0%"),
        ("size<=6MB", {}, "planned for onnx_int8 with 0.50 ms, 900 texts/s and 5.0 MB"),
    ],
)
def test_the_verdict_says_met_or_missed_and_by_how_much(
    finished: Report, budget: str, figures: dict[str, float], said: str
) -> None:
    """A budget that is silently missed is found out in production."""
    assert said in str(budget_sentence(_report(finished, budget, **figures)))


def test_refused_exports_meet_no_budget(finished: Report) -> None:
    """Fast and wrong is not fast."""
    report = _report(finished, "size<=6MB").model_copy(update={"exports": finished.exports[1:]})
    assert str(budget_sentence(report)).endswith("It is missed: no export was accepted.")


def test_the_export_that_misses_least_is_judged(finished: Report) -> None:
    """Not the first one, nor the fastest."""
    from limbeck.config.budget import parse_budget

    budget = parse_budget("latency<=0.4ms size<=5MB")
    report = _report(finished, "latency<=0.4ms size<=5MB")
    fast = report.exports[0].model_copy(
        update={"name": "onnx_fused", "latency_ms_p50": 0.3, "size_mb": 20.0}
    )
    report = report.model_copy(update={"exports": [fast, report.exports[0]]})
    nearest = nearest_to_budget(report, budget)
    assert nearest is not None
    assert nearest.export.name == "onnx_int8"
    assert nearest.worst == pytest.approx(1.25)


def test_without_a_budget_nothing_is_said(finished: Report) -> None:
    """Most runs have none."""
    assert budget_sentence(_report(finished, None)) is None
    assert budget_sentence(finished) is None


def test_a_run_that_misses_its_budget_prunes_on(recipe: Make, tmp_path: Path) -> None:
    """A prediction may be wrong; what was measured is not, and the student is trained already."""
    planned = {"runtime": "onnx_int8", "latency_ms": 1.0, "texts_per_s": 1.0, "size_mb": 0.09}
    settings = {
        "student__layers": 2,
        "student__budget": "size<=75kB",
        "student__planned": {**planned, "corrections": 2},
        "student__pruning": {"heads": 4, "neurons": 64},
        "evaluation__control": True,
        "knowledge__precision": "float32",
        "training__attention": "eager",
    }
    report = distill(recipe(**settings))
    student = report.recipe["student"]
    assert student["planned"]["corrections"] == 0
    (cut,) = student["pruning"]["again"]
    assert cut["neurons"] < 64
    small = min(export.size_mb for export in report.exports if export.accepted)
    assert small <= 0.075
    assert any("It is met" in line for line in report.verdict)
    for arm in ("student", "control"):
        assert any("pruned: " in note for note in report.training[arm]["notes"])
    again = load_recipe(
        tmp_path / "run" / "recipe.yaml", values={"output": str(tmp_path / "again")}
    )
    twice = distill(again)
    assert twice.recipe["student"] == student
    assert twice.student.score == report.student.score


def test_of_the_exports_that_meet_a_budget_the_fastest_is_named(finished: Report) -> None:
    """The one that keeps most is the slowest, and is not the one that serves."""
    fast = finished.exports[0]
    best = fast.score.model_copy(update={"value": 0.9})
    slow = fast.model_copy(update={"name": "onnx", "latency_ms_p50": 4.0, "score": best})
    less = fast.score.model_copy(update={"value": 0.895})
    fast = fast.model_copy(update={"score": less})
    recipe = {"student": {"budget": "retention>=99%"}}
    report = finished.model_copy(update={"exports": [slow, fast], "recipe": recipe})
    budget = budget_of(report)
    assert budget is not None
    nearest = nearest_to_budget(report, budget)
    assert nearest is not None
    assert nearest.export.name == "onnx_int8"
    worse = fast.model_copy(update={"score": less.model_copy(update={"value": 0.8})})
    report = report.model_copy(update={"exports": [slow, worse]})
    nearest = nearest_to_budget(report, budget)
    assert nearest is not None
    assert nearest.export.name == "onnx"


def test_a_budget_of_retention_alone_becomes_the_smallest_student_that_holds_it(
    recipe: Make, tmp_path: Path
) -> None:
    """A user who knows what may be lost, and not what it costs, must not have to try by hand."""
    from transformers import AutoModelForSequenceClassification

    from limbeck.serve.predictor import Predictor

    settings = {
        "student__budget": "retention>=60%",
        "frontier__points": 3,
        "frontier__smallest": 0.1,
        "frontier__learning_rates": [1e-3, 3e-3],
    }
    report = distill(recipe(**settings))
    assert report.recipe["student"]["budget"] == "retention>=60%"
    assert report.recipe["student"]["vocabulary"] == "trim"
    points = sorted((tmp_path / "run" / "points").glob("[0-9]"))
    assert len(points) == 3  # all hold so little
    assert report.student.encoder_parameters < 0.15 * report.teacher.encoder_parameters
    # The control is the same student, cut in one shot and taught by labels.
    control = report.arms["control"]
    assert control.encoder_parameters == report.student.encoder_parameters
    assert any("and is the student" in note for note in report.training["student"]["notes"])
    said = next(line for line in report.verdict if line.startswith("The budget was"))
    assert "retention>=60%" in said
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "student")
    assert stock.config.num_hidden_layers <= 2
    assert Predictor(tmp_path / "run").predict(["a text"])
    assert distill(recipe(**settings)) == report


def test_a_retention_that_nothing_holds_makes_the_first_student_and_says_so(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going on down from a student that keeps too little would end at the smallest of all."""
    monkeypatch.setattr("limbeck.run.retention.merit", lambda *_: 2.0)  # twice what can be reached
    settings = {"frontier__points": 3, "frontier__smallest": 0.1, "training__epochs": 1}
    report = distill(recipe(student__budget="retention>=90%", **settings))
    assert [path.name for path in (tmp_path / "run" / "points").glob("[0-9]")] == ["1"]
    assert "and is the student" in report.training["student"]["notes"][0]
    assert not (tmp_path / "run" / "thin").exists()


def test_a_budget_of_retention_refuses_what_cannot_be_cut(recipe: Make) -> None:
    """Before the teacher is asked about anything, also where nothing is to be run."""
    from limbeck.distill import plan_only
    from limbeck.errors import RecipeError

    for made in (distill, lambda wanted: plan_only(wanted, cache=Path(wanted.output) / "c")):
        with pytest.raises(RecipeError, match="no term is of kind logits or vectors"):
            made(
                recipe(
                    student__budget="retention>=90%",
                    objective__terms=[{"kind": "hidden", "weight": 1.0}],
                )
            )
