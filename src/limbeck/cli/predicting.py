"""`limbeck predict`: texts in from any file, JSON lines out, nothing held but a few thousand."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from limbeck.cli.ranking import write_ranks
from limbeck.config.recipe import DataConfig
from limbeck.data.columns import TEXT_COLUMNS, TextColumns, find, text_columns
from limbeck.data.read import Row, read_rows
from limbeck.data.squad import questions_of, read_questions
from limbeck.data.texts import Item
from limbeck.errors import DataError
from limbeck.files import whole_file
from limbeck.serve.predictor import Prediction, Predictor
from limbeck.tasks.reading import refuse_columns


def predict_file(
    run: Path, texts: str, text_column: str | None, pair_column: str | None, output: Path | None
) -> None:
    """Answer every text of a file, in order, to `output` or to standard output."""
    predictor = Predictor(run, bulk=True)
    data = DataConfig(text_column=text_column, pair_column=pair_column)
    if output is None:
        _answer(predictor, texts, data, sys.stdout)
        return
    with whole_file(output) as part, part.open("w", encoding="utf-8") as stream:
        _answer(predictor, texts, data, stream)
    sys.stderr.write(f"Answered by {predictor.runtime}; the answers are in {output}.\n")


def _answer(predictor: Predictor, texts: str, data: DataConfig, stream: TextIO) -> None:
    if predictor.task.reads == "queries":
        with closing(_objects_of_stdin() if texts == "-" else read_rows(texts)) as rows:
            write_ranks(predictor, rows, texts, data, stream)
        return
    _write(predictor, _items(texts, data, predictor), stream)


def _write(predictor: Predictor, rows: Iterator[Item], stream: TextIO) -> None:
    if predictor.task.reads != "texts":
        tell = _TELLING[predictor.task.reads]
        for prediction in predictor.stream(rows):
            stream.write(json.dumps(tell(prediction), ensure_ascii=False) + "\n")
        return
    to_lines = _LINES[predictor.task.name]
    for answers in predictor.stream_probabilities(rows):
        stream.write("".join(to_lines(answers, predictor.labels)))


def _found_entities(prediction: Prediction) -> dict[str, Any]:
    found = [
        asdict(replace(one, probability=round(one.probability, 6))) for one in prediction.entities
    ]
    return {"entities": found}


def _found_answer(prediction: Prediction) -> dict[str, Any]:
    start, end = prediction.span or (None, None)
    score = None if prediction.probability is None else round(prediction.probability, 6)
    return {"answer": prediction.label, "start": start, "end": end, "score": score}


def _found_tokens(prediction: Prediction) -> dict[str, Any]:
    said = prediction.foretold
    assert said is not None
    likely = [
        [{"token": one.token, "probability": round(one.probability, 6)} for one in place]
        for place in said.likely
    ]
    if said.perplexity is None:
        return {"gaps": likely}
    return {"perplexity": round(said.perplexity, 4), "tokens": said.tokens, "next": likely[0]}


_TELLING: dict[str, Callable[[Prediction], dict[str, Any]]] = {
    "words": _found_entities,
    "questions": _found_answer,
    "prose": _found_tokens,
}
"""A prediction as a line, where a row is more than one answer."""


def _class_lines(answers: np.ndarray, labels: Sequence[str]) -> Iterator[str]:
    names = [json.dumps(label, ensure_ascii=False) for label in labels]
    best = answers.argmax(axis=1).tolist()
    shares = answers.max(axis=1).round(6).tolist()
    for place, share in zip(best, shares, strict=True):
        yield f'{{"label": {names[place]}, "probability": {share}}}\n'


def _set_lines(answers: np.ndarray, labels: Sequence[str]) -> Iterator[str]:
    for row in answers:
        places = np.flatnonzero(row > 0.5).tolist()
        line = {
            "labels": [labels[place] for place in places],
            "probabilities": row[places].round(6).tolist(),
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _number_lines(answers: np.ndarray, labels: Sequence[str]) -> Iterator[str]:
    for number in answers[:, 0].round(6).tolist():
        yield f'{{"score": {number}}}\n'


def _vector_lines(answers: np.ndarray, labels: Sequence[str]) -> Iterator[str]:
    for vector in answers.round(6).tolist():
        yield json.dumps({"vector": vector}) + "\n"


_LINES: dict[str, Callable[[np.ndarray, Sequence[str]], Iterator[str]]] = {
    "single_label": _class_lines,
    "multi_label": _set_lines,
    "regression": _number_lines,
    "sentence_embeddings": _vector_lines,
}
"""A task's answers as JSON lines."""


def _items(texts: str, data: DataConfig, predictor: Predictor) -> Iterator[Item]:
    """What the file, or standard input, asks the run."""
    if predictor.task.reads == "questions":
        refuse_columns(data)
        asked = questions_of(_objects_of_stdin(), "-") if texts == "-" else read_questions(texts)
        return ((question.question, question.context) for question in asked)
    return _lines_of_stdin() if texts == "-" else _texts_of(texts, data, predictor.paired)


def _objects_of_stdin() -> Generator[Row]:
    for number, line in enumerate(_lines_of_stdin(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise DataError(
                f"standard input, line {number}",
                "this is no JSON object",
                'Give a line an object, such as {"question": "Who?", "context": "Ann ran."}, or '
                '{"query": "Who?", "passages": ["Ann ran.", "It rained."]}.',
            )
        yield row


def _lines_of_stdin() -> Iterator[str]:
    number = 0
    try:
        for line in sys.stdin:
            number += 1
            if line.strip():
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"standard input, after line {number}",
            f"this is not UTF-8 ({error.reason})",
            "Convert it, for example with iconv -f WINDOWS-1252 -t UTF-8.",
        ) from None


def _texts_of(source: str, data: DataConfig, paired: bool | None) -> Iterator[Item]:
    columns: TextColumns | None = None
    with closing(read_rows(source)) as rows:
        for number, row in enumerate(rows, start=1):
            columns = columns or _columns(row, data, source, paired)
            text = _text(row, columns.text, f"{source}, row {number}")
            if columns.pair is None:
                yield text
            else:
                yield text, _text(row, columns.pair, f"{source}, row {number}")


def _columns(row: Row, data: DataConfig, source: str, paired: bool | None) -> TextColumns:
    """The texts' columns; a pair that merely stands there is none for a model of single texts."""
    if paired is False and data.pair_column is None:
        return TextColumns(find(row, data.text_column, TEXT_COLUMNS, source, "text"), None)
    return text_columns(row, data, source)


def _text(row: Row, column: str, where: str) -> str:
    text = row.get(column)
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            where,
            f"the text in column {column!r} is {text!r}",
            "Every row needs a text with a visible character.",
        )
    return text
