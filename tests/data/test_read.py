"""Reading rows of every format, and the place of every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.raw_labels import ONE_LABEL
from limbeck.data.read import dataset_rows, read_rows
from limbeck.data.texts import gather
from limbeck.errors import DataError

ROWS = [
    {"text": "plain", "label": "good"},
    {"text": 'commas, "quotes" and\ttabs', "label": "bad"},
    {"text": "a line\nand another", "label": "good"},
    {"text": "Ünïcødé 猫 🐈", "label": "bad"},
]


def _delimited(path: Path, delimiter: str, encoding: str = "utf-8") -> Path:
    import csv

    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, ["text", "label"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def _lines(path: Path, encoding: str = "utf-8") -> Path:
    path.write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n", encoding=encoding
    )
    return path


def _list(path: Path) -> Path:
    path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    return path


def _parquet(path: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def _saved(path: Path) -> Path:
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    Dataset.from_list(ROWS, features=features).save_to_disk(path)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.csv", lambda path: _delimited(path, ",")),
        ("bom.csv", lambda path: _delimited(path, ",", "utf-8-sig")),
        ("rows.tsv", lambda path: _delimited(path, "\t")),
        ("rows.jsonl", _lines),
        ("bom.jsonl", lambda path: _lines(path, "utf-8-sig")),
        ("rows.ndjson", _lines),
        ("list.json", _list),
        ("lines.json", _lines),
        ("rows.parquet", _parquet),
        ("folder", _saved),
    ],
)
def test_every_format_gives_the_same_rows(
    tmp_path: Path, name: str, write: Callable[[Path], Path]
) -> None:
    """A student must not depend on how its texts were packed."""
    source = str(write(tmp_path / name))
    assert [dict(row) for row in read_rows(source)] == ROWS


def test_a_text_file_gives_a_text_a_line(tmp_path: Path) -> None:
    """The byte order mark and line ends of Windows are no part of a text."""
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffone, with a comma\r\n\r\ntwo\n".encode())
    assert list(read_rows(str(path))) == [{"text": "one, with a comma"}, {"text": "two"}]


def test_class_labels_come_as_their_names_and_minus_one_as_none() -> None:
    """The number of a class in a dataset is not its number in the teacher."""
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    dataset = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, -1, None]}, features)
    assert [row["label"] for row in dataset_rows(dataset, "given")] == ["good", None, None]


def _found(path: Path, content: bytes) -> DataError:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_rows(str(path)))
    assert not _is_open(path)
    return caught.value


def _is_open(path: Path) -> bool:
    """Whether this process holds the file: a refusal keeps its frames, and must not keep that."""
    held = Path("/proc/self/fd")
    return held.is_dir() and any(str(entry.resolve()) == str(path) for entry in held.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "where", "found"),
    [
        ("a.csv", b"text,label\none,1\ntwo,2,3\n", "line 3", "3 fields, but the header has 2"),
        ("a.csv", b"text,label\none\n", "line 2", "1 fields, but the header has 2"),
        ("a.csv", b'text,label\n"open,1\n', "line 2", "not valid CSV"),
        ("a.csv", b"text,label,text\na,1,b\n", "line 1", "2 columns are named 'text'"),
        ("a.jsonl", b'{"text": "a"}\n{"text": }\n', "line 2", "not JSON"),
        ("a.jsonl", b'{"text": "a"}\n["b"]\n', "line 2", "this is a list, not an object"),
        ("a.json", b'[{"text": "a"},\n{"text": ]', "line 2", "not JSON"),
        ("a.json", b'[{"text": "a"}, 5]', "item 2", "this is a int"),
        ("a.parquet", b"PAR1 no", "a.parquet", "not Parquet"),
        ("a.xlsx", b"PK", "a.xlsx", "names no known format"),
    ],
)
def test_refuses_what_is_broken_and_names_the_place(
    tmp_path: Path, name: str, content: bytes, where: str, found: str
) -> None:
    """Nobody finds a bad line among a million by eye."""
    error = _found(tmp_path / name, content)
    assert where in error.where
    assert found in error.found


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "txt"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_refuses_empty_files(tmp_path: Path, ending: str, content: bytes) -> None:
    """A training on nothing must not start."""
    assert "no rows" in _found(tmp_path / f"a.{ending}", content).found


def test_refuses_a_csv_with_a_header_alone(tmp_path: Path) -> None:
    """A header is no row."""
    assert "no rows" in _found(tmp_path / "a.csv", b"text,label\n").found


def test_a_wrong_encoding_is_refused_at_its_own_line(tmp_path: Path) -> None:
    """The decoder reads thousands of characters ahead; the message must not."""
    lines = [b"text,label"] + [b"fine,1"] * 3000 + ["caf\xe9,1".encode("latin-1")]
    error = _found(tmp_path / "a.csv", b"\n".join(lines))
    assert error.where.endswith("line 3002")
    assert "0xe9" in error.found
    assert "iconv" in error.remedy


def test_damaged_parquet_pages_are_refused(tmp_path: Path) -> None:
    """A copy that broke off in the middle has a good footer sometimes."""
    path = _parquet(tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    assert "not Parquet" in _found(path, bytes(content)).found


def test_a_damaged_dataset_folder_is_refused(tmp_path: Path) -> None:
    """It must end in a message, not in a traceback of datasets."""
    folder = _saved(tmp_path / "folder")
    next(folder.glob("*.arrow")).write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot load this folder"):
        list(read_rows(str(folder)))


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    """A folder of CSV files is a common guess."""
    with pytest.raises(DataError, match="holds no dataset"):
        list(read_rows(str(tmp_path)))


def test_a_dictionary_of_splits_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Which split was meant cannot be guessed."""
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "splits")
    with pytest.raises(DataError, match="a dictionary of splits"):
        list(read_rows(str(tmp_path / "splits")))


