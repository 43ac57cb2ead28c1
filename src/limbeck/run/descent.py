"""From the recipe's student downward: each point is cut out of the one above it and trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limbeck.config.student import PruningConfig
from limbeck.errors import RecipeError
from limbeck.run.arms import classroom, train_arm
from limbeck.run.folder import RunFolder
from limbeck.run.plan import Plan
from limbeck.run.point import Maker, Point, keep_point, terms_below
from limbeck.run.recording import Knowledge, Teacher
from limbeck.run.trials import Way
from limbeck.student.descent import Whole, shapes
from limbeck.student.pruned import embedding_width, refuse_unprunable
from limbeck.teacher.family import head_count, layer_count
from limbeck.training.choice import Machine


def descend(
    plan: Plan,
    teacher: Teacher,
    knowledge: Knowledge,
    machine: Machine,
    run: RunFolder,
    cache: Path,
    *,
    enough: Callable[[Point], bool] = lambda _point: False,
) -> tuple[Point, ...]:
    """Make every point of the recipe's frontier; those that are finished are read.

    Args:
        plan: The run's plan; its student is the first point.
        teacher: Where weights are cut from.
        knowledge: Its answers.
        machine: Precision, attention and threads.
        run: Where everything goes, the points below ``points/``.
        cache: Where token ids are kept.
        enough: Whether a point is the last one to be made.
    """
    assert knowledge.validation is not None  # a teacher that cannot be asked was refused
    place, answers, wanted = run.points, knowledge.train, plan.recipe.frontier
    point = Point.read(place, 1)
    if point is None:
        arm = train_arm("student", plan, plan.terms, teacher, answers, machine, run, cache)
        depth, rate = layer_count(arm.model.config), plan.recipe.training.learning_rate
        point = keep_point(place, 1, arm, Way(depth, rate, compensated=False))
    room = classroom("point", plan, teacher, answers, machine, run, cache)
    first, points = whole_of(plan), [point]
    for number in range(2, wanted.points + 1):
        if enough(point):
            break
        below = Point.read(place, number)
        if below is None:
            whole = plan.teacher_counts.encoder_parameters
            there = shapes(first, point.way.layers, number, whole, wanted)
            below = Maker(number, point, room, there, knowledge.validation, place).made()
        point = below
        points.append(point)
    return tuple(points)


def refuse_undescendable(plan: Plan) -> None:
    """Refuse a recipe whose student has nothing to go down from, before anything is recorded.

    Raises:
        LimbeckError: For layers that limbeck cannot make thin, terms that look at what goes, a
            student that is pruned already, or a last point that is no smaller than the first.
    """
    recipe = plan.recipe
    refuse_unprunable(PruningConfig(heads=1), plan.student.config)
    terms_below(plan.terms)
    if recipe.student.pruning.wanted:
        raise RecipeError(
            "student.pruning",
            "the first point of a frontier is whole, and those below it are pruned by themselves",
            "Delete student.pruning; frontier.smallest says how far down to go.",
        )
    first = plan.student_counts.encoder_parameters
    if recipe.frontier.smallest * plan.teacher_counts.encoder_parameters >= first:
        share = first / plan.teacher_counts.encoder_parameters
        raise RecipeError(
            "frontier.smallest",
            f"it is {recipe.frontier.smallest:.1%} of the teacher's encoder, and the first point "
            f"has {share:.1%}: there is nothing to go down to",
            "Use a smaller share, or more layers (student.layers).",
        )


def whole_of(plan: Plan) -> Whole:
    """What the first point has."""
    config, family = plan.student.config, plan.student.checkpoint.family
    return Whole(
        layers=layer_count(config),
        heads=head_count(config),
        neurons=int(getattr(config, family.intermediate_key)),
        hidden=int(config.hidden_size),
        encoder_parameters=plan.student_counts.encoder_parameters,
        tokens=int(config.vocab_size),
        width=embedding_width(config),
    )
