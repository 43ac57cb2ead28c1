"""A teacher that is a file: its answers joined to the run's rows, and an encoder to cut from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from limbeck.config.recipe import DataConfig, Recipe
from limbeck.config.teacher import AnswersConfig
from limbeck.data.targets import labelled
from limbeck.data.texts import Texts
from limbeck.data.told import Told, joined, read_told, row_ids_of
from limbeck.errors import DataError, RecipeError, TeacherError
from limbeck.files import file_sha256
from limbeck.knowledge.given import answers_in, folder_stamp, is_knowledge
from limbeck.progress import say
from limbeck.run.gathering import gather_texts
from limbeck.run.material import Datasets, Labelled, Material, first_row, task_for
from limbeck.run.objective import Objective
from limbeck.run.own_rows import rows_of
from limbeck.tasks.known import task_of_answers
from limbeck.tasks.task import Task
from limbeck.tasks.told import SMALLEST, clipped, outputs_of
from limbeck.teacher.load import Checkpoint, look_at, set_class_names
from limbeck.teacher.pooling import Dense, set_vectors, vector_width, vectors_of

_UNIT = 1e-3
"""Vectors whose lengths are so near to 1 were brought to it."""


@dataclass(frozen=True)
class BlackBox:
    """Somebody else's answers about the rows of a run.

    Attributes:
        train: Outputs of the task [rows, outputs], float32; NaN in rows without an answer.
        validation: Likewise, or None where no row of it has one.
        test: Likewise.
        stamp: A hash of the files and of how they were read.
        source: The file about the training rows, for messages.
        kind: What it held, in words.
    """

    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray | None
    stamp: str
    source: str
    kind: str

    @property
    def told(self) -> int:
        """Training rows with an answer."""
        return int(_told(self.train).sum())


@dataclass(frozen=True)
class Source:
    """Who teaches.

    Attributes:
        checkpoint: The teacher's; of a black box the encoder that the student is cut from, with
            the head that the answers are of.
        task: What is learned.
        material: The texts, where they had to be read to know the rest.
        box: The answers, or None where the teacher can be asked.
    """

    checkpoint: Checkpoint
    task: Task
    material: Material | None = None
    box: BlackBox | None = None


def look_at_source(recipe: Recipe, *, cache: Path, datasets: Datasets | None) -> Source:
    """The recipe's teacher, checked: a model, or a file and an encoder.

    Args:
        recipe: With its `teacher`.
        cache: Where token ids are kept.
        datasets: Splits given as objects.

    Raises:
        LimbeckError: For a checkpoint or answers that cannot be read, or do not fit the rows.
    """
    checkpoint = look_at(recipe.teacher)
    config = recipe.teacher.answers
    if config is None:
        return Source(
            checkpoint, task_for(checkpoint.config, recipe, datasets, where=checkpoint.path)
        )
    _refuse_unanswerable(recipe, config)
    row = first_row(recipe.data, datasets)
    task = task_of_answers(config.kind, row, recipe.data, recipe.task)
    files = read_files(config)
    names = None if recipe.data.labels is not None else files.names
    material = gather_texts(recipe, names, task, cache=cache, datasets=datasets)
    answers = Answers.of(files, material.task, material.names, recipe.data, config, datasets)
    material, box = _boxed(material, answers, config, recipe.data)
    checkpoint = _with_head(checkpoint, material, box)
    return Source(checkpoint, material.task, material, box)


@dataclass(frozen=True)
class Files:
    """The files of answers, read.

    Attributes:
        told: By the file, what it says.
        splits: By the file, the splits that it tells of.
        folders: Folders of knowledge, in which answers are found by text.
    """

    told: dict[str, Told]
    splits: dict[str, tuple[str, ...]]
    folders: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...] | None:
        """What the first file that names its numbers calls them."""
        return next((told.names for told in self.told.values() if told.names), None)


def read_files(config: AnswersConfig) -> Files:
    """Everything that `teacher.answers` names."""
    splits: dict[str, tuple[str, ...]] = {}
    for name in ("train", "unlabelled", "validation", "test"):
        source = getattr(config, name)
        if source is not None:
            splits[source] = (*splits.get(source, ()), name)
    folders = tuple(source for source in splits if is_knowledge(source))
    told = {source: read_told(source, config) for source in splits if source not in folders}
    widths = {source: one.values.shape[1] for source, one in told.items()}
    if len(set(widths.values())) > 1:
        shown = ", ".join(f"{source} has {width}" for source, width in widths.items())
        raise DataError(
            "teacher.answers",
            f"the files' answers differ in how many numbers they have: {shown}",
            "Give answers of one model.",
        )
    return Files(told, splits, folders)


@dataclass(frozen=True)
class Answers:
    """All answers as the task's outputs.

    Attributes:
        outputs: [answers, outputs], float32.
        homes: By a row's id (``train/17``), its place in `outputs`.
        folders: Where more are found by text.
        stamp: Of the files.
    """

    outputs: np.ndarray
    homes: dict[str, int]
    folders: tuple[str, ...]
    stamp: str

    @staticmethod
    def of(
        files: Files,
        task: Task,
        names: list[str],
        data: DataConfig,
        config: AnswersConfig,
        datasets: Datasets | None,
    ) -> Answers:
        """The files' answers, each joined to its row."""
        outputs, homes, count = [], {}, 0
        for source, told in files.told.items():
            own = {
                name: list(
                    row_ids_of(
                        rows_of(name, data, datasets, key=f"teacher.answers.{name}"),
                        config.id_column,
                    )
                )
                for name in files.splits[source]
            }
            found = joined(told, own, id_column=config.id_column)
            homes |= {identity: count + answer for identity, answer in found.items()}
            outputs.append(outputs_of(task, told, names, config.kind))
            count += len(told.values)
            if config.kind == "probabilities" and clipped(told):
                say(
                    f"  {clipped(told)} probabilities of {source} are below {SMALLEST:g} and are "
                    "taken as that"
                )
        stamps = [file_sha256(Path(source)) for source in files.told]
        stamps += [folder_stamp(source) for source in files.folders]
        stamp = " ".join(["black box", config.kind, *stamps])
        whole = np.concatenate(outputs) if outputs else np.zeros((0, 0), dtype=np.float32)
        return Answers(whole, homes, files.folders, stamp)

    def about(self, texts: Texts) -> np.ndarray:
        """What is said of the texts [rows, outputs], NaN where nothing is.

        Raises:
            DataError: If two sources have another number of outputs.
        """
        parts = [answers_in(folder, texts) for folder in self.folders]
        if len(self.outputs):
            own = np.full((len(texts), self.outputs.shape[1]), np.nan, dtype=np.float32)
            for row, identity in enumerate(texts.ids):
                answer = self.homes.get(identity)
                if answer is not None:
                    own[row] = self.outputs[answer]
            parts.insert(0, own)
        if not parts:
            raise DataError(
                "teacher.answers", "it names no file", "Name one: --teacher-answers answers.jsonl."
            )
        if len({part.shape[1] for part in parts}) > 1:
            raise DataError(
                "teacher.answers",
                f"its sources have answers of {[part.shape[1] for part in parts]} numbers",
                "Give answers of one model.",
            )
        found = parts[0]
        for part in parts[1:]:
            found = np.where(_told(found)[:, None], found, part)
        return found