@pytest.mark.parametrize("source", ["nowhere.jsonl", "./nowhere", "/nowhere/at/all.csv"])
def test_refuses_a_missing_file(source: str) -> None:
    """It must not be asked for on the hub."""
    with pytest.raises(DataError, match="there is no such file"):
        list(read_rows(source))


def _gathered(rows: list[dict[str, Any]], **data: Any) -> list[tuple[str, str | None]]:
    texts = gather("train", rows, "memory", DataConfig(**data), labels=ONE_LABEL)
    labels = [texts.written[code] if code >= 0 else None for code in texts.codes]
    return list(zip(texts.texts, labels, strict=True))


@pytest.mark.parametrize(
    ("text", "label"), [("text", "label"), ("Sentence ", "Intent"), ("review", "gold_label")]
)
def test_usual_columns_are_found(text: str, label: str) -> None:
    """Most files need no options."""
    assert _gathered([{"id": 7, text: "hello", label: 1}]) == [("hello", "1")]


def test_given_columns_win_over_usual_ones() -> None:
    """A file may have a text column that is not the one meant."""
    row = {"text": "no", "label": "no", "body of it": "yes", "verdict": "fine"}
    found = _gathered([row], text_column="body of it", label_column="verdict")
    assert found == [("yes", "fine")]


@pytest.mark.parametrize("key", ["text_column", "label_column"])
def test_refuses_a_given_column_that_is_not_there(key: str) -> None:
    """Without its labels the training would quietly be another one."""
    with pytest.raises(DataError, match="there is no column 'Text'; the columns are text, label"):
        _gathered([{"text": "a", "label": 1}], **{key: "Text"})


def test_refuses_rows_without_a_text_column() -> None:
    """The message lists what is there."""
    with pytest.raises(DataError, match="no column looks like the text; the columns are a, b"):
        _gathered([{"a": 1, "b": 2}])


@pytest.mark.parametrize("text", [None, "", "  \t", 7])
def test_refuses_a_row_without_text(text: object) -> None:
    """A skipped row would shift the ids of all that follow."""
    with pytest.raises(DataError, match="memory, row 2"):
        _gathered([{"text": "a"}, {"text": text}])


def test_refuses_half_a_character() -> None:
    """JSON can hold lone surrogates; Arrow and tokenizers cannot."""
    with pytest.raises(DataError, match=r"memory, row 1: the text holds half a character"):
        _gathered([{"text": "cut \ud83d"}])


@pytest.mark.parametrize(
    ("label", "read"),
    [("good", "good"), (1, "1"), (1.0, "1"), (None, None), ("", None), (float("nan"), None)],
)
def test_labels_are_read_as_they_were_meant(label: object, read: str | None) -> None:
    """Missing is missing in every format: None in JSON, '' in CSV, NaN in Parquet."""
    assert _gathered([{"text": "a", "label": label}]) == [("a", read)]


def test_labels_that_first_objects_lack_are_found_later() -> None:
    """Else an unlabelled first line would silently throw away every label of the file."""
    assert _gathered([{"text": "a"}, {"text": "b", "label": 1}]) == [("a", None), ("b", "1")]


def test_refuses_a_label_that_is_a_list() -> None:
    """A multi-label set is another task."""
    with pytest.raises(DataError, match="the label is a list"):
        _gathered([{"text": "a", "label": [0, 1]}])


def test_ids_name_split_and_record(texts_of: Callable[..., Any]) -> None:
    """An error or a worst case must be found again in the file."""
    assert list(texts_of(["a", "b"], name="test").ids) == ["test/1", "test/2"]


def test_chunks_do_not_change_rows(
    texts_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows at the seam of two chunks are easily lost or doubled."""
    monkeypatch.setattr("limbeck.data.spool._ROWS", 3)
    for count in (1, 2, 3, 4, 6, 7):
        texts = texts_of([f"t{i}" for i in range(count)], list(range(count)))
        assert list(texts.texts) == [f"t{i}" for i in range(count)]
        assert sum(len(batch) for batch in texts.item_batches(3)) == count


def test_the_fingerprint_changes_with_texts_and_ids_and_not_with_labels(
    texts_of: Callable[..., Any],
) -> None:
    """It addresses recorded answers: labels do not change what a teacher says."""
    base = texts_of(["a", "b"], [0, 1]).fingerprint()
    assert texts_of(["a", "b"], [1, 1]).fingerprint() == base
    assert texts_of(["a", "c"], [0, 1]).fingerprint() != base
    assert texts_of(["b", "a"], [0, 1]).fingerprint() != base
    assert texts_of(["ab", "x"], [0, 1]).fingerprint() != base
    assert texts_of(["a", "b"], [0, 1], name="test").fingerprint() != base
