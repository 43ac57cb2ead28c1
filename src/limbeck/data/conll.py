"""Files of one token a line, its tag in the last column, as CoNLL's shared tasks wrote them."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from limbeck.data.read import Row, read_rows, text_lines
from limbeck.errors import DataError

ENDINGS = (".conll", ".iob", ".iob2", ".bio", ".bioes", ".bmes", ".txt")
LINE = "line of the file"
"""Key of a row: where it begins, for messages."""
_DOCUMENT = "-DOCSTART-"
_BLANKS = re.compile(r"[ \t]+")


def token_rows(source: str) -> Generator[Row]:
    """Rows with tokens: a file of one token a line by its ending, else whatever `read_rows` reads.

    Args:
        source: A file, a saved dataset's folder, or a hub name.
    """
    path = Path(source)
    if path.is_file() and path.suffix.lower() in ENDINGS:
        return conll_rows(path)
    return read_rows(source)


def conll_rows(path: Path) -> Generator[Row]:
    """Rows of tokens and tags; a blank line ends one, and -DOCSTART- lines are left out.

    The first column is the token and the last the tag. Columns are parted by tabs if the first line
    has one, else by spaces. A file of one column has no tags: its rows are unlabelled.

    Raises:
        DataError: For a line with more or fewer columns than the first one, or a file of no token.
    """
    with closing(text_lines(path)) as lines:
        yield from _sentences(lines, path)


def _sentences(lines: Iterable[str], path: Path) -> Iterator[Row]:
    columns = rows = begin = 0
    tabs = False
    words: list[list[str]] = []
    for number, line in enumerate(lines, start=1):
        line = line.rstrip("\r\n")
        if not line.strip():
            if words:
                yield _row(words, begin)
                rows, words = rows + 1, []
            continue
        tabs = "\t" in line if not columns else tabs
        fields = line.rstrip("\t ").split("\t") if tabs else _BLANKS.split(line.strip(" \t"))
        columns = columns or len(fields)
        if len(fields) != columns:
            raise _other_columns(path, number, line, len(fields), columns, tabs=tabs)
        if fields[0].startswith(_DOCUMENT):
            continue
        begin = begin if words else number
        words.append(fields)
    if words:
        yield _row(words, begin)
        rows += 1
    if not rows:
        raise DataError(str(path), "the file holds no tokens", "Give one token and tag a line.")


def _row(words: list[list[str]], begin: int) -> Row:
    row: dict[str, object] = {"tokens": [fields[0] for fields in words], LINE: begin}
    if len(words[0]) > 1:
        row["tags"] = [fields[-1] for fields in words]
    return row


def _other_columns(
    path: Path, number: int, line: str, found: int, columns: int, *, tabs: bool
) -> DataError:
    return DataError(
        f"{path}, line {number}",
        f"{found} {'column' if found == 1 else 'columns'} parted by {'tabs' if tabs else 'spaces'} "
        f"({line[:80]!r}), but the first line has {columns}",
        "Write one token a line with the same columns everywhere, the tag last, and a blank line "
        "between sentences.",
    )
