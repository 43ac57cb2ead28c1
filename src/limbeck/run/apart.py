"""The texts of a run whose rows need no labels, and whose pairs are answered text by text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.data.read import dataset_rows
from limbeck.data.singles import distinct, singles
from limbeck.data.split import stratified_holdout, without_leaks
from limbeck.data.targets import labelled, strata
from limbeck.data.texts import Texts, folded_hashes
from limbeck.errors import DataError, RecipeError
from limbeck.progress import say
from limbeck.run.augmentation import copies_of, masked_lm_of
from limbeck.run.material import Datasets, Labelled, Material
from limbeck.tasks.reading import read_texts
from limbeck.tasks.sentence_embeddings import SentenceEmbeddings
from limbeck.tasks.task import Task

_FEWEST = 3
"""Texts among which one can be nearer than another."""


def gather_apart(
    data: DataConfig,
    *,
    task: Task,
    seed: int,
    datasets: Datasets | None = None,
    folder: Path | None = None,
    knowledge: Path | None = None,
) -> Material:
    """Read and deduplicate the texts that a recipe's `data` names; pairs become single texts.

    Validation and test are judged by the scores of their pairs, if both have them; else their
    targets are the teacher's vectors, which are not known yet (NaN) and come
    by `with_teachers_targets`.

    Args:
        data: The recipe's `data`.
        task: Whose form the scores have.
        seed: Of the split.
        datasets: Splits that are `datasets.Dataset` objects instead of files.
        folder: On whose disk texts are kept while the process needs them.
        knowledge: Where what `data.augment.masked_lm` says is recorded.

    Raises:
        DataError: For what cannot be read, or is too little to learn from or to judge by.
    """
    given = datasets or {}
    if data.train is None and "train" not in given:
        raise RecipeError(
            "data.train", "this is missing", "Name a file: --train texts.jsonl (or data.train)."
        )
    train = _read("train", data.train, data, given, folder, task)
    source = data.train or "train"
    judged = {
        name: _read(name, path, data, given, folder, task)
        for name, path in (("validation", data.validation), ("test", data.test))
        if path is not None or name in given
    }
    if "validation" not in judged:
        train, judged["validation"] = _hold_out(train, task, data, seed, source)
    scored = all(_scored(texts, task) for texts in judged.values())
    task = SentenceEmbeddings(scored=scored)
    parts = {name: judged_texts(texts, task, folder=folder) for name, texts in judged.items()}
    validation, test = parts["validation"], parts.get("test", parts["validation"])
    held_out = [part.texts for part in parts.values()]
    lessons = [singles(train, folder=folder)]
    before = 0
    for name in [*data.unlabelled, *([None] if "unlabelled" in given else [])]:
        objects = given if name is None else {}
        more = _read("unlabelled", name, data, objects, folder, task, labels=False, before=before)
        before += len(more)
        lessons.append(singles(more, folder=folder))
    rows = sum(map(len, lessons))
    lesson, dropped = without_leaks(distinct(_joined(lessons)), held_out)
    copies = copies_of(
        lesson, data, masked_lm_of(data.augment), seed=seed, folder=folder, knowledge=knowledge
    )
    counts = {"train_rows": rows, "train_rows_dropped": dropped, "train_rows_labelled": 0}
    if copies is not None:
        known = without_leaks(copies, [*held_out, lesson])[0]
        counts["altered_rows"] = len(known)
        lesson = _joined([lesson, known])
    _refuse_few(lesson, source)
    say(f"  {len(lesson)} distinct texts of {rows} ({dropped} dropped that are judged)")
    counts |= {
        "train_rows_used": len(lesson),
        "validation_rows": len(validation.texts),
        "test_rows": len(test.texts),
    }
    if test is not validation:
        shared = np.isin(folded_hashes(validation.texts), folded_hashes(test.texts))
        counts["validation_rows_in_test"] = int(shared.sum())
    unknown = np.full(len(lesson), np.nan, dtype=np.float32)
    return Material(Labelled(lesson, unknown), validation, test, [], task, counts)


def judged_texts(texts: Texts, task: Task, *, folder: Path | None) -> Labelled:
    """The texts of a split that is judged, one by one, and their targets (NaN without scores).

    Args:
        texts: The split.
        task: Of `SentenceEmbeddings`, scored or not.
        folder: As for `singles`.
    """
    alone = singles(texts, folder=folder)
    if task.score_name != "Spearman":
        return Labelled(alone, np.full(len(alone), np.nan, dtype=np.float32))
    _refuse_unscored(texts, task)
    return Labelled(alone, np.repeat(task.targets(texts, [], source=texts.name), 2))


def with_teachers_targets(material: Material, validation: np.ndarray, test: np.ndarray) -> Material:
    """The material with the teacher's vectors as targets, where there are no scores.

    Args:
        material: Of any task.
        validation: The teacher's outputs on the validation rows.
        test: Those on the test rows.
    """
    if not material.task.apart or labelled(material.validation.labels).all():
        return material
    first = replace(material.validation, labels=validation)
    last = first if material.tested_on_validation else replace(material.test, labels=test)
    return replace(material, validation=first, test=last)


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
    return read_texts(
        name, source or name, data, task, labels=labels, rows=rows, folder=folder, before=before
    )


def _scored(texts: Texts, task: Task) -> bool:
    return texts.paired and bool((texts.codes >= 0).any())


def _hold_out(
    train: Texts, task: Task, data: DataConfig, seed: int, source: str
) -> tuple[Texts, Texts]:
    """A share of the rows, by their scores if they have any."""
    groups = strata(task.targets(train, [], source=source))
    if not _scored(train, task):
        groups = np.zeros(len(train), dtype=np.int64)
    kept, held = stratified_holdout(
        groups, folded_hashes(train), share=data.validation_share, seed=seed, source=source
    )
    say(f"  no validation file: {len(held)} rows of train are held out")
    return train.take(kept), replace(train.take(held), name="validation")


def _joined(parts: Sequence[Texts]) -> Texts:
    whole = parts[0]
    for part in parts[1:]:
        whole = part.unlabelled_after(whole)
    return whole


def _refuse_few(texts: Texts, source: str) -> None:
    if len(texts) < _FEWEST:
        raise DataError(
            source,
            f"{len(texts)} distinct texts are left to train on, and with fewer than {_FEWEST} no "
            "text is nearer to one than to another",
            "Give more texts; those that stand in validation or test are not trained on.",
        )


def _refuse_unscored(texts: Texts, task: Task) -> None:
    bare = np.flatnonzero(texts.codes < 0)
    if len(bare):
        raise DataError(
            texts.name,
            f"{len(bare)} of {len(texts)} pairs have no score, {texts.ids[int(bare[0])]} the first",
            "Score all pairs that are judged, or none.",
        )
    if len(texts) < 2:
        raise DataError(
            texts.name, "one scored pair has no order", "Give two scored pairs at least."
        )
