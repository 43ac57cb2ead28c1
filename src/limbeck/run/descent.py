"""From the recipe's student downward: each point is cut out of the one above it and trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TeacherConfig, TrainingConfig
from limbeck.config.student import PruningConfig
from limbeck.config.terms import HardTerm, LogitsTerm, Term, VectorsTerm
from limbeck.errors import RecipeError
from limbeck.files import read_json, whole_folder, write_json
from limbeck.knowledge.answers import Answers
from limbeck.progress import say
from limbeck.run.arms import Arm, classroom, train_arm
from limbeck.run.folder import RunFolder
from limbeck.run.plan import Plan
from limbeck.run.pruning import prune, temperature_of
from limbeck.run.recording import Teacher
from limbeck.run.stages import Classroom
from limbeck.student.descent import Shape, Whole, shapes
from limbeck.student.plan import set_layers
from limbeck.student.pruned import embedding_width, refuse_unprunable, whole
from limbeck.teacher.family import head_count, layer_count, layer_modules, remove_layer
from limbeck.teacher.load import load_classifier, look_at
from limbeck.teacher.thin import Kept
from limbeck.training.choice import Machine
from limbeck.training.importance import losses_without_layers, sampled
from limbeck.training.log import Log
from limbeck.training.loop import Outcome, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Trial:
    """One way to go on from a cut, tried for one pass at a point.

    Attributes:
        point: Its number.
        learning_rate: Of the pass.
        compensated: Whether least squares refitted what is left before it.
        validation_score: After it.
    """

    point: int
    learning_rate: float
    compensated: bool
    validation_score: float


@dataclass(frozen=True)
class Point:
    """A finished student of the family.

    Attributes:
        number: From 1, the largest.
        folder: Holds ``student`` (a stock model) and, below the first point, ``thin``.
        kept: What is left of its layers; None where nothing was taken out.
        validation_score: Of its best state.
        seconds: Spent on training it.
        learning_rate: Of that.
        compensated: Whether least squares refitted it before that.
    """

    number: int
    folder: Path
    kept: Kept | None
    validation_score: float
    seconds: float
    learning_rate: float
    compensated: bool

    @property
    def smallest(self) -> Path:
        """The model's folder without zeros."""
        return self.folder / ("student" if self.kept is None else "thin")


@dataclass(frozen=True)
class Descent:
    """All points, and the rates that were tried on the way."""

    points: tuple[Point, ...]
    trials: tuple[Trial, ...]


def descend(
    plan: Plan,
    teacher: Teacher,
    answers: Answers | None,
    machine: Machine,
    run: RunFolder,
    cache: Path,
) -> Descent:
    """Make every point of the recipe's frontier; those that are finished are read.

    Args:
        plan: The run's plan; its student is the first point.
        teacher: Where weights are cut from.
        answers: Its answers about the training texts.
        machine: Precision, attention and threads.
        run: Where everything goes, the points below ``points/``.
        cache: Where token ids are kept.
    """
    place = run.path / "points"
    point = _finished(place, 1)
    if point is None:
        arm = train_arm("student", plan, plan.terms, teacher, answers, machine, run, cache)
        point = _keep(place, 1, arm, plan.recipe.training.learning_rate, compensated=False)
    room = classroom("point", plan, teacher, answers, machine, run, cache)
    points, trials = [point], []
    for number, shape in enumerate(shapes_of(plan), start=2):
        here = replace(room, arm=f"point-{number}")
        tried = _tried(point, here, shape, place, number)
        best = max(tried, key=lambda trial: trial.validation_score)
        below = _finished(place, number)
        if below is None:
            arm, rate = _next(point, here, shape, best), best.learning_rate
            below = _keep(place, number, arm, rate, compensated=best.compensated)
        point = below
        points.append(point)
        trials += tried
    return Descent(tuple(points), tuple(trials))


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


def shapes_of(plan: Plan) -> list[Shape]:
    """What the points after the first are to have."""
    config, family = plan.student.config, plan.student.checkpoint.family
    first = Whole(
        layers=layer_count(config),
        heads=head_count(config),
        neurons=int(getattr(config, family.intermediate_key)),
        encoder_parameters=plan.student_counts.encoder_parameters,
        tokens=int(config.vocab_size),
        width=embedding_width(config),
    )
    return shapes(first, plan.teacher_counts.encoder_parameters, plan.recipe.frontier)


