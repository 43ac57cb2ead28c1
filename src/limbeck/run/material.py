"""Texts and labels of a recipe, split without leaks and checked against the teacher's classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import DataConfig, Recipe
from limbeck.data.conll import ENDINGS, token_rows
from limbeck.data.per_word import Targets
from limbeck.data.queries import fewer_candidates
from limbeck.data.read import dataset_rows, read_rows
from limbeck.data.split import stratified_holdout, without_leaks
from limbeck.data.squad import shown_question
from limbeck.data.targets import labelled, rows_left_out, strata, with_none
from limbeck.data.texts import Texts, folded_hashes, kinship
from limbeck.errors import DataError, RecipeError
from limbeck.progress import say
from limbeck.run.augmentation import copies_of, masked_lm_of
from limbeck.tasks.known import task_beside_rows, task_of_teacher
from limbeck.tasks.reading import read_texts
from limbeck.tasks.settling import settled
from limbeck.tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig

Datasets = Mapping[str, "Dataset"]
"""``datasets.Dataset`` objects for the splits train, unlabelled, validation and test."""


@dataclass(frozen=True)
class Labelled:
    """A split and its targets (`data.targets`)."""

    texts: Texts
    labels: Targets


@dataclass(frozen=True)
class Material:
    """What a run works on.

    Attributes:
        train: Labelled rows first, then unlabelled ones.
        validation: Chooses states; every row is labelled.
        test: Is only reported; every row is labelled. The validation split if there is no other.
        names: The outputs' names in the teacher's order.
        task: What is learned.
        counts: What was read and dropped, for the report.
        outside: Texts that belong to no class, or None; they are only asked about.
        added: How many of the last training rows are unlabelled texts and altered copies.
        asked: Of each training text, the place of the one that the teacher is asked about in its
            stead: a translation's source. None where that is the text itself.
    """

    train: Labelled
    validation: Labelled
    test: Labelled
    names: list[str]
    task: Task
    counts: dict[str, int] = field(default_factory=dict)
    outside: Texts | None = None
    added: int = 0
    asked: np.ndarray | None = None

    @property
    def tested_on_validation(self) -> bool:
        """Whether there is no test split of its own."""
        return self.test is self.validation

    def fingerprints(self) -> dict[str, str]:
        """Split name to a hash of its ids, texts and labels."""
        found = {}
        for name in ("train", "validation", "test"):
            split: Labelled = getattr(self, name)
            digest = hashlib.blake2b(split.texts.fingerprint().encode(), digest_size=16)
            digest.update(split.labels.tobytes())
            found[name] = digest.hexdigest()
        if self.outside is not None:
            found["outside"] = self.outside.fingerprint()
        if self.asked is not None:
            found["asked"] = hashlib.blake2b(self.asked.tobytes(), digest_size=16).hexdigest()
        return found

    @property
    def has_labels(self) -> bool:
        """Whether any training row is labelled."""
        return bool(labelled(self.train.labels).any())


def gather_material(
    data: DataConfig,
    teacher_labels: Sequence[str] | None,
    *,
    task: Task,
    seed: int,
    datasets: Datasets | None = None,
    folder: Path | None = None,
    knowledge: Path | None = None,
) -> Material:
    """Read, check, split and deduplicate everything that a recipe's `data` names.

    Args:
        data: The recipe's `data`.
        teacher_labels: The outputs' names in the teacher's order, or None to take them from the
            data.
        task: What is learned.
        seed: Of the split.
        datasets: Splits that are `datasets.Dataset` objects instead of files.
        folder: On whose disk texts are kept while the process needs them, or None for the
            system's folder for temporary files.
        knowledge: Where what `data.augment.masked_lm` says is recorded, or None to forget it.

    Raises:
        DataError: For what cannot be read, or leaves nothing to learn.
        TeacherError: For labels that the teacher does not know, or a masked language model that
            is none.
    """
    given = datasets or {}
    sources = {"train": data.train, "validation": data.validation, "test": data.test}
    if sources["train"] is None and "train" not in given:
        raise RecipeError(
            "data.train", "this is missing", "Name a file: --train train.jsonl (or data.train)."
        )
    _refuse_unalterable(data, task)
    masked_lm = masked_lm_of(data.augment)
    split = {
        name: _read(name, source, data, given, folder, task)
        for name, source in sources.items()
        if source is not None or name in given
    }
    where = {name: source or name for name, source in sources.items()}
    train = split["train"]
    for name, texts in split.items():
        _refuse_odd(train, texts, f"data.{name}")
    rows = list(split.values())
    task = settled(task, data, rows)
    names = task.names(train, data, teacher_labels, where["train"])
    labels = {
        name: task.targets(texts, names, source=where[name], beside=rows)
        for name, texts in split.items()
    }
    counts = {"train_rows": len(train)}
    for name in ("validation", "test"):
        if name in split:
            _refuse_unlabelled(split[name], labels[name], where[name])
            counts |= _left_out(name, labels[name], where[name])
    held_out = [split[name] for name in ("validation", "test") if name in split]
    kept, counts["train_rows_dropped"] = without_leaks(train, held_out)
    if counts["train_rows_dropped"]:
        say(
            f"  {counts['train_rows_dropped']} training rows dropped: their texts stand in "
            "validation or test"
        )
        _refuse_all_dropped(kept, where["train"])
        labels["train"] = task.targets(kept, names, source=where["train"], beside=rows)
    task.refuse_unlearnable(labels["train"], names, where["train"])
    lesson = Labelled(kept, labels["train"])
    if "validation" in split:
        validation = Labelled(split["validation"], labels["validation"])
    else:
        lesson, validation = _hold_out(lesson, data, seed, where["train"])
        held_out.append(validation.texts)
    test = Labelled(split["test"], labels["test"]) if "test" in split else validation
    copies = copies_of(lesson.texts, data, masked_lm, seed=seed, folder=folder, knowledge=knowledge)
    own = len(lesson.texts)
    lesson = _with_unlabelled(lesson, data, given, held_out, counts, folder, task)
    lesson = _with_altered(lesson, copies, held_out, counts)
    if lesson.texts.listed:
        fewer = fewer_candidates(lesson.texts, data.candidates, seed=seed, folder=folder)
        lesson = Labelled(fewer, task.targets(fewer, names, source=where["train"]))
    if test is not validation:
        shared = np.isin(folded_hashes(validation.texts), folded_hashes(test.texts))
        counts["validation_rows_in_test"] = int(shared.sum())
    counts.update(
        train_rows_used=len(lesson.texts),
        train_rows_labelled=int(labelled(lesson.labels).sum()),
        validation_rows=len(validation.texts),
        test_rows=len(test.texts),
    )
    outside = _outside(data, test.texts, task, folder)
    if outside is not None:
        counts["rows_of_no_class"] = len(outside)
    added = len(lesson.texts) - own
    return Material(lesson, validation, test, names, task, counts, outside, added)


def _outside(data: DataConfig, test: Texts, task: Task, folder: Path | None) -> Texts | None:
    """The texts of no class.

    Raises:
        RecipeError: If the task has no classes that exclude each other.
    """
    if data.outside is None:
        return None
    if not task.distributes or task.reads == "prose":
        raise RecipeError(
            "data.outside",
            f"the task is {task.name}, whose answers are no distribution over classes: no "
            "probability says that a text belongs to none",
            "Delete data.outside.",
        )
    texts = read_texts("outside", data.outside, data, task, labels=False, folder=folder)
    _refuse_odd(test, texts, "data.outside")
    return texts


def task_for(
    teacher: PreTrainedConfig, recipe: Recipe, datasets: Datasets | None = None, *, where: str
) -> Task:
    """The task of a recipe's teacher; where its config leaves a choice, the rows make it.

    Args:
        teacher: Its config.
        recipe: Whose `task` and rows are looked at.
        datasets: Splits that are `datasets.Dataset` objects instead of files.
        where: The teacher's path, for messages.
    """
    task = task_of_teacher(teacher, recipe.task, where=where)
    if recipe.task != "auto" or task.problem_type != "regression":
        return task
    return task_beside_rows(task, teacher, first_row(recipe.data, datasets), recipe.data)


def first_row(data: DataConfig, datasets: Datasets | None) -> Mapping[str, Any]:
    """The first row of the training file or dataset: what shows which task it is for."""
    if datasets and "train" in datasets:
        return next(dataset_rows(datasets["train"], "train"), {})
    if data.train is None or data.parallel is not None:
        return {}
    if (question := shown_question(data.train)) is not None:
        return question
    ending = Path(data.train).suffix.lower()
    by_token = ending in ENDINGS and ending != ".txt"  # which is a text a line, unless told
    return next(token_rows(data.train) if by_token else read_rows(data.train), {})


def _read(
    name: str,
    source: str | None,
    data: DataConfig,
    given: Datasets,
    folder: Path | None,
    task: Task,
    *,
    labels: bool = True,
    before: int = 0,
) -> Texts:
    rows = dataset_rows(given[name], name) if name in given else None
    source = name if name in given else source
    assert source is not None
    return read_texts(
        name, source, data, task, labels=labels, rows=rows, folder=folder, before=before
    )


def _hold_out(
    lesson: Labelled, data: DataConfig, seed: int, source: str
) -> tuple[Labelled, Labelled]:
    kept, held = stratified_holdout(
        strata(lesson.labels),
        kinship(lesson.texts),
        share=data.validation_share,
        seed=seed,
        source=source,
    )
    rows = [Labelled(lesson.texts.take(part), lesson.labels[part]) for part in (kept, held)]
    validation = Labelled(replace(rows[1].texts, name="validation"), rows[1].labels)
    say(f"  no validation file: {len(held)} rows of train are held out, stratified")
    return rows[0], validation


def _with_unlabelled(
    lesson: Labelled,
    data: DataConfig,
    given: Datasets,
    held_out: list[Texts],
    counts: dict[str, int],
    folder: Path | None,
    task: Task,
) -> Labelled:
    more = None
    for source in [*data.unlabelled, None]:
        if source is None and "unlabelled" not in given:
            continue
        objects = given if source is None else {}
        before = 0 if more is None else len(more)
        part = _read("unlabelled", source, data, objects, folder, task, labels=False, before=before)
        more = part if more is None else part.unlabelled_after(more)
    if more is None:
        return lesson
    counts["unlabelled_rows"] = len(more)
    more, dropped = without_leaks(more, [*held_out, lesson.texts])
    _, first = np.unique(folded_hashes(more), return_index=True)
    repeated = len(more) - len(first)
    if repeated:
        more = more.take(np.sort(first))
    counts["unlabelled_rows_dropped"] = dropped + repeated
    say(
        f"  {len(more)} unlabelled rows ({dropped} dropped that stand in another split, "
        f"{repeated} repeated)"
    )
    _refuse_odd(lesson.texts, more, "data.unlabelled")
    return _joined(lesson, more)


def _refuse_unalterable(data: DataConfig, task: Task) -> None:
    if data.augment.copies and task.reads != "texts":
        raise RecipeError(
            "data.augment.copies",
            f"it is {data.augment.copies}, but the task is {task.name}: in an altered copy nobody "
            "knows which words are which",
            "Leave it out, and give more texts as data.unlabelled.",
        )


def _refuse_odd(texts: Texts, more: Texts, where: str) -> None:
    if texts.paired == more.paired:
        return
    kinds = {True: "pairs of texts", False: "single texts"}
    raise DataError(
        where,
        f"it holds {kinds[more.paired]}, but the training rows are {kinds[texts.paired]}",
        "Give rows with the same columns as the training rows.",
    )


def _with_altered(
    lesson: Labelled, copies: Texts | None, held_out: list[Texts], counts: dict[str, int]
) -> Labelled:
    """The lesson and the copies, which the teacher alone labels."""
    if copies is None:
        return lesson
    kept, dropped = without_leaks(copies, [*held_out, lesson.texts])
    counts["altered_rows"] = len(kept)
    say(f"  {len(kept)} altered copies of training texts ({dropped} dropped as known texts)")
    return _joined(lesson, kept)


def _joined(lesson: Labelled, more: Texts) -> Labelled:
    """The lesson and unlabelled texts."""
    return Labelled(more.unlabelled_after(lesson.texts), with_none(lesson.labels, more))


def _refuse_unlabelled(texts: Texts, labels: Targets, source: str) -> None:
    bare = np.flatnonzero(~labelled(labels))
    if len(bare):
        first = texts.ids[int(bare[0])]
        raise DataError(
            source,
            f"{len(bare)} of {len(texts)} rows have no label, {first} the first",
            f"Rows of {texts.name} are judged, so each needs one; check data.label_column.",
        )


def _left_out(name: str, labels: Targets, source: str) -> dict[str, int]:
    """How many rows of a split count for nothing, for the report."""
    count = rows_left_out(labels, source)
    if not count:
        return {}
    say(
        f"  {count} of {len(labels)} queries of {name} have candidates of one label alone, and are "
        "left out of the score: no order is better than another"
    )
    return {f"{name}_rows_left_out": count}


def _refuse_all_dropped(kept: Texts, source: str) -> None:
    if not len(kept):
        raise DataError(
            source,
            "every text of it stands in validation or test too, so nothing is left to train on",
            "Give files that share no texts, or leave data.validation out: a share of train is "
            "held out then.",
        )
