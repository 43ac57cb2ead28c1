"""One point of a frontier: ways to make it out of the one above are tried, the best is taken."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import TeacherConfig, TrainingConfig
from limbeck.config.terms import HardTerm, LogitsTerm, Term, VectorsTerm
from limbeck.data.targets import row_targets
from limbeck.data.window_rows import row_ids
from limbeck.errors import RecipeError, TrainingError
from limbeck.files import read_json, whole_folder, write_json
from limbeck.knowledge.recorded import Recorded
from limbeck.progress import say
from limbeck.run.arms import Arm
from limbeck.run.pruning import prune, temperature_of
from limbeck.run.stages import Classroom
from limbeck.run.trials import Trial, Way, best_first, halved
from limbeck.student.descent import Shape
from limbeck.student.plan import set_layers
from limbeck.student.pruned import whole
from limbeck.teacher.family import layer_count, layer_modules, remove_layer
from limbeck.teacher.load import load_classifier, look_at
from limbeck.teacher.thin import Kept
from limbeck.training.checkpoint import Progress
from limbeck.training.importance import losses_without_layers, mean_loss, sampled
from limbeck.training.lessons import Lessons
from limbeck.training.log import Log
from limbeck.training.loop import Outcome, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FEWEST_STEPS = 40
"""Of a trial: with fewer, a training has not left its warm-up."""


@dataclass(frozen=True)
class Point:
    """A finished student of the family.

    Attributes:
        number: From 1, the largest.
        folder: Holds ``student`` (a stock model) and, below the first point, ``thin``.
        kept: What is left of its layers; None where nothing was taken out.
        outcome: Of its training.
        way: How it was made.
        trials: Of the ways to make it.
    """

    number: int
    folder: Path
    kept: Kept | None
    outcome: Outcome
    way: Way
    trials: tuple[Trial, ...] = ()

    @property
    def validation_score(self) -> float:
        """Of its best state."""
        return self.outcome.progress.best_score

    @property
    def smallest(self) -> Path:
        """The model's folder without zeros."""
        return self.folder / ("student" if self.kept is None else "thin")

    @staticmethod
    def read(place: Path, number: int) -> Point | None:
        """A point that `keep_point` wrote, or None."""
        folder = place / str(number)
        if not (folder / "point.json").exists():
            return None
        told = read_json(folder / "point.json")
        progress = Progress(**told["outcome"].pop("progress"))
        return Point(
            number,
            folder,
            Kept.read(folder / "thin"),
            Outcome(progress, **told["outcome"]),
            Way(**told["way"]),
            tuple(map(_trial_of, told["trials"])),
        )


def keep_point(place: Path, number: int, arm: Arm, way: Way, trials: Sequence[Trial] = ()) -> Point:
    """Write a finished point; what is there is whole."""
    folder = place / str(number)
    point = Point(number, folder, arm.kept, arm.outcome, way, tuple(trials))
    told = {
        "outcome": asdict(arm.outcome),
        "way": asdict(way),
        "trials": [asdict(trial) for trial in trials],
    }
    with whole_folder(folder) as part:
        arm.save(part / "student")
        if arm.kept is not None:
            arm.save_thin(part / "thin")
        write_json(part / "point.json", told)
    return point


