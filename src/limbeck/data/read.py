"""Rows of any file or dataset, one at a time, with the place of every mistake."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

FORMATS = ".csv, .tsv, .jsonl, .json (a list or lines), .parquet, .txt (a text a line)"
_HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?(:[\w.-]+)?$")

Row = Mapping[str, Any]


def read_rows(source: str) -> Generator[Row]:
    """The rows of a file, a saved dataset's folder, or a hub name (``name:split``).

    Close them where reading may break off (`contextlib.closing`): the file is open until then.

    Raises:
        DataError: With the file and line of what cannot be read. Nothing is skipped: a row
            that silently vanished would shift every label after it.
    """
    path = Path(source)
    if path.is_dir():
        return _dataset_rows(_saved_dataset(path), source)
    if path.is_file():
        reader = {
            ".csv": _csv_rows,
            ".tsv": _csv_rows,
            ".jsonl": _jsonl_rows,
            ".ndjson": _jsonl_rows,
            ".json": _json_rows,
            ".parquet": _parquet_rows,
            ".txt": _text_rows,
        }.get(path.suffix.lower())
        if reader is None:
            raise DataError(
                source, f"the ending {path.suffix!r} names no known format", f"Known: {FORMATS}."
            )
        return _never_empty(reader(path), source)
    if path.suffix or path.is_absolute() or not _HUB_NAME.match(source):
        raise DataError(
            source,
            f"there is no such file or folder (looked from {Path.cwd()})",
            "Check the spelling and the folder that you start from.",
        )
    return _dataset_rows(_hub_dataset(source), source)


def dataset_rows(dataset: Dataset, name: str) -> Generator[Row]:
    """The rows of a `datasets.Dataset`; class labels come as their names."""
    return _dataset_rows(dataset, name)


def _never_empty(rows: Generator[Row], source: str) -> Generator[Row]:
    count = 0
    with closing(rows):
        for row in rows:
            count += 1
            yield row
    if not count:
        raise DataError(source, "the file holds no rows", "Give a file with at least one row.")


def text_lines(path: Path) -> Generator[str]:
    """The lines of a UTF-8 file, with their ends; close it where reading may break off.

    Raises:
        DataError: With the line that is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from stream
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {_first_bad_line(path)}",
            f"this is not UTF-8 (byte 0x{error.object[error.start]:02x}: {error.reason})",
            "Convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 old > new.",
        ) from None


def _first_bad_line(path: Path) -> int:
    """The line that does not decode; the reader itself is thousands of characters ahead."""
    number = 1
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):  # noqa: B007
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                break
    return number


def _csv_rows(path: Path) -> Generator[Row]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    csv.field_size_limit(2**24)
    with closing(text_lines(path)) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        yield from _fields(reader, path)


def _fields(reader: Any, path: Path) -> Iterator[Row]:
    """The rows of a `csv.reader`, by the names in its first."""
    try:
        header = next(reader, None)
        if header is None:
            return
        _refuse_twins(header, path)
        for values in reader:
            if not values:
                continue
            if len(values) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}",
                    f"{len(values)} fields, but the header has {len(header)} ({', '.join(header)})",
                    'Quote texts that hold the separator: "a, b".',
                )
            yield dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}",
            f"this is not valid CSV: {error}",
            'Close every quote, and double the quotes inside a quoted text ("").',
        ) from None


def _refuse_twins(header: list[str], path: Path) -> None:
    twins = sorted({name for name in header if header.count(name) > 1})
    if twins:
        raise DataError(
            f"{path}, line 1",
            f"{header.count(twins[0])} columns are named {twins[0]!r}: which one is meant?",
            "Give each column its own name.",
        )


def _jsonl_rows(path: Path) -> Generator[Row]:
    with closing(text_lines(path)) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _json_object(line, f"{path}, line {number}")


def _json_object(text: str, where: str) -> Row:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            where,
            f"this is not JSON: {error.msg} at character {error.pos + 1}",
            'Each line is one object, such as {"text": "fine", "label": 1}.',
        ) from None
    if not isinstance(value, dict):
        raise DataError(
            where,
            f"this is a {type(value).__name__}, not an object",
            'Each row is one object, such as {"text": "fine", "label": 1}.',
        )
    return value


def _json_rows(path: Path) -> Generator[Row]:
    with closing(text_lines(path)) as lines:
        first = next((line.strip() for line in lines if line.strip()), "")
    if not first.startswith("["):
        yield from _jsonl_rows(path)
        return
    try:
        items = json.loads("".join(text_lines(path)))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}, line {error.lineno}", f"this is not JSON: {error.msg}", "Mend that place."
        ) from None
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            raise DataError(
                f"{path}, item {number}",
                f"this is a {type(item).__name__}, not an object",
                'Each item is one object, such as {"text": "fine", "label": 1}.',
            )
        yield item


def _parquet_rows(path: Path) -> Generator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with pyarrow.OSFile(str(path)) as file:
            for batch in parquet.ParquetFile(file).iter_batches(batch_size=8192):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            str(path), f"this is not Parquet: {error}", "Write it again, or give CSV or JSONL."
        ) from None


def _text_rows(path: Path) -> Generator[Row]:
    with closing(text_lines(path)) as lines:
        for line in lines:
            if line.strip():
                yield {"text": line.rstrip("\r\n")}


def _saved_dataset(path: Path) -> Dataset:
    from datasets import Dataset, load_from_disk

    if not (path / "state.json").exists():
        holds = "a dictionary of splits" if (path / "dataset_dict.json").exists() else "no dataset"
        raise DataError(
            str(path),
            f"this folder holds {holds}",
            "Name the folder of one split, as Dataset.save_to_disk writes it (with state.json).",
        )
    try:
        dataset = load_from_disk(str(path))
    except Exception as error:
        raise DataError(
            str(path),
            f"datasets cannot load this folder ({type(error).__name__}: {error})",
            "Save it again with Dataset.save_to_disk.",
        ) from None
    assert isinstance(dataset, Dataset)
    return dataset


def _hub_dataset(name: str) -> Dataset:
    from datasets import Dataset, load_dataset

    repository, _, split = name.partition(":")
    try:
        dataset = load_dataset(repository, split=split or "train")
    except Exception as error:
        raise DataError(
            name,
            f"there is no such file here, and the hub gave no dataset of this name "
            f"({type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''})",
            "Check the path, or the dataset's name and split (owner/name:split).",
        ) from None
    if not isinstance(dataset, Dataset):
        raise DataError(name, "this is no single split", "Write owner/name:split.")
    return dataset


def _dataset_rows(dataset: Dataset, name: str) -> Generator[Row]:
    names = {
        column: names
        for column, feature in dataset.features.items()
        if (names := _class_names(feature)) is not None
    }
    if len(dataset) == 0:
        raise DataError(name, "the dataset holds no rows", "Give one with at least one row.")
    for row in dataset:
        shown = dict(row)
        for column, labels in names.items():
            value = shown[column]
            shown[column] = (
                [_class_name(item, labels) for item in value]
                if isinstance(value, list)
                else _class_name(value, labels)
            )
        yield shown


def _class_names(feature: Any) -> list[str] | None:
    """The names of a column of class labels, or of lists of them."""
    from datasets import ClassLabel

    feature = getattr(feature, "feature", feature)
    return list(feature.names) if isinstance(feature, ClassLabel) else None


def _class_name(value: int | None, names: list[str]) -> str | None:
    return names[value] if value is not None and value >= 0 else None
