"""Which columns of a file hold what: named by the user, or found by their usual names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.config.recipe import DataConfig
from limbeck.data.read import Row
from limbeck.errors import DataError

PAIR_COLUMNS = (
    ("text_a", "text_b"), ("sentence1", "sentence2"), ("sentence_a", "sentence_b"),
    ("premise", "hypothesis"), ("question1", "question2"), ("text", "text_pair"),
    ("query", "passage"), ("query", "document"), ("question", "sentence"),
)  # fmt: skip
TEXT_COLUMNS = (
    "text", "sentence", "content", "utterance", "review", "question", "query", "document",
    "body", "comment", "tweet", "title",
)  # fmt: skip


@dataclass(frozen=True)
class TextColumns:
    """Where a row's text stands, and its second text if texts come in pairs."""

    text: str
    pair: str | None


def text_columns(row: Row, data: DataConfig, source: str) -> TextColumns:
    """The columns of the texts: as `data` names them, else a known pair, else a known name.

    Raises:
        DataError: If there is none, naming those that there are.
    """
    if data.text_column is None and data.pair_column is None:
        for first, second in PAIR_COLUMNS:
            both = [known(row, (name,)) for name in (first, second)]
            if both[0] is not None and both[1] is not None:
                return TextColumns(both[0], both[1])
    text = find(row, data.text_column, _text_names(data), source, "text")
    pair = data.pair_column
    return TextColumns(text, None if pair is None else find(row, pair, (), source, "pair"))


def _text_names(data: DataConfig) -> tuple[str, ...]:
    if data.pair_column is None:
        return TEXT_COLUMNS
    firsts = tuple(first for first, second in PAIR_COLUMNS if second == data.pair_column)
    return (*firsts, *TEXT_COLUMNS)


def find(row: Row, given: str | None, names: Sequence[str], source: str, what: str) -> str:
    """The column that is given, or the first of the usual names that there is.

    Raises:
        DataError: If there is none, naming those that there are.
    """
    columns = list(row)
    if given is not None:
        if given in row:
            return given
        raise DataError(
            source,
            f"there is no column {given!r}; the columns are {', '.join(columns)}",
            f"Set data.{what}_column to one of them.",
        )
    found = known(row, names)
    if found is not None:
        return found
    raise DataError(
        source,
        f"no column looks like the {what}; the columns are {', '.join(map(str, columns))}",
        f"Name it: data.{what}_column (on the command line --{what}-column). "
        f"Found by themselves are {', '.join(names[:6])}, ….",
    )


def known(row: Row, names: Sequence[str]) -> str | None:
    """The column with the first of these names, case and outer spaces ignored, or None."""
    folded = {str(column).strip().casefold(): column for column in row}
    return next((folded[name] for name in names if name in folded), None)
