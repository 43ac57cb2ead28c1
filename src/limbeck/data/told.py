"""What somebody else's model said about rows, read from files and joined to the rows by id."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.teacher import AnswersConfig
from limbeck.data.columns import TEXT_COLUMNS, known
from limbeck.data.read import Row, read_rows
from limbeck.errors import DataError

COLUMNS = {
    "probabilities": ("probabilities", "probability", "probs"),
    "logits": ("logits", "logit"),
    "scores": ("score", "scores", "prediction", "value"),
    "vectors": ("vector", "vectors", "embedding", "embeddings", "sentence_embedding"),
}
"""By the kind of answers: what their column is called."""
_BESIDE = (*TEXT_COLUMNS, "text_a", "text_b", "label", "labels", "index", "split")
"""Columns that are no classes."""
_ARRAYS = (".npy", ".npz")


@dataclass(frozen=True)
class Told:
    """The answers of one file.

    Attributes:
        source: The file.
        ids: Of the rows that are answered, or None where the file tells them in the rows' order.
        values: As they were written, float32 [answers, numbers].
        names: What the numbers are called in the file, or None where it does not say.
        places: Where each answer stands, for messages: its line or row from 1.
    """

    source: str
    ids: Sequence[str] | None
    values: np.ndarray
    names: tuple[str, ...] | None
    places: np.ndarray

    def where(self, answer: int) -> str:
        """The place of an answer, for a message."""
        named = "" if self.ids is None else f" (id {self.ids[answer]})"
        return f"{self.source}, row {int(self.places[answer])}{named}"


def read_told(source: str, config: AnswersConfig) -> Told:
    """The answers of a file; rows with an empty cell are no answers.

    Args:
        source: A .npy or .npz file, or one of rows (`read_rows`).
        config: Kind and columns.

    Raises:
        DataError: For what cannot be read, a row of another width than the first, a number that
            is NaN or infinite, or an id that stands twice.
    """
    path = Path(source)
    told = _of_array(path) if path.suffix.lower() in _ARRAYS else _of_rows(source, config)
    if not len(told.values):
        raise DataError(source, "it holds no answers", "Give a file with at least one answer.")
    broken = np.flatnonzero(~np.isfinite(told.values).all(axis=1))
    if len(broken):
        raise DataError(
            told.where(int(broken[0])),
            f"the answer holds NaN or infinity, as do {len(broken)} of {len(told.values)} answers",
            "Leave out rows that the model could not answer; they learn from their labels alone.",
        )
    _refuse_twins(told)
    return told


def _refuse_twins(told: Told) -> None:
    seen: dict[str, int] = {}
    for answer, identity in enumerate(told.ids or ()):
        if identity in seen:
            raise DataError(
                told.where(answer),
                f"this id stands in row {int(told.places[seen[identity]])} already",
                "Give one answer a row: of two, nobody knows which to learn.",
            )
        seen[identity] = answer


def _of_array(path: Path) -> Told:
    """A .npy file of an array, or a .npz file of `ids` and `values`."""
    ids = None
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            values = content
        else:
            with content:
                values = content["values"]
                ids = [str(identity) for identity in content["ids"].tolist()]
    except FileNotFoundError:
        raise DataError(
            str(path), f"there is no such file (looked from {Path.cwd()})", "Check its name."
        ) from None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            str(path),
            f"numpy cannot read the answers ({type(error).__name__}: {str(error)[:200]})",
            "Write numbers with numpy.save, or `ids` and `values` with numpy.savez.",
        ) from None
    if values.dtype.kind not in "fiu" or values.ndim not in (1, 2):
        raise DataError(
            str(path),
            f"it is an array of {values.dtype} with {values.ndim} dimensions",
            "Give numbers, [rows, classes] or [rows, width]; single numbers may be [rows].",
        )
    if ids is not None and len(ids) != len(values):
        raise DataError(
            str(path), f"it has {len(ids)} ids and {len(values)} values", "Give an id a value."
        )
    values = np.asarray(values, dtype=np.float32).reshape(len(values), -1)
    return Told(str(path), ids, values, None, np.arange(1, len(values) + 1))


def _of_rows(source: str, config: AnswersConfig) -> Told:
    reader = _RowReader(source, config)
    ids: list[str] = []
    found: list[list[float]] = []
    places: list[int] = []
    with closing(read_rows(source)) as rows:
        for number, row in enumerate(rows, start=1):
            answer = reader.answer(row, number)
            if answer is None:
                if not reader.by_id:
                    raise DataError(
                        f"{source}, row {number}",
                        f"it has no answer, and there is no column {config.id_column!r} that says "
                        "which rows the others are of",
                        f"Give the answers a column {config.id_column!r}, or all rows an answer.",
                    )
                continue
            if reader.by_id:
                ids.append(_identity(row.get(config.id_column), f"{source}, row {number}"))
            found.append(answer)
            places.append(number)
    values = np.array(found, dtype=np.float32).reshape(len(found), -1)
    return Told(source, ids if reader.by_id else None, values, reader.names, np.array(places))


def _identity(cell: Any, where: str) -> str:
    if cell is None or str(cell).strip() == "":
        raise DataError(where, "it has no id", "Give each answer the id of its row.")
    return str(cell)


class _RowReader:
    """Finds an answer in each row of a file, by what the first row has."""

    def __init__(self, source: str, config: AnswersConfig) -> None:
        self._source, self._config = source, config
        self._column: str | None = None
        self._columns: tuple[str, ...] = ()
        self._width = 0
        self.names: tuple[str, ...] | None = None
        self.by_id = False

    def answer(self, row: Row, number: int) -> list[float] | None:
        """The row's numbers, or None without any."""
        where = f"{self._source}, row {number}"
        if self._column is None and not self._columns:
            self._find(row)
        if self._column is not None:
            numbers = self._of_cell(row.get(self._column), where)
        else:
            cells = [row.get(column) for column in self._columns]
            empty = [cell is None or cell == "" for cell in cells]
            numbers = None if all(empty) else [_number(cell, where) for cell in cells]
        if numbers is None:
            return None
        self._width = self._width or len(numbers)
        if len(numbers) != self._width:
            raise DataError(
                where,
                f"the answer has {len(numbers)} numbers, those above have {self._width}",
                "Give every row as many: one a class, or the width of a vector.",
            )
        return numbers

    def _find(self, row: Row) -> None:
        config = self._config
        self.by_id = config.id_column in row
        if config.column is not None and config.column not in row:
            raise DataError(
                self._source,
                f"there is no column {config.column!r}; the columns are {', '.join(row)}",
                "Set teacher.answers.column to one of them.",
            )
        self._column = config.column or known(row, COLUMNS[config.kind])
        if self._column is not None:
            return
        beside = (config.id_column.casefold(), *_BESIDE)
        self._columns = tuple(name for name in row if name.strip().casefold() not in beside)
        self.names = self._columns
        if not self._columns:
            raise DataError(
                self._source,
                f"no column holds answers; the columns are {', '.join(row)}",
                f"Name it: teacher.answers.column. Found by itself is {COLUMNS[config.kind][0]}; "
                "or give a column a class, named like it.",
            )

    def _of_cell(self, cell: Any, where: str) -> list[float] | None:
        if isinstance(cell, str) and cell.strip()[:1] in ("[", "{"):
            try:
                cell = json.loads(cell)
            except json.JSONDecodeError as error:
                raise DataError(
                    where, f"the answer is no JSON list or object ({error.msg})", "Mend it."
                ) from None
        if cell is None or cell == "" or (isinstance(cell, Sequence) and not len(cell)):
            return None
        if isinstance(cell, Mapping):
            return self._of_object(cell, where)
        if isinstance(cell, Sequence) and not isinstance(cell, str):
            return [_number(number, where) for number in cell]
        return [_number(cell, where)]

    def _of_object(self, cell: Mapping[str, Any], where: str) -> list[float]:
        if self.names is None:
            self.names = tuple(cell)
        if sorted(cell) != sorted(self.names):
            odd = ", ".join(sorted(set(cell) ^ set(self.names))[:4])
            raise DataError(
                where,
                f"the answer has other classes than those above ({odd})",
                "Give every row a number a class.",
            )
        return [_number(cell[name], where) for name in self.names]


