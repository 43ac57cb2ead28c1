"""Questions as the rows of a split: on disk as pairs of texts, their answers in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from limbeck.data.asked import Windowing
from limbeck.data.spool import SpoolWriter
from limbeck.data.squad import Answer, Question
from limbeck.data.texts import Texts
from limbeck.errors import DataError

_CHUNK = 1024


def gather_questions(
    name: str,
    questions: Iterable[Question],
    source: str,
    *,
    windowing: Windowing,
    labels: bool,
    folder: Path | None = None,
) -> Texts:
    """The questions as `Texts`: pairs of question and context, with lists of answers as labels.

    Args:
        name: The split's name, the first part of every id; the question's own is the rest.
        questions: What `read_questions` gives.
        source: The file, for messages.
        windowing: How long contexts are to be read.
        labels: Whether to keep the answers.
        folder: On whose disk the texts are kept while the process needs them.

    Raises:
        DataError: For a text that holds half a character.
    """
    writer, places, codes = SpoolWriter(folder), dict[str, int](), []
    for question in questions:
        _refuse_half_characters(question, source)
        writer.add(f"{name}/{question.id}", question.question, question.context)
        if question.answers is None or not labels:
            codes.append(-1)
            continue
        written = json.dumps([[a.text, a.start] for a in question.answers], ensure_ascii=False)
        codes.append(places.setdefault(written, len(places)))
    return Texts(
        name,
        writer.finish(),
        tuple(places),
        np.array(codes, dtype=np.int32),
        paired=True,
        windowing=windowing,
    )


class QuestionRows(Sequence[Question]):
    """The questions of a split, read when they are asked for; a slice is a list.

    Args:
        texts: What `gather_questions` gave, or rows of it.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[Question]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]

    @overload
    def __getitem__(self, place: int) -> Question: ...
    @overload
    def __getitem__(self, place: slice) -> list[Question]: ...
    def __getitem__(self, place: int | slice) -> Question | list[Question]:
        if isinstance(place, int):
            return self[slice(place, place + 1)][0]
        texts = self._texts
        columns = (texts.ids[place], texts.texts[place], texts.pairs[place])
        codes: list[int] = texts.codes[place].tolist()
        return [
            Question(identity, question, context, self._answers(code))
            for identity, question, context, code in zip(*columns, codes, strict=True)
        ]

    def _answers(self, code: int) -> tuple[Answer, ...] | None:
        if code < 0:
            return None
        return tuple(Answer(text, start) for text, start in json.loads(self._texts.written[code]))


def _refuse_half_characters(question: Question, source: str) -> None:
    try:
        (question.question + question.context).encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{source}, question {question.id}",
            f"its texts hold half a character ({error.object[error.start]!a})",
            "Delete it, and mend the places of the answers behind it.",
        ) from None
