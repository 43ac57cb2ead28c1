"""Questions about texts, with answers that stand in them: SQuAD's own JSON and flat rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from limbeck.data.columns import known
from limbeck.data.read import Row, read_rows, text_lines
from limbeck.errors import DataError, nearest

_SHOWN = 60
_COLUMNS = ("question", "context", "answers")


@dataclass(frozen=True)
class Answer:
    """A piece of the context, from its character `start` on."""

    text: str
    start: int


@dataclass(frozen=True)
class Question:
    """A question, and the text that holds its answer or does not.

    Attributes:
        id: Unique in its file.
        question: As it was asked.
        context: Shared by all questions about it.
        answers: Allowed ones; none where the context does not answer; None where nobody has said.
        title: Of the article, or "".
    """

    id: str
    question: str
    context: str
    answers: tuple[Answer, ...] | None
    title: str = ""


def read_questions(source: str) -> list[Question]:
    """The questions of SQuAD's JSON (versions 1 and 2), or of flat rows in any format.

    Flat rows have the columns id, question, context and answers, as the hub's data sets: answers
    hold the lists text and answer_start.

    Raises:
        DataError: For what is missing, for an id that comes twice, and for an answer that does not
            stand at its place: the student would learn to answer with something else.
    """
    articles = _articles(Path(source))
    if articles is not None:
        return _checked(_nested(articles, source), source)
    with closing(read_rows(source)) as rows:
        return questions_of(rows, source)


def questions_of(rows: Iterable[Row], source: str) -> list[Question]:
    """The questions of flat rows, as `read_questions` reads them from a file.

    Args:
        rows: With the columns id, question, context and answers.
        source: What they are called in messages.
    """
    return _checked(_flat(rows, source), source)


def shown_question(source: str) -> Row | None:
    """The columns that a question of SQuAD's JSON has, or None if the file is no such thing."""
    articles = _articles(Path(source))
    return None if articles is None else dict.fromkeys(_COLUMNS)


def holds_questions(row: Row) -> bool:
    """Whether a row looks like a question with its context and answers."""
    return all(known(row, (column,)) is not None for column in _COLUMNS)


def _checked(questions: Iterable[Question], source: str) -> list[Question]:
    found = list(questions)
    if not found:
        raise DataError(source, "there is no question", "Give a file with at least one.")
    seen: set[str] = set()
    for question in found:
        if question.id in seen:
            raise DataError(
                f"{source}, question {question.id}",
                "another question has the same id, and answers are told apart by it",
                "Give each question its own id.",
            )
        seen.add(question.id)
    return found


def with_titles(questions: Sequence[Question], titles: Iterable[str]) -> list[Question]:
    """The questions about some articles.

    Args:
        questions: Of a file.
        titles: Of the articles to keep.

    Raises:
        DataError: For a title that no question has: a split would lack an article.
    """
    wanted, known = set(titles), {question.title for question in questions}
    missing = sorted(wanted - known)
    if missing:
        raise DataError(
            "the titles",
            f"no question is about {missing[0]!r} ({len(missing)} such titles)."
            f"{nearest(missing[0], known)}",
            "Name articles of the file.",
        )
    return [question for question in questions if question.title in wanted]


def _articles(path: Path) -> list[Any] | None:
    """What stands under data in SQuAD's JSON, or None if the file is no such thing."""
    if not path.is_file() or path.suffix.lower() != ".json":
        return None
    try:
        content = json.loads("".join(text_lines(path)))
    except json.JSONDecodeError:
        return None  # lines of JSON, or broken: read_rows tells where
    data = content.get("data") if isinstance(content, dict) else None
    return data if isinstance(data, list) else None


def _nested(articles: Sequence[Any], source: str) -> Iterator[Question]:
    for number, article in enumerate(articles, start=1):
        at = f"{source}, article {number}"
        title = str(_part(article, "title", at)) if "title" in article else ""
        for count, paragraph in enumerate(_part(article, "paragraphs", at), start=1):
            place = f"{at}, paragraph {count}"
            context = _part(paragraph, "context", place)
            for asked in _part(paragraph, "qas", place):
                where = f"{source}, question {_part(asked, 'id', place)}"
                answers = asked.get("answers")
                if asked.get("is_impossible"):
                    answers = []
                elif answers is None and "is_impossible" in asked:
                    raise _no_answers(where)
                yield _question(asked, context, answers, title, where)


