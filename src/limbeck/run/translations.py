"""The texts of a run whose rows are translations of each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from limbeck.config.parallel import ParallelConfig
from limbeck.config.recipe import DataConfig, Recipe
from limbeck.data.parallel import Parallel, gather_parallel, parallel_rows
from limbeck.data.read import dataset_rows
from limbeck.data.texts import Texts, among, folded_hashes
from limbeck.errors import DataError, RecipeError
from limbeck.progress import say
from limbeck.run.material import Datasets, Labelled, Material
from limbeck.run.objective import Objective
from limbeck.tasks.reading import read_texts
from limbeck.tasks.sentence_embeddings import SentenceEmbeddings
from limbeck.tasks.task import Task


def gather_translations(
    data: DataConfig,
    parallel: ParallelConfig,
    *,
    task: Task,
    seed: int,
    datasets: Datasets | None,
    folder: Path | None,
) -> Material:
    """Parallel rows as single texts; the teacher is asked about the sources alone.

    Validation and test are judged by whether translations find each other. `data.unlabelled` is
    more text of the source language, which is its own source.

    Args:
        data: The recipe's `data`.
        parallel: Its languages.
        task: The teacher's; it must give vectors.
        seed: Of the split.
        datasets: Splits that are `datasets.Dataset` objects instead of files.
        folder: On whose disk texts are kept while the process needs them.

    Raises:
        RecipeError: For another task, or keys that mean nothing here.
        DataError: For rows that are no translations of each other.
    """
    _refuse_meaningless(data, task)
    split = {
        name: _read(name, getattr(data, name), data, parallel, datasets, folder)
        for name in ("train", "validation", "test")
        if getattr(data, name) is not None or name in (datasets or {})
    }
    if "train" not in split:
        raise RecipeError(
            "data.train", "this is missing", "Name a file: --train rows.jsonl (or data.train)."
        )
    train = split["train"]
    counts = {"train_rows": len(train)}
    if "validation" not in split:
        train, split["validation"] = _hold_out(train, data, seed)
    for name in ("validation", "test"):
        if name in split:
            split[name] = _told_apart(split[name])
    judged = [split[name].texts for name in ("validation", "test") if name in split]
    train, dropped = _without_leaks(train, judged, data.train or "train")
    counts |= {"train_rows_dropped": dropped, "train_rows_labelled": 0}
    lesson, asked = train.texts, train.sources
    more = _more(data, datasets, folder, task, judged)
    if more is not None:
        asked = np.concatenate([asked, len(lesson) + np.arange(len(more))])
        counts["unlabelled_rows"] = len(more)
        lesson = more.unlabelled_after(lesson)
    validation = _judged(split["validation"])
    test = _judged(split["test"]) if "test" in split else validation
    counts |= {
        "train_rows_used": len(lesson),
        "validation_rows": len(split["validation"]),
        "test_rows": len(split.get("test", split["validation"])),
    }
    say(
        f"  {len(train):,} rows in {' and '.join(parallel.sides)} ({dropped:,} dropped that are "
        f"judged): {len(lesson):,} texts, {len(np.unique(asked)):,} of them for the teacher"
    )
    unknown = np.full(len(lesson), np.nan, dtype=np.float32)
    return Material(
        Labelled(lesson, unknown),
        validation,
        test,
        [],
        SentenceEmbeddings(sides=parallel.sides),
        counts,
        asked=asked,
    )


def refuse_untranslatable(recipe: Recipe, objective: Objective) -> None:
    """Refuse terms that compare tokens where the teacher reads another language.

    Raises:
        RecipeError: Naming the key.
    """
    if recipe.data.parallel is not None and objective.parts:
        raise RecipeError(
            "objective.terms",
            "a term compares layers token by token, but the teacher reads the source and the "
            "student its translations too (data.parallel)",
            "Use terms of kind vectors and logits.",
        )


def _read(
    name: str,
    source: str | None,
    data: DataConfig,
    parallel: ParallelConfig,
    datasets: Datasets | None,
    folder: Path | None,
) -> Parallel:
    given = datasets or {}
    if name in given:
        source, rows = name, dataset_rows(given[name], name)
    else:
        assert source is not None
        rows = parallel_rows(source, parallel)
    whole = name != "train"
    return gather_parallel(name, rows, source, data, parallel, whole=whole, folder=folder)


def _hold_out(train: Parallel, data: DataConfig, seed: int) -> tuple[Parallel, Parallel]:
    """A share of the rows that have every translation."""
    assert data.parallel is not None
    whole = np.bincount(train.rows, minlength=len(train)) == len(data.parallel.sides)
    rows = np.flatnonzero(whole)
    wanted = max(2, round(data.validation_share * len(train)))
    if len(rows) < wanted or len(train) - wanted < 1:
        raise DataError(
            data.train or "train",
            f"{len(rows)} of {len(train)} rows have all translations, and {wanted} are to be held "
            "out",
            "Give a validation file (data.validation).",
        )
    held = np.zeros(len(train), dtype=bool)
    held[np.random.default_rng(seed).permutation(rows)[:wanted]] = True
    say(f"  no validation file: {wanted} rows of train are held out")
    validation = train.take(held)
    return train.take(~held), replace(
        validation, texts=replace(validation.texts, name="validation")
    )


def _told_apart(split: Parallel) -> Parallel:
    """The rows of which no text is another row's: such a text has two translations."""
    hashes = folded_hashes(split.texts)
    keep = np.ones(len(split), dtype=bool)
    for side in np.unique(split.sides):
        here = split.sides == side
        _, first = np.unique(hashes[here], return_index=True)
        keep[np.delete(split.rows[here], first)] = False
    if not keep.all():
        name = split.texts.name
        say(f"  {int((~keep).sum())} {name} rows dropped that repeat another's text")
        split = split.take(keep)
    if len(split) < 2:
        raise DataError(
            split.texts.name, f"{len(split)} row is left to be found among others", "Give more."
        )
    return split


