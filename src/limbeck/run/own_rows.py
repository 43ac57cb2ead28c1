"""The rows of a split once more, with the columns that are no text and no label."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

from limbeck.config.recipe import DataConfig
from limbeck.data.parallel import parallel_rows
from limbeck.data.read import Row, dataset_rows, read_rows
from limbeck.errors import RecipeError
from limbeck.run.material import Datasets


def rows_of(name: str, data: DataConfig, datasets: Datasets | None, *, key: str) -> Generator[Row]:
    """The rows of a split as they are read, in the order of limbeck's ids (``train/1``, …).

    Args:
        name: train, unlabelled, validation or test.
        data: The recipe's `data`.
        datasets: Splits given as objects.
        key: Of the recipe, that wants them: for the message.

    Raises:
        RecipeError: If there are no such rows.
    """
    given = datasets or {}
    source = getattr(data, name)
    files = list(source) if name == "unlabelled" else [source] if source is not None else []
    if name in given:
        if name != "unlabelled":
            return dataset_rows(given[name], name)
        return _chained(iter([*map(read_rows, files), dataset_rows(given[name], name)]))
    if not files:
        raise RecipeError(
            key,
            f"it is about {name} rows, but data.{name} names none",
            f"Give the texts that they are about (data.{name}).",
        )
    if data.parallel is not None and name != "unlabelled":
        return parallel_rows(files[0], data.parallel)
    return _chained(map(read_rows, files))


def _chained(parts: Iterator[Generator[Row]]) -> Generator[Row]:
    for part in parts:
        with closing(part):
            yield from part
