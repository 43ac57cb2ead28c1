"""Rows of tokens and tags: texts as a user would send them, words at their places."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.config.recipe import CleanConfig
from limbeck.data.conll import conll_rows, token_rows
from limbeck.data.read import dataset_rows
from limbeck.data.tags import TagScheme
from limbeck.data.words import encode_tags, gather_words, joined
from limbeck.errors import DataError

ROWS = [
    {"tokens": ["in", "New", "York", "."], "ner_tags": ["O", "B-LOC", "I-LOC", "O"]},
    {"tokens": ["Ann"], "ner_tags": ["B-PER"]},
]


def _gather(rows: Any, **settings: Any) -> Any:
    values: dict[str, Any] = {
        "tokens_column": None, "tags_column": None, "scheme": "iob2", "names": None,
        "clean": CleanConfig(), "labels": True, **settings,
    }  # fmt: skip
    return gather_words("train", rows, "a.jsonl", **values)


def _refused(rows: Any, **settings: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        _gather(rows, **settings)
    return caught.value


def test_words_stand_where_the_spans_say() -> None:
    """A span beside its word gives the word's tag to another token."""
    texts, words = _gather(ROWS)
    assert list(texts.texts) == ["in New York .", "Ann"]
    assert list(texts.ids) == ["train/1", "train/2"]
    found = [
        [texts.texts[row][a:b] for a, b in zip(words.starts[s], words.ends[s], strict=True)]
        for row, s in enumerate([slice(0, 4), slice(4, 5)])
    ]
    assert found == [row["tokens"] for row in ROWS]
    assert words.offsets.tolist() == [0, 4, 5]
    assert [words.written[code] for code in words.codes] == [
        t for row in ROWS for t in row["ner_tags"]
    ]


@given(st.lists(st.text("ab年出，、Ａア", min_size=1, max_size=3), min_size=1, max_size=8))
def test_joined_words_come_back_from_their_spans(words: list[str]) -> None:
    """Whatever the scripts: nothing overlaps, nothing but single spaces lies between."""
    text, spans = joined(words)
    assert [text[start:end] for start, end in spans] == words
    between = [text[a:b] for (_, a), (b, _) in pairwise(spans)]
    assert set(between) <= {"", " "}
    assert (spans[0][0], spans[-1][1]) == (0, len(text))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["the", "film", "."], "the film ."),
        (["中国", "国籍", "，", "无"], "中国国籍，无"),
        (["2", "0", "0", "7", "年", "P", "M"], "2007年PM"),
        (["我", "爱", "Python", "语言"], "我爱 Python 语言"),
        (["東京", "タワー", "へ"], "東京タワーへ"),
        (["a", "b"], "a b"),
        (["서울", "에서"], "서울 에서"),
    ],
)
def test_texts_look_as_a_user_would_send_them(words: list[str], text: str) -> None:
    """A student of 中 国 with a space in between has never seen 中国."""
    assert joined(words)[0] == text


@pytest.mark.parametrize("name", ["tokens", "words", "Tokens "])
@pytest.mark.parametrize("tags", ["ner_tags", "tags", "labels", "slot_tags"])
def test_usual_columns_are_found(name: str, tags: str) -> None:
    """Data sets name them in many ways."""
    _, words = _gather([{name: ["a"], tags: ["B-X"]}])
    assert words.written == ("B-X",)


def test_a_label_of_the_text_is_not_taken_for_tags() -> None:
    """ATIS has the intent beside the slots."""
    row = {"labels": "flight", "tokens": ["to", "Rome"], "slot_tags": ["O", "B-city"]}
    assert _gather([row])[1].written == ("O", "B-city")


def test_columns_can_be_named_and_lists_be_json() -> None:
    """CSV and some Parquet files hold lists as strings."""
    row = {"w": '["a", "b"]', "tags": "x", "t": json.dumps(["O", "B-X"])}
    texts, words = _gather([row], tokens_column="w", tags_column="t")
    assert texts.texts[0] == "a b"
    assert words.written == ("O", "B-X")


def test_numbers_are_tags_with_names() -> None:
    """The number of a tag in a data set is not its number in the teacher."""
    _, words = _gather([{"tokens": ["a", "b"], "tags": [1, 0]}], names=["O", "B-X"])
    assert [words.written[code] for code in words.codes] == ["B-X", "O"]


