"""The token of each word, against its definition, word by word."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import CleanConfig
from limbeck.data.conll import token_rows
from limbeck.data.encode import encode
from limbeck.data.places import NOWHERE, SHARED, Places, lost_tags, places_of, word_places
from limbeck.data.spans import backend_of, spans_of
from limbeck.data.words import gather_words
from limbeck.errors import DataError

NAMES = ["wordpiece", "bytes", "bytes-spaced", "unigram"]
WORDS = [
    "the", "sea", "unbelievably", "café", "中", "国", "中国", "年出", "1966", "京都", "10:30", ",",
    "\u200b", "ÿ", "𝕏x", "re-open",
]  # fmt: skip


def _gather(rows: Sequence[dict[str, Any]], labels: bool = True) -> Any:
    return gather_words(
        "train", rows, "a.jsonl", tokens_column=None, tags_column=None, scheme="iob2", names=None,
        clean=CleanConfig(), labels=labels,
    )  # fmt: skip


def _random_rows(seed: int, count: int = 60) -> list[dict[str, Any]]:
    generator = random.Random(seed)
    return [{"tokens": generator.choices(WORDS, k=generator.randint(1, 9))} for _ in range(count)]


def _characters(encoding: Any, text: str) -> list[set[int]]:
    """The visible characters of each token; an added space stands for none."""
    found = []
    for token, (start, end), word in zip(
        encoding.tokens, encoding.offsets, encoding.word_ids, strict=True
    ):
        bare = token in ("▁", "Ġ") or word is None
        found.append({c for c in range(start, end) if not bare and not text[c].isspace()})
    return found


def _by_definition(spans: list[tuple[int, int]], tokens: list[set[int]], cut: bool) -> list[int]:
    places = []
    before: set[int] = set()
    for start, end in spans:
        mine = set(range(start, end))
        touching = [place for place, token in enumerate(tokens) if token & mine]
        own = [place for place in touching if not tokens[place] & before]
        places.append(own[0] if own else SHARED if touching else NOWHERE)
        before = mine
    return places


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("max_tokens", [8, 64])
def test_places_are_those_of_the_definition(
    made_tokenizers: dict[str, Any], tmp_path: Path, name: str, max_tokens: int
) -> None:
    """A tag on another token teaches nothing; on another word's, the wrong thing."""
    tokenizer = made_tokenizers[name]
    texts, words = _gather(_random_rows(1))
    found = word_places(
        texts, words, tokenizer, max_tokens=max_tokens, lost_limit=1.0, folder=tmp_path
    )
    encoded = encode(texts, tokenizer, max_tokens=max_tokens, folder=tmp_path)
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.enable_truncation(max_tokens)
    cut = 0
    for row, text in enumerate(texts.texts):
        encoding = own.encode(text)
        mine = slice(words.offsets[row], words.offsets[row + 1])
        spans = list(zip(words.starts[mine].tolist(), words.ends[mine].tolist(), strict=True))
        tokens = _characters(encoding, text)
        places = _by_definition(spans, tokens, bool(encoding.overflowing))
        assert found.places[mine].tolist() == places
        last = max([max(token) + 1 for token in tokens if token], default=0)
        cut += sum(
            place == NOWHERE and bool(encoding.overflowing) and start >= last
            for place, (start, _) in zip(places, spans, strict=True)
        )
        assert max(places) < encoded.lengths[row]
    assert found.cut == cut
    assert found.cut + found.dropped == (found.places == NOWHERE).sum()
    assert found.shared == (found.places == SHARED).sum()
    assert (found.cut > 0) == (max_tokens == 8)


def test_known_tokens_of_known_words(made_tokenizers: dict[str, Any]) -> None:
    """The definition in one example that can be read."""
    _, words = _gather([{"tokens": ["zz", "the", "\u200b", "sea"]}])
    text = "zz the \u200b sea"
    encoding = made_tokenizers["wordpiece"].encode(text)
    assert encoding.tokens == ["[CLS]", "[UNK]", "the", "sea", "[SEP]"]
    found = places_of(words, spans_of([encoding], [text]), np.array([False]))
    assert found.places.tolist() == [1, 2, NOWHERE, 3]
    assert found.dropped.tolist() == [False, False, True, False]


