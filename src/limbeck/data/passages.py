"""Running text from any file: rows of texts, or plain text in passages of some paragraphs."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.data.clean import cleaner
from limbeck.data.columns import text_columns
from limbeck.data.prose import Reading
from limbeck.data.read import Row, read_rows, text_lines
from limbeck.data.spool import SpoolWriter
from limbeck.data.texts import Texts, text_in
from limbeck.errors import DataError, RecipeError

_LONG = 4000
"""Characters from which a passage ends with its line: some 1,000 tokens, a few blocks."""
_SECTION = 16
"""Passages of a lone file that stay in one split."""
_NAME = "\x00name"
"""The key of a passage's own name in its row; no column is called so."""


def passages(source: str) -> Generator[Row] | None:
    """The passages of a .txt file or of a folder of them; None for any other source.

    A passage ends with the line that makes it 4,000 characters long, or with its file; lines keep
    their ends. Ids name the file (``train/emma.txt#3``): its passages stay in one split. Those of a
    lone file do so by sixteens (``train/all.txt:2#37``).

    Args:
        source: A path.
    """
    path = Path(source)
    if path.is_file() and path.suffix.lower() == ".txt":
        return _alone(path)
    files = sorted(p for p in path.rglob("*.txt") if p.is_file()) if path.is_dir() else []
    return _of_files(path, files) if files else None


def gather_prose(
    name: str,
    source: str,
    data: DataConfig,
    reading: Reading,
    *,
    rows: Generator[Row] | None,
    folder: Path | None,
    before: int,
) -> Texts:
    """A split of texts whose tokens are foretold; none needs a label.

    Args:
        name: The split's, the first part of every id.
        source: A file of rows, a .txt file, a folder of .txt files, or the name of the rows.
        data: Columns and cleaning.
        reading: Which tokens are foretold.
        rows: Those of a dataset, in place of the source's.
        folder: On whose disk the texts are kept.
        before: Rows that have this split's ids already.

    Raises:
        DataError: For a text that is missing or empty.
        RecipeError: If columns of pairs or labels are named.
    """
    _refuse_columns(data)
    if rows is None:
        rows = passages(source) or read_rows(source)
    clean, writer, column, count = cleaner(data.clean), SpoolWriter(folder), None, 0
    with closing(rows):
        for count, row in enumerate(rows, start=1):
            if column is None:
                column = _column(row, data, source)
            text = text_in(row, column, clean, f"{source}, row {count}")
            writer.add(f"{name}/{row.get(_NAME) or before + count}", text, None)
    codes = np.zeros(count, dtype=np.int32)  # each text says itself what is to be foretold
    return Texts(name, writer.finish(), ("",), codes, reading=reading)


def _column(row: Row, data: DataConfig, source: str) -> str:
    if _NAME in row:
        return "text"
    columns = text_columns(row, data, source)
    if columns.pair is not None:
        raise DataError(
            source,
            f"it holds pairs of texts ({columns.text}, {columns.pair}), and a language model is "
            "shown one text",
            "Name the column of the texts: data.text_column.",
        )
    return columns.text


def _refuse_columns(data: DataConfig) -> None:
    for key in ("pair_column", "label_column"):
        if getattr(data, key) is not None:
            raise RecipeError(
                f"data.{key}",
                f"it is {getattr(data, key)!r}, but of a language model the texts themselves are "
                "what is to be foretold",
                "Leave it out.",
            )


def _alone(path: Path) -> Generator[Row]:
    with closing(text_lines(path)) as lines:
        for number, text in enumerate(_passages(lines)):
            yield _row(f"{path.name}:{1 + number // _SECTION}#{1 + number}", text)


def _of_files(folder: Path, files: Iterable[Path]) -> Generator[Row]:
    for path in files:
        with closing(text_lines(path)) as lines:
            for number, text in enumerate(_passages(lines), start=1):
                yield _row(f"{path.relative_to(folder).as_posix()}#{number}", text)


def _row(name: str, text: str) -> dict[str, Any]:
    return {"text": text, _NAME: name}


def _passages(lines: Iterable[str]) -> Generator[str]:
    waiting: list[str] = []
    size = 0
    for line in lines:
        for piece in _pieces(line):
            waiting.append(piece)
            size += len(piece)
            if size >= _LONG:
                yield from _visible("".join(waiting))
                waiting, size = [], 0
    yield from _visible("".join(waiting))


def _visible(text: str) -> Generator[str]:
    if text.strip():
        yield text.strip("\r\n")


def _pieces(line: str) -> Generator[str]:
    """A line, cut before a space where it is longer than a passage."""
    while len(line) > 2 * _LONG:
        end = line.rfind(" ", 1, _LONG)
        end = end if end > 0 else _LONG
        yield line[:end]
        line = line[end:]
    yield line
