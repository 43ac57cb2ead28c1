"""Rows of a text and its translations, as single texts that know which row they are of."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limbeck.config.parallel import ParallelConfig
from limbeck.config.recipe import DataConfig
from limbeck.data.clean import cleaner
from limbeck.data.read import Row, read_rows, text_lines
from limbeck.data.spool import SpoolWriter
from limbeck.data.texts import Texts
from limbeck.errors import DataError

SIDE = "{side}"
"""In a file's name: a plain-text file a language, line by line translations of each other."""


@dataclass(frozen=True)
class Parallel:
    """Single texts, each row's source before its translations.

    Attributes:
        texts: Ids are ``train/17`` for the source and ``train/17/de`` for a translation.
        rows: Of each text, its row, from 0 and rising.
        sides: Of each text, its place in `ParallelConfig.sides`; 0 is the source.
    """

    texts: Texts
    rows: np.ndarray
    sides: np.ndarray

    def __len__(self) -> int:
        return int(self.rows[-1]) + 1 if len(self.rows) else 0

    def take(self, keep: np.ndarray) -> Parallel:
        """The texts of some rows, renumbered.

        Args:
            keep: Whether each row stays (bool [rows]).
        """
        here = np.flatnonzero(keep[self.rows])
        number = np.cumsum(keep) - 1
        return Parallel(self.texts.take(here), number[self.rows[here]], self.sides[here])

    @property
    def sources(self) -> np.ndarray:
        """Of each text, the place of its row's source."""
        return np.flatnonzero(self.sides == 0)[self.rows]


def parallel_rows(source: str, parallel: ParallelConfig) -> Generator[Row]:
    """Rows of a table, or of plain-text files whose name holds ``{side}``.

    Raises:
        DataError: If the files have different numbers of lines: from the first that one lacks,
            every sentence would be taught another's vector.
    """
    return _of_lines(source, parallel) if SIDE in source else read_rows(source)


def _of_lines(source: str, parallel: ParallelConfig) -> Generator[Row]:
    paths = [Path(source.replace(SIDE, side)) for side in parallel.sides]
    for path in paths:
        if not path.is_file():
            raise DataError(
                str(path),
                f"there is no such file (looked from {Path.cwd()}), and {source} stands for one "
                f"file each of {', '.join(parallel.sides)}",
                "Check the name, and data.parallel.",
            )
    counts = [_line_count(path) for path in paths]
    if len(set(counts)) > 1:
        told = ", ".join(f"{path} has {n:,}" for path, n in zip(paths, counts, strict=True))
        raise DataError(
            source,
            f"the files have different numbers of lines: {told}",
            "Line n of one must be the translation of line n of the others; leave a line empty "
            "where there is none.",
        )
    streams = [text_lines(path) for path in paths]
    try:
        for lines in zip(*streams, strict=True):
            yield {
                side: line.rstrip("\r\n") for side, line in zip(parallel.sides, lines, strict=True)
            }
    finally:
        for stream in streams:
            stream.close()


def _line_count(path: Path) -> int:
    with closing(text_lines(path)) as lines:
        return sum(1 for _ in lines)


def gather_parallel(
    name: str,
    rows: Iterable[Row],
    source: str,
    data: DataConfig,
    parallel: ParallelConfig,
    *,
    whole: bool,
    folder: Path | None,
) -> Parallel:
    """The rows as single texts, cleaned.

    Args:
        name: The split's, the first part of every id.
        rows: From `parallel_rows`.
        source: The file, for messages.
        data: How texts are cleaned.
        parallel: The languages.
        whole: Whether each row must have all translations: what is judged is searched for in
            every language.
        folder: On whose disk the texts are kept.

    Raises:
        DataError: For a column that is not there, a row without source, or without a translation.
    """
    clean, writer = cleaner(data.clean), SpoolWriter(folder)
    own: list[int] = []
    sides: list[int] = []
    number = 0
    for number, row in enumerate(rows, start=1):
        where = f"{source}, row {number}"
        if number == 1:
            _refuse_strangers(row, parallel, source)
        told = 0
        for place, side in enumerate(parallel.sides):
            text = row.get(side)
            text = clean(text) if isinstance(text, str) else ""
            if not text.strip():
                if place == 0 or whole:
                    raise DataError(
                        where,
                        f"there is no text in column {side!r}",
                        "The teacher reads the source of every row."
                        if place == 0
                        else f"Rows of {name} are judged in all languages; leave such rows out.",
                    )
                continue
            writer.add(f"{name}/{number}" + (f"/{side}" if place else ""), text)
            own.append(number - 1)
            sides.append(place)
            told += place > 0
        if not told:
            raise DataError(
                where,
                f"it has none of the translations {', '.join(parallel.targets)}",
                "Leave the row out, or give it as data.unlabelled: a text of the source language.",
            )
    texts = Texts(name, writer.finish(), (), np.full(len(own), -1, dtype=np.int32))
    return Parallel(texts, np.array(own, dtype=np.int64), np.array(sides, dtype=np.int64))


def _refuse_strangers(row: Row, parallel: ParallelConfig, source: str) -> None:
    lacking = [side for side in parallel.sides if side not in row]
    if lacking:
        raise DataError(
            source,
            f"there is no column {lacking[0]!r}; the columns are {', '.join(row)}",
            "Set data.parallel.source and data.parallel.targets to columns of it.",
        )