@dataclass(frozen=True)
class Maker:
    """Makes a point out of the one above it.

    Attributes:
        number: Of the point.
        above: The one that it is cut out of.
        room: What every training of the descent shares.
        shapes: What it may have; no two with as many layers.
        validation: The teacher's answers about the validation texts.
        place: Where points go.
    """

    number: int
    above: Point
    room: Classroom
    shapes: tuple[Shape, ...]
    validation: Recorded
    place: Path

    def made(self) -> Point:
        """The point: the best of the finalists, each trained in full."""
        trials, finalists = self._trials()
        arms: list[Arm] = []
        finals: list[Trial] = []
        broken: TrainingError | None = None
        for way in finalists:
            model, kept = self._cut(way)
            try:
                outcome = self._train(model, way, "", self.room.lessons, epochs=self.epochs)
            except TrainingError as error:
                broken = error
                continue
            finals.append(self._told(model, way, float(self.epochs), outcome))
            arms.append(self._arm(model, kept, outcome))
        if broken is not None and not finals:
            raise broken
        best = best_first(finals)[0]
        arm = arms[finals.index(best)]
        return keep_point(self.place, self.number, arm, best.way, [*trials, *finals])

    @property
    def epochs(self) -> int:
        """Passes over the texts: the more, the farther down."""
        wanted = self.room.plan.recipe
        down = (self.number - 2) / max(1, wanted.frontier.points - 2)
        return round((wanted.frontier.epochs or wanted.training.epochs) * (1 + down))

    def _trials(self) -> tuple[list[Trial], list[Way]]:
        """The trials on parts of the texts, and who is left; read if they were made before."""
        kept = self.place / f"trials-{self.number}.json"
        wanted = self.room.plan.recipe.frontier
        if kept.exists():
            told = read_json(kept)
            return list(map(_trial_of, told["trials"])), [Way(**way) for way in told["finalists"]]
        ways = [
            Way(layers, rate, compensated)
            for layers, compensated in self._cuts()
            for rate in wanted.learning_rates
        ]
        rows = self.room.lessons.rows
        count = len(self.room.lessons.encoded if rows is None else rows)
        least = _FEWEST_STEPS * self.room.plan.recipe.training.batch_rows / count
        share = max(wanted.trial_share, least)
        trials, left = halved(ways, self._trial, share=share, finalists=wanted.finalists)
        self._models.clear()
        finalists = [asdict(way) for way in left]
        write_json(kept, {"trials": list(map(asdict, trials)), "finalists": finalists})
        return trials, left

    def _trial(self, way: Way, share: float) -> Trial:
        """One pass over a share of the texts."""
        model = copy.deepcopy(self._models[way.layers, way.compensated])
        lessons = replace(self.room.lessons, rows=self._part(share))
        try:
            outcome = self._train(model, way, f"-trial-{share:.3g}", lessons, epochs=1)
        except TrainingError as error:
            say(f"  {way.in_words()}: {error}")
            return Trial(self.number, way, share, None, 0.0)
        return self._told(model, way, share, outcome)

    def _cuts(self) -> list[tuple[int, bool]]:
        """Layers, and whether least squares refitted them: what trials begin with."""
        for shape in self.shapes:
            plain, refitted = (
                self._cut(Way(shape.layers, 0.0, compensated))[0] for compensated in (False, True)
            )
            self._models[shape.layers, False] = plain
            if not _same(plain, refitted):  # else least squares were no better, and not put in
                self._models[shape.layers, True] = refitted
        return list(self._models)

    @cached_property
    def _models(self) -> dict[tuple[int, bool], PreTrainedModel]:
        """What was cut for the trials."""
        return {}

    def _part(self, share: float) -> np.ndarray:
        """A share of the rows to learn from, rising; a larger one holds the smaller ones."""
        lessons = self.room.lessons
        rows = lessons.rows if lessons.rows is not None else np.arange(len(lessons.encoded))
        whose, lists = rows, lessons.encoded.lists
        if lists is not None:  # what is compared with each other stays together
            whose = np.searchsorted(lists, rows, side="right")
        units = np.random.default_rng(self.room.plan.recipe.seed).permutation(np.unique(whose))
        return rows[np.isin(whose, units[: max(1, round(share * len(units)))])]

    def _told(self, model: PreTrainedModel, way: Way, passes: float, outcome: Outcome) -> Trial:
        score = outcome.progress.best_score
        loss = mean_loss(
            model,
            self.room.plan.student.checkpoint,
            self._examined,
            self._examples,
            temperature=self._temperature,
        )
        say(f"  {way.in_words()}: loss {loss:.4f}, score {score:.4f} after {passes:.2g} passes")
        return Trial(self.number, way, passes, loss if np.isfinite(loss) else None, score)

    @cached_property
    def _examined(self) -> Lessons:
        """The validation texts with the teacher's answers."""
        exam, split = self.room.exam, self.room.plan.material.validation
        asked = self.validation.encoded
        # The teacher's places in windows that its own tokens were cut into are not the student's.
        others = self.room.plan.crossed is not None and exam.encoded.groups is not None
        return Lessons(
            encoded=exam.encoded if asked is None else exam.encoded.where_also(asked),
            labels=row_targets(split.labels, exam.encoded),
            answers=None if others else self.validation,
            teacher=self.room.lessons.teacher,
            ids=row_ids(split.texts, exam.encoded),
            task=self.room.plan.task,
        )

    @cached_property
    def _examples(self) -> Sequence[np.ndarray]:
        return sampled(self._examined, self.room.plan.recipe.seed)

    @property
    def _temperature(self) -> float:
        return temperature_of(terms_below(self.room.plan.terms))

    def _arm(self, model: PreTrainedModel, kept: Kept, outcome: Outcome) -> Arm:
        plan = self.room.plan
        tokenizer = plan.student.checkpoint.tokenizer
        return Arm(model.cpu(), tokenizer, outcome, (), plan.student.checkpoint.family, kept)

    def _cut(self, way: Way) -> tuple[PreTrainedModel, Kept]:
        """The point above, without what this one is not to have."""
        shape = next(shape for shape in self.shapes if shape.layers == way.layers)
        room = replace(self.room, arm=f"point-{self.number}-of-{way.layers}")
        own = look_at(TeacherConfig(path=str(self.above.smallest)), role="student")
        model = load_classifier(own, attention=room.machine.attention)
        now = self.above.kept or whole(model, own.family)
        terms = terms_below(room.plan.terms)
        now = _without_layers(model, room, now, shape.layers, self._temperature)
        kept = prune(model, terms, room, now, shape.target, "1", compensate=way.compensated)
        return model, kept

    def _train(
        self, model: PreTrainedModel, way: Way, part: str, lessons: Lessons, *, epochs: int
    ) -> Outcome:
        room, recipe = self.room, self.room.plan.recipe
        config: TrainingConfig = recipe.training.model_copy(
            update={"epochs": epochs, "learning_rate": way.learning_rate}
        )
        if part:  # a trial is judged by its end
            config = config.model_copy(update={"evaluations_per_epoch": 1})
        name = f"point-{self.number}-{_file_name(way)}{part}"
        return train(
            model,
            room.plan.student.checkpoint,
            terms_below(room.plan.terms),
            lessons,
            room.exam,
            config=config,
            machine=room.machine,
            seed=recipe.seed,
            folder=room.run.checkpoints / name,
            log=Log(room.run.log, name),
            name=f"distilling (point {self.number}, {way.in_words()})",
        )


def _same(model: PreTrainedModel, other: PreTrainedModel) -> bool:
    left, right = model.state_dict(), other.state_dict()
    return all(left[name].equal(right[name]) for name in left)


def _file_name(way: Way) -> str:
    return way.in_words().replace(", ", "-").replace(" ", "-")


def _trial_of(told: dict[str, Any]) -> Trial:
    return Trial(**{**told, "way": Way(**told["way"])})


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