def terms_below(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The terms that points below the first learn from: those of answers.

    Raises:
        RecipeError: If there is none: terms on layers and heads are tied to those of the first
            point.
    """
    of_answers = LogitsTerm | VectorsTerm
    found = tuple(term for term in terms if isinstance(term, of_answers | HardTerm))
    if not any(isinstance(term, of_answers) for term in found):
        raise RecipeError(
            "objective.terms",
            "no term is of kind logits or vectors, and what looks at layers or heads has nothing "
            "to look at once they are gone",
            "Add a term of kind logits, or put the others into stages.",
        )
    return found


def _tried(
    above: Point, room: Classroom, shape: Shape, place: Path, number: int
) -> tuple[Trial, ...]:
    """The recipe's learning rates, and least squares with the best, one pass each on one cut."""
    kept = place / f"trials-{number}.json"
    rates = room.plan.recipe.frontier.learning_rates
    if kept.exists():
        return tuple(Trial(**trial) for trial in read_json(kept))
    trials = [_trial(above, room, shape, number, rate, compensated=False) for rate in rates]
    best = max(trials, key=lambda trial: trial.validation_score)
    trials.append(_trial(above, room, shape, number, best.learning_rate, compensated=True))
    write_json(kept, [asdict(trial) for trial in trials])
    return tuple(trials)


def _trial(
    above: Point, room: Classroom, shape: Shape, number: int, rate: float, *, compensated: bool
) -> Trial:
    how = f"{rate:g}{', least squares' if compensated else ''}"
    trying = replace(room, arm=f"{room.arm}-trial-{how.replace(', ', '-').replace(' ', '-')}")
    model, _ = _cut(above, room, shape, compensate=compensated)
    outcome = _train(model, trying, rate, epochs=1)
    say(f"  learning rate {how}: {outcome.progress.best_score:.4f} after one pass")
    return Trial(number, rate, compensated, outcome.progress.best_score)


def _next(above: Point, room: Classroom, shape: Shape, way: Trial) -> Arm:
    """The point below: cut, then trained, the longer the farther down."""
    model, kept = _cut(above, room, shape, compensate=way.compensated)
    wanted = room.plan.recipe
    down = (way.point - 2) / max(1, wanted.frontier.points - 2)
    epochs = round((wanted.frontier.epochs or wanted.training.epochs) * (1 + 2 * down))
    outcome = _train(model, room, way.learning_rate, epochs=epochs)
    plan = room.plan
    tokenizer = plan.student.checkpoint.tokenizer
    return Arm(model.cpu(), tokenizer, outcome, (), plan.student.checkpoint.family, kept)


def _cut(
    above: Point, room: Classroom, shape: Shape, *, compensate: bool
) -> tuple[PreTrainedModel, Kept]:
    """The point above, without what this one is not to have."""
    own = look_at(TeacherConfig(path=str(above.smallest)), role="student")
    model = load_classifier(own, attention=room.machine.attention)
    now = above.kept or whole(model, own.family)
    terms = terms_below(room.plan.terms)
    now = _without_layers(model, room, now, shape.layers, temperature_of(terms))
    return model, prune(model, terms, room, now, shape.target, "1", compensate=compensate)


def _without_layers(
    model: PreTrainedModel, room: Classroom, now: Kept, layers: int, temperature: float
) -> Kept:
    """Take the layers out, in place and one by one, that the loss misses least."""
    checkpoint = room.plan.student.checkpoint
    sample = sampled(room.lessons, room.plan.recipe.seed)
    while (there := layer_count(model.config)) > layers:
        losses = losses_without_layers(
            model, checkpoint, room.lessons, sample, temperature=temperature
        )
        layers_there = layer_modules(model, checkpoint.family)
        if there > 1 and set(layers_there[0].state_dict()) != set(layers_there[1].state_dict()):
            losses[0] = float("inf")  # a first layer that others cannot stand in for
        gone = int(np.argmin(losses))
        say(f"  layer {gone + 1} of {there} goes: without it the loss is {losses[gone]:.4f}")
        remove_layer(model, checkpoint.family, gone)
        stay = [place for place in range(there) if place != gone]
        set_layers(model.config, [place + 1 for place in stay])
        now = Kept(
            tuple(now.heads[place] for place in stay),
            tuple(now.neurons[place] for place in stay),
            now.rank,
        )
    return now


def _train(model: PreTrainedModel, room: Classroom, rate: float, *, epochs: int) -> Outcome:
    config: TrainingConfig = room.plan.recipe.training.model_copy(
        update={"epochs": epochs, "learning_rate": rate}
    )
    return train(
        model,
        room.plan.student.checkpoint,
        terms_below(room.plan.terms),
        room.lessons,
        room.exam,
        config=config,
        machine=room.machine,
        seed=room.plan.recipe.seed,
        folder=room.run.checkpoints / room.arm,
        log=Log(room.run.log, room.arm),
        name=f"distilling ({room.arm})",
    )


def _keep(place: Path, number: int, arm: Arm, rate: float, *, compensated: bool) -> Point:
    """Write a finished point; what is there is whole."""
    folder = place / str(number)
    facts = {
        "validation_score": arm.outcome.progress.best_score,
        "seconds": arm.outcome.progress.seconds,
        "learning_rate": rate,
        "compensated": compensated,
    }
    with whole_folder(folder) as part:
        arm.save(part / "student")
        if arm.kept is not None:
            arm.save_thin(part / "thin")
        write_json(part / "point.json", facts)
    return Point(number, folder, arm.kept, **facts)


def _finished(place: Path, number: int) -> Point | None:
    folder = place / str(number)
    if not (folder / "point.json").exists():
        return None
    return Point(number, folder, Kept.read(folder / "thin"), **read_json(folder / "point.json"))
