"""`limbeck predict`: texts in from any file, JSON lines out, nothing held but a few thousand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from limbeck.data.read import read_rows
from limbeck.data.texts import TEXT_COLUMNS
from limbeck.errors import DataError
from limbeck.files import whole_file
from limbeck.serve.predictor import Predictor


def predict_file(run: Path, texts: str, text_column: str | None, output: Path | None) -> None:
    """Answer every text of a file, in order, to `output` or to standard output."""
    predictor = Predictor(run, bulk=True)
    rows = _lines_of_stdin() if texts == "-" else _texts_of(texts, text_column)
    if output is None:
        _write(predictor, rows, sys.stdout)
        return
    with whole_file(output) as part, part.open("w", encoding="utf-8") as stream:
        _write(predictor, rows, stream)
    sys.stderr.write(f"Answered by {predictor.runtime}; the answers are in {output}.\n")


def _write(predictor: Predictor, rows: Iterator[str], stream: TextIO) -> None:
    names = [json.dumps(label, ensure_ascii=False) for label in predictor.labels]
    for probabilities in predictor.stream_probabilities(rows):
        best = zip(
            probabilities.argmax(axis=1).tolist(),
            probabilities.max(axis=1).round(6).tolist(),
            strict=True,
        )
        lines = [f'{{"label": {names[place]}, "probability": {share}}}\n' for place, share in best]
        stream.write("".join(lines))


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


def _texts_of(source: str, text_column: str | None) -> Iterator[str]:
    column = text_column
    for number, row in enumerate(read_rows(source), start=1):
        if column is None:
            column = next((name for name in TEXT_COLUMNS if name in row), None)
        if column is None or column not in row:
            raise DataError(
                source,
                f"no column holds texts; the columns are {', '.join(map(str, row))}",
                "Name it with --text-column.",
            )
        text = row[column]
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"{source}, row {number}",
                f"the text in column {column!r} is {text!r}",
                "Every row needs a text with a visible character.",
            )
        yield text
