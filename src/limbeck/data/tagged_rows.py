"""Tokens and tags as files write them: which columns, which lists, which names."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from limbeck.config.recipe import DataConfig
from limbeck.data.columns import TEXT_COLUMNS, known
from limbeck.data.conll import LINE
from limbeck.data.read import Row
from limbeck.data.squad import holds_questions
from limbeck.errors import DataError

TOKEN_COLUMNS = ("tokens", "words", "token", "word")
TAG_COLUMNS = ("ner_tags", "tags", "labels", "slot_tags", "ner", "slots", "tag", "label")


def find_column(row: Row, given: str | None, known: tuple[str, ...], source: str, what: str) -> str:
    """The column that is named, else the first of the known ones; refused if there is none."""
    columns = [str(column) for column in row if column != LINE]
    if given is not None and given in row:
        return given
    if given is not None:
        raise DataError(
            source,
            f"there is no column {given!r}; the columns are {', '.join(columns)}",
            f"Set data.{what}_column to one of them.",
        )
    folded = {column.strip().casefold(): column for column in columns}
    found = next((folded[name] for name in known if name in folded), None)
    if found is None:
        raise DataError(
            source,
            f"no column looks like the {what}; the columns are {', '.join(columns)}",
            f"Name it: data.{what}_column. Found by themselves are {', '.join(known)}.",
        )
    return found


def tags_column_of(row: Row, given: str | None, tokens: str) -> str | None:
    """The tags' column; where several look like it, one that holds a list (label is the intent)."""
    if given is not None:
        return given if given in row else None
    folded = {str(column).strip().casefold(): column for column in row if column != tokens}
    found = [folded[name] for name in TAG_COLUMNS if name in folded]
    lists = [column for column in found if list_of(row[column]) is not None]
    return next(iter([*lists, *found]), None)


def list_of(value: Any) -> list[Any] | None:
    """A list as JSON, Parquet and datasets give it, or None for what is none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, list | tuple) else None


def words_of(value: Any, clean: Callable[[str], str], where: str) -> list[str]:
    """A row's words, each changed and with no white space at its ends; an empty one is refused."""
    tokens = list_of(value)
    if not tokens:
        raise DataError(
            where,
            "the list of tokens is empty" if tokens == [] else f"the tokens are {value!r}, no list",
            'Give each row its tokens as a list of strings, such as ["in", "Rome"] (JSONL or '
            "Parquet), or one token a line (.conll).",
        )
    words = []
    for place, token in enumerate(tokens, start=1):
        word = clean(token).strip() if isinstance(token, str) else ""
        if not word:
            raise DataError(
                f"{where}, word {place}",
                f"the token is {token!r}"
                + (" after cleaning" if isinstance(token, str) and token.strip() else ""),
                "Delete it and its tag; a token has at least one visible character.",
            )
        if any(unicodedata.category(character) == "Cs" for character in word):
            raise DataError(
                f"{where}, word {place}",
                f"the token {word!a} holds half a character",
                "Delete that half, or clean texts with --set data.clean.unicode=true.",
            )
        words.append(word)
    return words


def tags_of(
    value: Any, words: Sequence[str], names: Sequence[str] | None, where: str
) -> list[str] | None:
    """A row's tags as strings, one a word, or None where it has none."""
    if value is None:
        return None
    tags = list_of(value)
    if tags is None:
        raise DataError(
            where,
            f"the tags are {value!r}: a {type(value).__name__}, no list",
            "Token classification takes one tag a token, as a list; a label a text is another "
            "task. Set data.tags_column if the tags stand in another column.",
        )
    if len(tags) != len(words):
        raise DataError(
            where,
            f"{len(tags)} tags for {len(words)} tokens: every tag after the gap would stand for "
            "another word",
            "Give each token one tag, and O where it is part of nothing.",
        )
    return [
        _named(tag, names, f"{where}, word {place} ({word!r})")
        for place, (tag, word) in enumerate(zip(tags, words, strict=True), start=1)
    ]


def _named(tag: Any, names: Sequence[str] | None, where: str) -> str:
    if isinstance(tag, str) and not tag.lstrip("-").isdigit():
        if tag.strip():
            return tag.strip()
        raise DataError(where, f"the tag is {tag!r}", "Write O where the word is part of nothing.")
    if not isinstance(tag, str | int | np.integer) or isinstance(tag, bool):
        raise DataError(
            where, f"the tag is {tag!r}", "A tag is a string such as B-LOC, or a class's number."
        )
    if names is None:
        raise DataError(
            where,
            f"the tag is the number {tag}, and nothing says what it stands for",
            "Set data.labels to the tags' names in the order of the numbers.",
        )
    if not 0 <= int(tag) < len(names):
        raise DataError(
            where,
            f"the tag is the number {tag}, but there are names for 0 to {len(names) - 1} "
            f"({', '.join(names)})",
            "Mend the number, or set data.labels to the names of all tags.",
        )
    return names[int(tag)]


def holds_tokens(row: Row) -> bool:
    """Whether a row looks tagged: a list of tokens, and no text."""
    column = known(row, TOKEN_COLUMNS)
    if column is None or known(row, TEXT_COLUMNS) is not None:
        return False
    return list_of(row[column]) is not None


def untagged(rows: Iterable[Row], data: DataConfig, source: str) -> Iterator[Row]:
    """Rows for a task of texts, as they are.

    Raises:
        DataError: If the first one holds a list of tokens, or a question, its context and answers,
            and nobody named a column of texts.
    """
    for number, row in enumerate(rows):
        if not number and data.text_column is None and holds_tokens(row):
            raise DataError(
                source,
                f"the rows hold lists of tokens ({', '.join(map(str, row))}), and the task is one "
                "of whole texts",
                "Set task=token_classification (with a teacher of that task), or name the column "
                "of the texts: data.text_column.",
            )
        if not number and data.text_column is None and holds_questions(row):
            raise DataError(
                source,
                "the rows hold questions, contexts and answers, and the task is one of whole texts",
                "Set task=question_answering (with a teacher of that task), or name the column of "
                "the texts: data.text_column.",
            )
        yield row