def test_lists_of_class_labels_come_as_their_names() -> None:
    """As the hub keeps them: numbers in the rows, names in the features."""
    from datasets import ClassLabel, Dataset, Features, List, Value

    features = Features(
        {"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=["O", "B-X"]))}
    )
    dataset = Dataset.from_dict({"tokens": [["a", "b"]], "ner_tags": [[1, 0]]}, features)
    _, words = _gather(dataset_rows(dataset, "given"))
    assert [words.written[code] for code in words.codes] == ["B-X", "O"]


def test_rows_without_tags_are_welcome() -> None:
    """The soft terms need none."""
    _, words = _gather([*ROWS, {"tokens": ["no", "tags"]}])
    assert words.codes[-2:].tolist() == [-1, -1]
    assert (encode_tags(words, ["O", "B-LOC", "I-LOC", "B-PER"], source="a")[-2:] == -100).all()
    assert (_gather(ROWS, labels=False)[1].codes == -1).all()


def test_other_schemes_come_out_in_iob2() -> None:
    """Targets and scores know one scheme only."""
    schemes: list[tuple[TagScheme, list[str]]] = [
        ("iob1", ["I-X", "B-X"]),
        ("bioes", ["S-X", "S-X"]),
    ]
    for scheme, tags in schemes:
        _, words = _gather([{"tokens": ["a", "b"], "tags": tags}], scheme=scheme)
        assert [words.written[code] for code in words.codes] == ["B-X", "B-X"]


def test_cleaning_keeps_words_at_their_places() -> None:
    """Cleaned texts with the spans of the raw ones would shift every tag."""
    row = {"tokens": ["a&amp;b", " c "], "tags": ["O", "B-X"]}
    texts, words = _gather([row], clean=CleanConfig(html=True))
    assert texts.texts[0] == "a&b c"
    assert (words.starts.tolist(), words.ends.tolist()) == ([0, 4], [3, 5])


def test_taken_rows_keep_their_words() -> None:
    """A split cuts texts and words at the same rows."""
    _, words = _gather([*ROWS, ROWS[0]])
    some = words.take(np.array([0, 2]))
    assert some.offsets.tolist() == [0, 4, 8]
    assert some.starts.tolist() == [0, 3, 7, 12] * 2
    assert some.codes.tolist() == words.codes[[0, 1, 2, 3, 5, 6, 7, 8]].tolist()


@pytest.mark.parametrize(
    ("row", "where", "found"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "row 1", "1 tags for 2 tokens"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "row 1, word 2", "the token is ''"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "row 1, word 2", "the token is ' '"),
        ({"tokens": ["a", None], "tags": ["O", "O"]}, "row 1, word 2", "the token is None"),
        ({"tokens": ["\ud800"], "tags": ["O"]}, "row 1, word 1", "half a character"),
        ({"tokens": [], "tags": []}, "row 1", "the list of tokens is empty"),
        ({"tokens": "a b", "tags": ["O"]}, "row 1", "the tokens are 'a b', no list"),
        ({"tokens": ["a"], "tags": "O"}, "row 1", "a str, no list"),
        ({"tokens": ["a"], "tags": ["I-X"]}, "row 1, word 1 ('a')", "in IOB2"),
        ({"tokens": ["a"], "tags": [3]}, "row 1, word 1", "nothing says what it stands for"),
        ({"tokens": ["a"], "tags": [""]}, "row 1, word 1", "the tag is ''"),
        ({"tokens": ["a"], "tags": [True]}, "row 1, word 1", "the tag is True"),
        ({"text": "a"}, "a.jsonl", "no column looks like the tokens"),
    ],
)
def test_refuses_rows_that_would_train_wrongly(row: Any, where: str, found: str) -> None:
    """And names the row, the word and what stands there."""
    error = _refused([row])
    assert where in error.where
    assert found in error.found