def _one_token(tmp_path: Path, tags: list[str], limit: float = 0.0) -> Places:
    """中国 is one token, and 中 and 国 are words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "中国": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    texts, words = _gather([{"tokens": ["中", "国"], "tags": tags}])
    found = word_places(texts, words, tokenizer, max_tokens=8, lost_limit=limit, folder=tmp_path)
    assert found.places.tolist() == [0, SHARED]
    assert found.shared == 1
    return found


@pytest.mark.parametrize("tags", [["B-X", "I-X"], ["O", "O"]])
def test_words_inside_a_token_of_their_entity_are_no_loss(tmp_path: Path, tags: list[str]) -> None:
    """2, 0, 0, 7 is one token in most vocabularies: the tag goes on."""
    _one_token(tmp_path, tags)


@pytest.mark.parametrize("tags", [["B-X", "B-X"], ["B-X", "O"], ["O", "B-X"]])
def test_refuses_a_tokenizer_that_joins_words_of_different_tags(
    tmp_path: Path, tags: list[str]
) -> None:
    """The tags could be neither learned nor told, and the score would be the teacher's fault."""
    with pytest.raises(DataError, match=f"1 of 2 words .50.0%.*中/{tags[0]} and 国/{tags[1]}"):
        _one_token(tmp_path, tags)
    found = _one_token(tmp_path, tags, limit=0.5)
    _, words = _gather([{"tokens": ["中", "国"], "tags": tags}])
    assert lost_tags(words, found).tolist() == [False, True]


def test_unlabelled_words_lose_nothing(tmp_path: Path) -> None:
    """They have no tags to lose."""
    texts, words = _gather(_random_rows(2), labels=False)
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = word_places(texts, words, tokenizer, max_tokens=64, lost_limit=0.0, folder=tmp_path)
    assert found.shared
    assert not lost_tags(words, found).any()


def test_places_are_found_once(
    made_tokenizers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again when their file is broken, or the words are others in the same text."""
    tokenizer = made_tokenizers["wordpiece"]
    settings: dict[str, Any] = {"max_tokens": 16, "lost_limit": 1.0, "folder": tmp_path}
    texts, words = _gather(_random_rows(3))
    first = word_places(texts, words, tokenizer, **settings)
    with monkeypatch.context() as patch:
        patch.setattr("limbeck.data.places._all", lambda *a: pytest.fail("placed again"))
        second = word_places(texts, words, tokenizer, **settings)
    assert np.array_equal(first.places, second.places)
    assert (first.cut, first.dropped, first.shared) == (second.cut, second.dropped, second.shared)
    file = next(tmp_path.iterdir()) / "places.npy"
    file.write_bytes(file.read_bytes()[:-4])
    assert np.array_equal(word_places(texts, words, tokenizer, **settings).places, first.places)
    split, halves = _gather([{"tokens": ["un", "a"]}]), _gather([{"tokens": ["un a"]}])
    assert split[0].texts[0] == halves[0].texts[0]
    assert len(word_places(*split, tokenizer, **settings).places) == 2
    assert len(word_places(*halves, tokenizer, **settings).places) == 1


def test_refuses_tokenizers_without_places() -> None:
    """Slow tokenizers and those whose normalizer forgets would tag the first token of every row."""
    from tokenizers import Tokenizer, models

    with pytest.raises(DataError, match=r"does not say at which characters(.|\n)*tokenizer\.json"):
        backend_of(object(), "teacher")
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    assert backend_of(tokenizer, "teacher") is tokenizer

    class Forgetful:
        tokens, offsets, word_ids, sequence_ids = ["a"], [(0, 0)], [0], [0]

        def __len__(self) -> int:
            return 1

    with pytest.raises(DataError, match="at which characters"):
        spans_of([Forgetful()], ["a"])  # pyright: ignore[reportArgumentType]


def test_a_text_of_nothing_visible_is_not_a_tokenizer_without_places(
    made_tokenizers: dict[str, Any],
) -> None:
    """Rows of zero-width characters have special tokens only."""
    encoding = made_tokenizers["wordpiece"].encode("\u200b")
    assert not spans_of([encoding], ["\u200b"]).visible.any()


@pytest.mark.parametrize("folder", ["conll2003", "resume_ner_zh", "atis"])
def test_real_words_all_have_tokens(shared: Path, tmp_path: Path, folder: str) -> None:
    """Years are one token in Chinese resumes; no tag is lost by it, and no word dropped."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(shared / "models/minilm-l6-sst2/tokenizer.json"))
    path = str(shared / "data" / folder / "test.jsonl")
    texts, words = _gather(list(token_rows(path)))
    found = word_places(texts, words, tokenizer, max_tokens=512, lost_limit=0.0, folder=tmp_path)
    assert (found.cut, found.dropped) == (0, 0)
    if folder == "resume_ner_zh":  # words are characters: what is no token's first one is shared
        encoded = encode(texts, tokenizer, max_tokens=512, folder=tmp_path)
        ordinary = len(encoded.ids) - 2 * len(texts)
        assert found.shared == len(found.places) - ordinary > 0
    else:
        assert found.shared == 0