def _flat(rows: Iterable[Row], source: str) -> Iterator[Question]:
    contexts: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{source}, row {number}"
        identity = row.get("id", str(number))
        context = _part(row, "context", where)
        context = contexts.setdefault(context, context) if isinstance(context, str) else context
        answers = row.get("answers")
        if isinstance(answers, str):
            answers = _json(answers, where)
        if isinstance(answers, Mapping):
            answers = _paired(answers, where)
        asked = {**row, "id": identity}
        title = str(row.get("title") or "")
        yield _question(asked, context, answers, title, f"{source}, question {identity}")


def _question(
    asked: Mapping[str, Any], context: Any, answers: Any, title: str, where: str
) -> Question:
    question = _part(asked, "question", where)
    for name, text in (("question", question), ("context", context)):
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                where, f"its {name} is {text!r}", "Delete the question, or fill in its text."
            )
    if answers is not None and not isinstance(answers, list | tuple):
        raise DataError(
            where,
            f"its answers are a {type(answers).__name__}: {answers!r}",
            'Write {"text": ["fine"], "answer_start": [17]}, with empty lists for no answer.',
        )
    found = None if answers is None else tuple(_answer(a, context, where) for a in answers)
    return Question(str(asked["id"]), question, context, found, title)


def _answer(answer: Mapping[str, Any], context: str, where: str) -> Answer:
    text, start = _part(answer, "text", where), _part(answer, "answer_start", where)
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            where,
            f"an answer is {text!r}",
            "Where the context does not answer, the list of answers is empty.",
        )
    if not isinstance(start, int) or isinstance(start, bool):
        raise DataError(where, f"answer_start is {start!r}", "Give the first character's number.")
    if start < 0 or not context.startswith(text, start):
        raise _misplaced(text, start, context, where)
    return Answer(text, start)


def _misplaced(text: str, start: int, context: str, where: str) -> DataError:
    if 0 <= start < len(context):
        stands = f"there stands {context[start : start + len(text)][:_SHOWN]!r}"
    else:
        stands = f"the context has {len(context)} characters, counted from 0"
    places = [match.start() for match in re.finditer(re.escape(text), context)]
    units = _units(places, context, start)
    if units:
        remedy = f"The places count {units}; count characters (Unicode code points), from 0."
    elif places:
        nearby = min(places, key=lambda place: abs(place - start))
        others = f", and {len(places) - 1} more times" if len(places) > 1 else ""
        remedy = f"The answer stands at {nearby}{others}."
        remedy += " Set answer_start to the place that is meant."
    else:
        remedy = "The context does not hold the answer: copy it from there, letter by letter."
    return DataError(
        where,
        f"the answer {text[:_SHOWN]!r} should stand at character {start}, but {stands}",
        remedy,
    )


def _units(places: Sequence[int], context: str, start: int) -> str:
    """What the numbers count if they do not count characters."""
    for place in places:
        if len(context[:place].encode("utf-8", "surrogatepass")) == start:
            return "bytes"
        if len(context[:place].encode("utf-16-le", "surrogatepass")) == 2 * start:
            return "UTF-16 units, as JavaScript does"
    return ""


def _part(value: Any, key: str, where: str) -> Any:
    if not isinstance(value, Mapping) or key not in value:
        has = ", ".join(map(str, value)) if isinstance(value, Mapping) else repr(value)[:_SHOWN]
        raise DataError(
            where,
            f"there is no {key!r}; there is {has}",
            "Give SQuAD's JSON (data, paragraphs, qas), or rows of id, question, context, answers.",
        )
    return value[key]


def _paired(answers: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    texts, starts = list(_part(answers, "text", where)), list(_part(answers, "answer_start", where))
    if len(texts) != len(starts):
        raise DataError(
            where, f"{len(texts)} answers at {len(starts)} places", "Give each answer its place."
        )
    pairs = zip(texts, starts, strict=True)
    return [{"text": text, "answer_start": start} for text, start in pairs]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            where, f"its answers are not JSON: {error.msg}", "Write them as JSON, or use JSONL."
        ) from None


def _no_answers(where: str) -> DataError:
    return DataError(where, "it has no list of answers", "Give one; empty if nothing answers it.")


def question_texts(questions: Sequence[Question]) -> Iterator[str]:
    """All questions and contexts, each context once, for a new tokenizer."""
    contexts = dict.fromkeys(question.context for question in questions)
    return chain((question.question for question in questions), contexts)