def test_refuses_what_the_settings_name_and_the_rows_have_not() -> None:
    """A mistyped column would otherwise be an unlabelled split."""
    assert "no column 'x'" in _refused(ROWS, tokens_column="x").found
    assert "'y'" in _refused(ROWS, tags_column="y").found
    numbers = [{"tokens": ["a"], "tags": [2]}]
    assert "names for 0 to 1" in _refused(numbers, names=["O", "B-X"]).found


def test_refuses_a_tag_that_the_teacher_does_not_know() -> None:
    """The word is named, and the nearest class."""
    _, words = _gather(ROWS)
    assert encode_tags(words, ["B-PER", "O", "I-LOC", "B-LOC"], source="a").tolist() == [
        1, 3, 2, 1, 0,
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"row 2, word 1: the tag 'B-PER'.*Did you mean 'B-PERS'"):
        encode_tags(words, ["O", "B-LOC", "I-LOC", "B-PERS"], source="a.jsonl")


CONLL = "-DOCSTART- -X- O\n\nin IN O\nRome NNP B-LOC\n\n\n# # O\nAnn NNP B-PER"


def test_conll_files_are_sentences_of_tokens_and_tags(tmp_path: Path) -> None:
    """With blank lines between them, documents left out, and a last line without its end."""
    (tmp_path / "a.conll").write_text(CONLL)
    rows = list(token_rows(str(tmp_path / "a.conll")))
    assert [row["tokens"] for row in rows] == [["in", "Rome"], ["#", "Ann"]]
    assert [row["tags"] for row in rows] == [["O", "B-LOC"], ["O", "B-PER"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tabs_part_columns_before_spaces(tmp_path: Path, end: str) -> None:
    """A token may hold a space, and no-break spaces are characters like others."""
    (tmp_path / "a.txt").write_bytes(f"1 000\tO{end}a\xa0b\tB-X{end}".encode())
    assert next(token_rows(str(tmp_path / "a.txt")))["tokens"] == ["1 000", "a\xa0b"]


def test_one_column_is_tokens_without_tags(tmp_path: Path) -> None:
    """Unlabelled texts in the same format."""
    (tmp_path / "a.conll").write_text("in\nRome\n")
    _, words = _gather(conll_rows(tmp_path / "a.conll"))
    assert words.codes.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("content", "where", "found"),
    [
        ("in O\nRome\n", "line 2", "1 column parted by spaces"),
        ("in\tO\nRome\tNNP\tO\n", "line 2", "3 columns parted by tabs"),
        ("-DOCSTART- O\n\n", "a.conll", "no tokens"),
    ],
)
def test_refuses_broken_files(tmp_path: Path, content: str, where: str, found: str) -> None:
    """A line that lost its tag would take the one of the column before it."""
    (tmp_path / "a.conll").write_text(content)
    with pytest.raises(DataError) as caught:
        list(conll_rows(tmp_path / "a.conll"))
    assert where in caught.value.where
    assert found in caught.value.found


def test_messages_about_conll_rows_name_the_line(tmp_path: Path) -> None:
    """Nobody counts sentences."""
    (tmp_path / "a.conll").write_text("a O\n\n\nb I-X\n")
    assert "row 2 (line 4), word 1" in _refused(conll_rows(tmp_path / "a.conll")).where


@pytest.mark.parametrize(
    ("folder", "rows", "words"),
    [("conll2003", 3453, 46435), ("resume_ner_zh", 477, 15100), ("atis", 893, 9164)],
)
def test_real_sets_are_read_whole(shared: Path, folder: str, rows: int, words: int) -> None:
    """Counts are those that their sources state."""
    path = shared / "data" / folder / "test.jsonl"
    texts, gathered = _gather(token_rows(str(path)))
    assert (len(texts), len(gathered.starts)) == (rows, words)
    lines: Sequence[dict[str, Any]] = [
        json.loads(line) for line in path.read_text("utf-8").splitlines()
    ]
    tokens = [token for line in lines for token in line["tokens"]]
    spans = zip(gathered.starts, gathered.ends, strict=True)
    row_of = np.repeat(np.arange(rows), np.diff(gathered.offsets))
    all_texts = list(texts.texts)
    found = [all_texts[row][a:b] for row, (a, b) in zip(row_of, spans, strict=True)]
    assert found == tokens
    if folder == "atis":
        assert all_texts == [line["text"] for line in lines]