def _without_leaks(train: Parallel, judged: list[Texts], source: str) -> tuple[Parallel, int]:
    """The rows without a text, in any language, that is judged."""
    seen = np.concatenate([folded_hashes(texts) for texts in judged])
    known = among(folded_hashes(train.texts), seen)
    keep = np.bincount(train.rows, weights=known, minlength=len(train)) == 0
    if not keep.any():
        raise DataError(
            source,
            "every row has a text that is judged, so nothing is left to train on",
            "Give other rows as validation and test.",
        )
    return (train, 0) if keep.all() else (train.take(keep), int((~keep).sum()))


def _judged(split: Parallel) -> Labelled:
    return Labelled(split.texts, split.rows)


def _more(
    data: DataConfig,
    datasets: Datasets | None,
    folder: Path | None,
    task: Task,
    judged: list[Texts],
) -> Texts | None:
    """More texts of the source language, without those that are judged."""
    bare, more = data.model_copy(update={"parallel": None}), None
    for name in [*data.unlabelled, *([None] if "unlabelled" in (datasets or {}) else [])]:
        rows = None if name is not None else dataset_rows((datasets or {})["unlabelled"], "more")
        before = 0 if more is None else len(more)
        part = read_texts(
            "unlabelled", name or "unlabelled", bare, task, labels=False, rows=rows,
            folder=folder, before=before,
        )  # fmt: skip
        more = part if more is None else part.unlabelled_after(more)
    if more is None:
        return None
    seen = np.concatenate([folded_hashes(texts) for texts in judged])
    return more.take(np.flatnonzero(~among(folded_hashes(more), seen)))


def _refuse_meaningless(data: DataConfig, task: Task) -> None:
    if not task.apart:
        raise RecipeError(
            "data.parallel",
            f"it is set, but the teacher's task is {task.name}: only vectors can be put where "
            "another language has them",
            "Give a sentence encoder as teacher (or set teacher.pooling).",
        )
    for key in ("pair_column", "label_column", "outside"):
        if getattr(data, key) is not None:
            raise RecipeError(
                f"data.{key}",
                f"it is {getattr(data, key)!r}, but rows of data.parallel have languages alone",
                "Leave it out.",
            )
    if data.augment.copies:
        raise RecipeError(
            "data.augment.copies",
            f"it is {data.augment.copies}, but an altered copy is no translation of its row",
            "Leave it out.",
        )