def _number(cell: Any, where: str) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise DataError(
            where,
            f"{cell!r} stands where the answer should have a number",
            "Give numbers, or name their column: teacher.answers.column.",
        ) from None


def row_ids_of(rows: Iterable[Row], column: str) -> Iterator[str | None]:
    """The rows' own ids, None in a row without one."""
    for row in rows:
        cell = row.get(column)
        yield None if cell is None or cell == "" else str(cell)


def joined(
    told: Told, splits: Mapping[str, Sequence[str | None]], *, id_column: str
) -> dict[str, int]:
    """By limbeck's id of a row (``train/17``), which of the answers is its.

    Args:
        told: A file's answers.
        splits: By the names of the splits that the file tells of, their rows' own ids in order.
        id_column: What those are called, for messages.

    Raises:
        DataError: For an id that no row has, one that two rows have, or other counts where there
            are no ids.
    """
    if told.ids is None:
        return _by_place(told, splits, id_column)
    homes: dict[str, str] = {}
    for name, own in splits.items():
        for number, identity in enumerate(own, start=1):
            if identity is not None and identity in homes:
                raise DataError(
                    f"{name}, row {number}",
                    f"its {id_column} {identity!r} is that of {homes[identity]} too, so that an "
                    f"answer of {told.source} would belong to both",
                    "Give each row an id of its own.",
                )
            if identity is not None:
                homes[identity] = f"{name}/{number}"
    ours = {f"{name}/{number}" for name, own in splits.items() for number in _numbers(own)}
    found = {}
    for answer, identity in enumerate(told.ids):
        home = homes.get(identity) or (identity if identity in ours else None)
        if home is None:
            rows = sum(map(len, splits.values()))
            raise DataError(
                told.where(answer),
                f"none of the {rows} rows of {' and '.join(splits)} has this id",
                f"Give the rows a column {id_column!r}, use limbeck's ids ({next(iter(splits))}/1 "
                "is the first row), or leave the column out where answers are in the rows' order.",
            )
        found[home] = answer
    return found


def _numbers(own: Sequence[str | None]) -> range:
    return range(1, len(own) + 1)


def _by_place(
    told: Told, splits: Mapping[str, Sequence[str | None]], id_column: str
) -> dict[str, int]:
    rows = sum(map(len, splits.values()))
    if len(told.values) != rows or len(splits) > 1:
        raise DataError(
            told.source,
            f"it has {len(told.values)} answers and no ids, but {' and '.join(splits)} "
            f"{'have' if len(splits) > 1 else 'has'} {rows} rows",
            f"Give an answer a row, in a file a split, or a column {id_column!r} that says which "
            "row each answer is of (in .npz files the array ids).",
        )
    name = next(iter(splits))
    return {f"{name}/{number}": number - 1 for number in _numbers(splits[name])}