def _boxed(
    material: Material, answers: Answers, config: AnswersConfig, data: DataConfig
) -> tuple[Material, BlackBox]:
    """The rows that can be learned from or judged, and what is said of them."""
    source = config.train or next(iter([config.unlabelled, *answers.folders]), None) or "answers"
    train = answers.about(material.train.texts)
    if material.asked is not None:  # a translation's answer is its source's
        train, material = train[material.asked], replace(material, asked=None)
    told, counts = _told(train), dict(material.counts)
    rows = len(told)
    if not told.any():
        first = material.train.texts.ids[0]
        raise DataError(
            source,
            f"none of the {rows} training rows has an answer ({first} is the first)",
            "Check the ids, or give answers about the rows of data.train.",
        )
    missing = 1 - float(told.mean())
    if missing > config.missing_share:
        raise DataError(
            source,
            f"{rows - int(told.sum())} of {rows} training rows ({missing:.1%}) have no answer",
            f"Give more answers, or set teacher.answers.missing_share (it is "
            f"{config.missing_share:g}) to what may be learned from labels alone.",
        )
    of_use = told | labelled(material.train.labels)
    if not of_use.all():
        material = replace(material, train=_taken(material.train, of_use))
        train = train[of_use]
    counts |= {"train_rows_told": int(told.sum()), "train_rows_of_no_use": int((~of_use).sum())}
    counts["train_rows_used"] = int(of_use.sum())
    say(
        f"  {int(told.sum())} of {rows} training rows have an answer in {source}; the others "
        f"learn from labels alone ({int((~of_use).sum())} with neither are dropped)"
    )
    material = replace(material, counts=counts)
    material, validation = _judged(material, answers, "validation", data)
    if material.tested_on_validation:
        test = validation
    else:
        material, test = _judged(material, answers, "test", data)
    kind = f"{config.kind} of {int(told.sum()):,} of {rows:,} rows from {source}"
    return material, BlackBox(train, validation, test, answers.stamp, source, kind)


