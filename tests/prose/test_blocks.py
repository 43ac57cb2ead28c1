"""Running text in blocks: no token lost, none foretold twice, the same ones hidden everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.block_rows import block_ids, encode_blocks
from limbeck.data.blocks import UNKNOWN, cut_into_blocks, framing_of
from limbeck.data.passages import gather_prose
from limbeck.data.prose import Reading
from limbeck.data.targets import labelled, row_targets
from limbeck.data.texts import kinship
from limbeck.errors import DataError, RecipeError, TeacherError
from limbeck.tasks.causal_language_modeling import CausalLanguageModeling

BEFORE, AROUND = Reading("before"), Reading("around", 0.15, 1, 0)


@pytest.fixture(scope="module")
def bytes_tokenizer(causal_base: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(causal_base / "tokenizer.json"))


@pytest.fixture(scope="module")
def words_tokenizer(tmp_path_factory: Any, write_tokenizer: Callable[..., Any]) -> Any:
    from tokenizers import Tokenizer

    folder = tmp_path_factory.mktemp("words")
    write_tokenizer(folder)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _cut(tokenizer: Any, texts: list[str], reading: Reading, tokens: int) -> Any:
    own = type(tokenizer).from_str(tokenizer.to_str())
    return cut_into_blocks(texts, own, framing_of(own, tokens), reading)


def _foretold(cut: Any, text: int) -> list[int]:
    first, end = cut.place_offsets[cut.groups[text : text + 2]]
    return cut.tokens[first:end].tolist()


@pytest.mark.parametrize("tokens", [2, 3, 7, 24, 1000])
def test_every_token_but_a_texts_first_is_foretold_once_from_the_one_before(
    bytes_tokenizer: Any, test_texts: list[str], tokens: int
) -> None:
    """Tokens between blocks that nobody foretells would make a perplexity of fewer tokens."""
    cut = _cut(bytes_tokenizer, test_texts, BEFORE, tokens)
    for number, text in enumerate(test_texts):
        assert _foretold(cut, number) == bytes_tokenizer.encode(text).ids[1:]
    at = np.repeat(cut.offsets[:-1], np.diff(cut.place_offsets)) + cut.places
    np.testing.assert_array_equal(cut.ids[at + 1], cut.tokens)
    assert np.diff(cut.offsets).max() <= tokens


def test_special_tokens_are_context_and_never_foretold(
    words_tokenizer: Any, bytes_tokenizer: Any, test_texts: list[str]
) -> None:
    """Marks are no language; where one stands in front, the first word is foretold too."""
    cut = _cut(words_tokenizer, test_texts, BEFORE, 12)
    for number, text in enumerate(test_texts):
        whole = words_tokenizer.encode(text, add_special_tokens=False).ids
        assert _foretold(cut, number) == whole
    inside = _cut(bytes_tokenizer, ["the dog<|endoftext|> was"], BEFORE, 12)
    assert bytes_tokenizer.token_to_id("<|endoftext|>") not in inside.tokens


def test_a_text_that_is_only_asked_about_has_a_place_behind_it(bytes_tokenizer: Any) -> None:
    """What comes next is what a user asks."""
    cut = _cut(bytes_tokenizer, ["the dog was warm the sea by island"], Reading("next"), 4)
    ids = bytes_tokenizer.encode("the dog was warm the sea by island").ids
    assert _foretold(cut, 0) == [*ids[1:], UNKNOWN]
    last = cut.ids[cut.offsets[-2] :]
    assert cut.places[-1] == len(last) - 1


@pytest.mark.parametrize("copies", [1, 3, 20])
def test_copies_hide_other_tokens_until_each_was_hidden_once(
    words_tokenizer: Any, test_texts: list[str], copies: int
) -> None:
    """Copies that hide the same tokens again would be paid for twice."""
    reading = Reading("around", 0.15, copies, 0)
    mask = words_tokenizer.token_to_id("[MASK]")
    cut = _cut(words_tokenizer, test_texts[:1], reading, 1000)
    whole = np.array(words_tokenizer.encode(test_texts[0]).ids)
    count = max(1, round(0.15 * (len(whole) - 2)))
    hidden: list[int] = []
    for block, (first, end) in enumerate(
        zip(cut.place_offsets[:-1], cut.place_offsets[1:], strict=True)
    ):
        row = cut.ids[cut.offsets[block] : cut.offsets[block + 1]]
        places = cut.places[first:end]
        np.testing.assert_array_equal(np.flatnonzero(row == mask), places)
        np.testing.assert_array_equal(whole[places], cut.tokens[first:end])
        row = row.copy()
        row[places] = cut.tokens[first:end]
        np.testing.assert_array_equal(row, whole)
        hidden += places.tolist()
    assert len(set(hidden)) == len(hidden) == min(copies * count, len(whole) - 2)


def test_what_is_hidden_depends_on_seed_and_text_alone(
    words_tokenizer: Any, test_texts: list[str]
) -> None:
    """Knowledge, training and evaluation must hide the same tokens, whatever stands beside them."""
    cut = _cut(words_tokenizer, test_texts, AROUND, 16)
    last = _cut(words_tokenizer, test_texts[-1:], AROUND, 16)
    first, end = cut.place_offsets[cut.groups[-2:]]
    np.testing.assert_array_equal(cut.places[first:end], last.places)
    other = _cut(words_tokenizer, test_texts, Reading("around", 0.15, 1, 1), 16)
    assert not np.array_equal(other.places, cut.places)


def test_encoded_rows_are_the_blocks_and_are_kept(
    bytes_tokenizer: Any, texts: dict, test_texts: list[str], tmp_path: Path
) -> None:
    """A folder that was cut short must be made again, and give the same."""
    split = gather_prose(
        "test", texts["test"], DataConfig(), BEFORE, rows=None, folder=tmp_path, before=0
    )
    cut = _cut(bytes_tokenizer, test_texts, BEFORE, 24)
    for _ in range(2):
        found = encode_blocks(split, bytes_tokenizer, max_tokens=24, folder=tmp_path)
        np.testing.assert_array_equal(np.asarray(found.ids), cut.ids)
        np.testing.assert_array_equal(found.offsets, cut.offsets)
        np.testing.assert_array_equal(found.places.places, cut.places)
        np.testing.assert_array_equal(found.groups.offsets, cut.groups)
        np.testing.assert_array_equal(found.tokens, cut.tokens)
        [kept] = tmp_path.glob("blocks-*")
        (kept / "ids.bin").write_bytes(b"")
    rows = [ids for ids, _, _ in block_ids(split, bytes_tokenizer, 24)]
    assert [token for row in rows for token in row] == cut.ids.tolist()


def test_tokens_of_unlabelled_texts_are_for_the_teacher_alone(
    bytes_tokenizer: Any, texts: dict, tmp_path: Path
) -> None:
    """Who puts texts there does not want them learned by heart."""
    task, data = CausalLanguageModeling(), DataConfig()
    train, more = (
        gather_prose(name, texts[name], data, BEFORE, rows=None, folder=tmp_path, before=0)
        for name in ("test", "unlabelled")
    )
    both = more.unlabelled_after(train)
    encoded = encode_blocks(both, bytes_tokenizer, max_tokens=24, folder=tmp_path)
    targets = row_targets(task.targets(both, [], source="x"), encoded)
    rows = int(encoded.groups.offsets[len(train)])
    places = int(encoded.places.offsets[rows])
    np.testing.assert_array_equal(targets.values[:places], encoded.tokens[:places])
    assert (targets.values[places:] == -100).all()
    assert labelled(targets)[:rows].all()
    assert not labelled(targets)[rows:].any()


def test_plain_text_comes_back_whole_from_its_passages(tmp_path: Path) -> None:
    """A line that falls between two passages is never seen."""
    lines = [f"line {number} " + "word " * (number % 7) for number in range(3000)]
    lines[5] = "one very long line " * 2000
    (tmp_path / "book.txt").write_text("\n".join(lines) + "\n")
    found = gather_prose(
        "train", str(tmp_path / "book.txt"), DataConfig(), BEFORE, rows=None, folder=None, before=0
    )
    assert "".join("".join(found.texts).split()) == "".join("".join(lines).split())
    assert max(map(len, found.texts)) < 13_000
    assert found.ids[0] == "train/book.txt:1#1"
    assert found.ids[16] == "train/book.txt:2#17"


def test_passages_of_a_file_are_kin_and_rows_are_not(tmp_path: Path, texts: dict) -> None:
    """Held-out passages of a book that was trained on would be foretold too well."""
    for name in ("emma", "hound"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {i} \n" * 400 for i in range(9)))
    found = gather_prose(
        "train", str(tmp_path), DataConfig(), BEFORE, rows=None, folder=None, before=0
    )
    own = np.array([identity.split("#")[0] for identity in found.ids])
    assert set(own) == {"train/emma.txt", "train/hound.txt"}
    kin = kinship(found)
    assert len(np.unique(kin)) == 2
    assert len(np.unique(kin[own == "train/emma.txt"])) == 1
    rows = gather_prose(
        "train", texts["test"], DataConfig(), BEFORE, rows=None, folder=None, before=0
    )
    assert len(np.unique(kinship(rows))) == len(set(rows.texts))


def test_refuses_columns_that_mean_nothing(tmp_path: Path, texts: dict) -> None:
    """Named columns that change nothing would go unnoticed."""
    for key in ("pair_column", "label_column"):
        with pytest.raises(RecipeError, match=key):
            gather_prose(
                "train", texts["test"], DataConfig(**{key: "x"}), BEFORE, rows=None, folder=None,
                before=0,
            )  # fmt: skip
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"text_a": "one", "text_b": "two"}\n')
    with pytest.raises(DataError, match="pairs of texts"):
        gather_prose("train", str(pairs), DataConfig(), BEFORE, rows=None, folder=None, before=0)


def test_refuses_blocks_without_room_and_masks_without_a_token(
    bytes_tokenizer: Any, words_tokenizer: Any
) -> None:
    """Nothing could be foretold, or hidden."""
    with pytest.raises(DataError, match="room for 1"):
        _cut(words_tokenizer, ["a"], BEFORE, 3)
    with pytest.raises(TeacherError, match="no mask token"):
        _cut(bytes_tokenizer, ["a dog"], AROUND, 12)


def test_refuses_texts_of_one_token_each(bytes_tokenizer: Any, tmp_path: Path) -> None:
    """A score of nothing is no score."""
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    split = gather_prose(
        "test", str(tmp_path / "rows.jsonl"), DataConfig(), BEFORE, rows=None, folder=None, before=0
    )
    with pytest.raises(DataError, match="no text of it has a token"):
        encode_blocks(split, bytes_tokenizer, max_tokens=12, folder=tmp_path)
