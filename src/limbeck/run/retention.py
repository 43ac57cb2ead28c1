"""A budget of retention alone: students are made smaller and smaller until one keeps too little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from limbeck.config.recipe import Recipe, TeacherConfig
from limbeck.progress import say
from limbeck.run.arms import Arm
from limbeck.run.descent import descend
from limbeck.run.folder import RunFolder
from limbeck.run.material import Datasets
from limbeck.run.plan import Plan, make_plan
from limbeck.run.point import Point, terms_below
from limbeck.run.recording import Knowledge, Teacher
from limbeck.student.plan import counts_of
from limbeck.tasks.task import merit
from limbeck.teacher.load import load_classifier, look_at
from limbeck.training.choice import Machine


def with_small_vocabulary(recipe: Recipe) -> Recipe:
    """A recipe whose student is to be as small as its retention allows, its vocabulary trimmed.

    What the user said of the vocabulary stands.
    """
    student = recipe.student
    if student.keeps is None or "vocabulary" in student.model_fields_set:
        return recipe
    trimmed = student.model_copy(update={"vocabulary": "trim"})
    return recipe.model_copy(update={"student": trimmed})


def student_that_keeps(
    plan: Plan,
    teacher: Teacher,
    knowledge: Knowledge,
    machine: Machine,
    run: RunFolder,
    *,
    cache: Path,
) -> Arm:
    """The smallest student of a descent that keeps the budget's share on validation.

    Where not even the first one does, it is the first one: the verdict says what it keeps.

    Args:
        plan: The run's plan; its student is the first of the descent.
        teacher: Where weights are cut from.
        knowledge: Its answers.
        machine: Precision, attention and threads.
        run: Where everything goes.
        cache: Where token ids are kept.
    """
    share = plan.recipe.student.keeps
    assert share is not None
    assert knowledge.validation is not None
    whole = merit(plan.task, knowledge.validation.all_logits(), plan.material.validation.labels)

    def kept(point: Point) -> float:
        return point.validation_score / whole if whole > 0 else 0.0

    points = descend(
        plan, teacher, knowledge, machine, run, cache, enough=lambda one: kept(one) < share
    )
    holding = [point for point in points if kept(point) >= share]
    chosen = holding[-1] if holding else points[0]
    arm = _loaded(chosen, plan)
    others = (
        f"point {point.number} of the descent keeps {kept(point):.2%} of the teacher on validation"
        + ", and is the student" * (point is chosen)
        for point in points
    )
    arm = replace(arm, notes=(*arm.notes, *others))
    for note in arm.notes:
        say(f"  {note}")
    return arm


def _loaded(point: Point, plan: Plan) -> Arm:
    """A point as an arm of a run."""
    own = look_at(TeacherConfig(path=str(point.smallest)), role="student")
    model = load_classifier(own, attention="eager")
    model.eval()
    tokenizer = plan.student.checkpoint.tokenizer
    return Arm(model, tokenizer, point.outcome, (), plan.student.checkpoint.family, point.kept)


def as_fixed(plan: Plan, student: Arm, *, cache: Path, datasets: Datasets | None) -> Plan:
    """The plan of a student like this one that is cut in one shot: that of the control arm.

    Args:
        plan: The run's.
        student: What the descent chose.
        cache: Where token ids are kept.
        datasets: Splits given as objects.
    """
    counts = counts_of(student.model, student.family)
    if student.kept is None:
        return replace(plan, student_counts=counts)
    kept, wanted = student.kept, plan.recipe.student
    pruning = wanted.pruning.model_copy(
        update={
            "heads": _mean(kept.heads),
            "neurons": _mean(kept.neurons),
            "embedding_rank": kept.rank,
        }
    )
    fixed = wanted.model_copy(
        update={
            "budget": None,
            "layers": len(kept.heads),
            "from_layers": None,
            "pruning": pruning,
        }
    )
    objective = plan.recipe.objective.model_copy(update={"terms": terms_below(plan.terms)})
    recipe = plan.recipe.model_copy(update={"student": fixed, "objective": objective, "stages": ()})
    found = make_plan(recipe, cache=cache, datasets=datasets)
    return replace(found, material=plan.material, student_counts=counts)


def _mean(layers: tuple[tuple[int, ...], ...]) -> int:
    return max(1, round(sum(map(len, layers)) / len(layers)))