def _judged(
    material: Material, answers: Answers, name: str, data: DataConfig
) -> tuple[Material, np.ndarray | None]:
    """The material with a split that can be judged, and what is said of that."""
    split: Labelled = getattr(material, name)
    outputs = answers.about(split.texts)
    told = _told(outputs)
    if not told.all() and not labelled(split.labels).all():  # its targets are the answers
        if not told.any():
            raise DataError(
                getattr(data, name) or name,
                f"no {name} row has an answer, and without scores of pairs the answers are what "
                "the student is judged by",
                f"Give answers about them (teacher.answers.{name}), or pairs with scores.",
            )
        say(f"  {int((~told).sum())} {name} rows without an answer are dropped")
        kept, outputs, told = _taken(split, told), outputs[told], told[told]
        twin = material.tested_on_validation
        material = replace(material, **{name: kept}, **({"test": kept} if twin else {}))
        counts = {**material.counts, f"{name}_rows": len(outputs)}
        counts |= {"test_rows": len(outputs)} if twin else {}
        material = replace(material, counts=counts)
    return material, outputs if told.any() else None


def _taken(split: Labelled, here: np.ndarray) -> Labelled:
    rows = np.flatnonzero(here)
    return Labelled(split.texts.take(rows), split.labels[rows])


def _told(outputs: np.ndarray) -> np.ndarray:
    """Which rows have an answer."""
    return ~np.isnan(outputs[:, 0]) if outputs.shape[1] else np.zeros(len(outputs), dtype=bool)


def _with_head(base: Checkpoint, material: Material, box: BlackBox) -> Checkpoint:
    """The encoder with a new head of the answers' form."""
    config = type(base.config).from_dict(base.config.to_dict())
    config.architectures = None  # whatever head the checkpoint has is not this one
    vectors = vectors_of(base.config)
    if material.task.head != "vectors":
        set_vectors(config, None)
        set_class_names(config, material.names)
        config.problem_type = material.task.problem_type
        return replace(base, config=config)
    if vectors is None:
        raise TeacherError(
            base.path,
            "nothing says how this encoder makes a vector of a text (no modules.json)",
            "Set teacher.pooling (mean, cls or max), or give a sentence-transformers folder.",
        )
    lengths = np.linalg.norm(box.train[_told(box.train)].astype(np.float64), axis=1)
    vectors = replace(vectors, normalize=bool((np.abs(lengths - 1) < _UNIT).all()))
    set_vectors(config, vectors)
    if vector_width(config) != box.train.shape[1]:
        set_vectors(config, replace(vectors, dense=Dense(box.train.shape[1])))
    return replace(base, config=config)


def _refuse_unanswerable(recipe: Recipe, config: AnswersConfig) -> None:
    """Refuse what a teacher would have to be asked for."""
    reasons = {
        "data.augment.copies": recipe.data.augment.copies and "copies are new texts",
        "data.outside": recipe.data.outside is not None and "its texts are new",
        "ensemble.teachers": recipe.ensemble.teachers and "its answers are not mixed with others",
        "knowledge.source": recipe.knowledge.source != "recorded"
        and f"{recipe.knowledge.source} asks in every step",
        "student.budget": recipe.student.budget is not None
        and "budgets are measured beside the teacher",
    }
    for key, reason in reasons.items():
        if reason:
            raise RecipeError(
                key,
                f"it is set, but the teacher is a file (teacher.answers), which nobody can ask: "
                f"{reason}",
                "Leave it out.",
            )
    if not any((config.train, config.unlabelled)):
        raise RecipeError(
            "teacher.answers",
            "it names no answers about training rows",
            "Name a file: --teacher-answers answers.jsonl (teacher.answers.train).",
        )


def refuse_unasked(recipe: Recipe, objective: Objective) -> None:
    """Refuse terms and stages that look inside a teacher of which only answers are known.

    Raises:
        RecipeError: Naming the key.
    """
    if objective.parts:
        raise RecipeError(
            "objective.terms",
            "a term looks at layers of the teacher, of which only its answers are known "
            "(teacher.answers)",
            "Use terms of kind hard, logits, vectors and exits.",
        )
    for place, stage in enumerate(recipe.stages):
        if stage.replacing is not None:
            raise RecipeError(
                f"stages[{place}].replacing",
                "the teacher's layers would stand in for the student's, but only its answers are "
                "known (teacher.answers)",
                "Leave the stage out.",
            )
