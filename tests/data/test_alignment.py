"""Tokens of two tokenizers matched, against a definition that looks at every pair."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.alignment import Alignment, align_characters, align_words
from limbeck.data.spans import SPECIAL, Spans, spans_of
from limbeck.errors import DataError

NAMES = ["wordpiece", "bytes", "bytes-spaced", "unigram"]
PIECES = [*"abeu ,  中国é𝕏", "the ", "sea", "unbelievably", "\u200b", " ÿ", "京都", "e\u0301", "\t"]


def _random_texts(seed: int, count: int) -> list[str]:
    generator = random.Random(seed)
    return [
        "".join(generator.choices(PIECES, k=generator.randint(0, 14))) + "a" for _ in range(count)
    ]


def _spans(tokenizer: Any, texts: list[str], seconds: list[str] | None = None) -> Spans:
    rows = texts if seconds is None else list(zip(texts, seconds, strict=True))
    return spans_of(tokenizer.encode_batch(rows), texts, seconds)


def _dense(alignment: Alignment) -> np.ndarray:
    """[student tokens, teacher tokens]."""
    return alignment.carried(np.eye(alignment.teacher_tokens))


def _special_match(student: Spans, teacher: Spans, s: int, t: int) -> bool:
    if student.sequences[s] != SPECIAL or teacher.sequences[t] != SPECIAL:
        return False
    sides = [
        (place in spans.offsets[:-1], place + 1 in spans.offsets[1:])
        for spans, place in ((student, s), (teacher, t))
    ]
    return (sides[0][0] and sides[1][0]) or (sides[0][1] and sides[1][1])


def _characters_by_definition(student: Spans, teacher: Spans) -> np.ndarray:
    weights = np.zeros((len(student.starts), len(teacher.starts)))
    for s in range(len(student.starts)):
        for t in range(len(teacher.starts)):
            if student.rows[s] != teacher.rows[t]:
                continue
            if _special_match(student, teacher, s, t):
                weights[s, t] = 1
            elif student.sequences[s] == teacher.sequences[t] != SPECIAL:
                mine = set(range(student.starts[s], student.ends[s]))
                weights[s, t] = len(mine & set(range(teacher.starts[t], teacher.ends[t])))
    sums = weights.sum(1, keepdims=True)
    return np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)


def _words_by_definition(student: Spans, teacher: Spans) -> np.ndarray:
    weights = np.zeros((len(student.starts), len(teacher.starts)))

    def first_tokens(spans: Spans) -> dict[tuple[int, int, int], int]:
        found: dict[tuple[int, int, int], int] = {}
        for token in range(len(spans.starts)):
            if spans.begins[token] and spans.ends[token] > spans.starts[token]:
                key = (spans.rows[token], spans.sequences[token], spans.starts[token])
                found.setdefault(key, token)
        return found

    given = first_tokens(teacher)
    for key, token in first_tokens(student).items():
        if key in given:
            weights[token, given[key]] = 1
    return weights


@pytest.mark.parametrize("student", NAMES)
@pytest.mark.parametrize("teacher", NAMES)
@pytest.mark.parametrize("paired", [False, True])
def test_alignments_are_those_of_the_definition(
    made_tokenizers: dict[str, Any], student: str, teacher: str, paired: bool
) -> None:
    """A student held to the vector of the word beside learns the word beside."""
    texts, seconds = _random_texts(1, 6), _random_texts(2, 6) if paired else None
    mine, given = (_spans(made_tokenizers[name], texts, seconds) for name in (student, teacher))
    found = align_characters(mine, given, unaligned_limit=1.0)
    expected = _characters_by_definition(mine, given)
    np.testing.assert_allclose(_dense(found), expected, atol=1e-6)
    ordinary = mine.sequences != SPECIAL
    assert found.unaligned == pytest.approx((ordinary & ~expected.any(1)).sum() / ordinary.sum())
    assert np.array_equal(found.aligned, expected.any(1))
    words = align_words(mine, given, unaligned_limit=1.0)
    np.testing.assert_array_equal(_dense(words), _words_by_definition(mine, given))


@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_is_aligned_with_itself(made_tokenizers: dict[str, Any], name: str) -> None:
    """Every token that stands for characters takes its own vector, but for bytes of one letter."""
    texts = ["the river runs to the sea", "unbelievably calm boat"]
    spans = _spans(made_tokenizers[name], texts)
    found = align_characters(spans, spans, unaligned_limit=1.0)
    solid = spans.visible | (spans.sequences == SPECIAL)
    np.testing.assert_allclose(_dense(found), np.diag(solid.astype(float)), atol=1e-6)


def test_known_tokens_are_carried_across(made_tokenizers: dict[str, Any]) -> None:
    """The definition in one example that can be read."""

    def spans(pairs: list[tuple[int, int]], begins: list[bool]) -> Spans:
        starts, ends = np.array(pairs).T
        sequences = np.where(ends > starts, 0, SPECIAL).astype(np.uint8)
        return Spans(starts, ends, sequences, np.array(begins), np.array([0, len(pairs)]))

    mine = spans([(0, 0), (0, 6), (7, 9), (9, 12), (0, 0)], [False, True, True, False, False])
    given = spans([(0, 0), (0, 2), (2, 6), (7, 12), (0, 0)], [False, True, False, True, False])
    vectors = np.array([[1.0], [6.0], [12.0], [5.0], [9.0]])
    characters = align_characters(mine, given, unaligned_limit=0.0)
    assert characters.carried(vectors)[:, 0] == pytest.approx([1, (2 * 6 + 4 * 12) / 6, 5, 5, 9])
    words = align_words(mine, given, unaligned_limit=0.0)
    assert words.carried(vectors)[:, 0].tolist() == [0, 6, 5, 0, 0]
    assert words.aligned.tolist() == [False, True, True, False, False]


def test_added_spaces_take_no_character(made_tokenizers: dict[str, Any]) -> None:
    """▁ of a unigram tokenizer claims the first letter, which belongs to the token after it."""
    tokenizer = made_tokenizers["unigram"]
    encoding = tokenizer.encode("ÿ")
    assert encoding.tokens[1] == "▁"
    assert encoding.offsets[1] == (0, 1)
    spans = spans_of([encoding], ["ÿ"])
    assert spans.visible.tolist() == [False, False, True, False]
    assert spans.begins.tolist() == [False, False, True, False]


def test_refuses_texts_that_do_not_belong_together(made_tokenizers: dict[str, Any]) -> None:
    """Other texts, or ones cut elsewhere: the student would be held to nothing or anything."""
    tokenizer = made_tokenizers["wordpiece"]
    whole = _spans(tokenizer, ["the river runs to the sea"])
    short = _spans(tokenizer, ["the river runs"])
    count = int((whole.sequences != SPECIAL).sum())
    gone = int((whole.starts > 13).sum())
    with pytest.raises(DataError, match=f"{gone} of {count} student tokens.*in text 1 at"):
        align_characters(whole, short, unaligned_limit=0.1)
    with pytest.raises(DataError, match="3 of 6 student tokens"):
        align_words(whole, short, unaligned_limit=0.1)
    assert align_words(whole, short, unaligned_limit=0.5).unaligned == 0.5
    with pytest.raises(DataError, match="the student has 1 texts, the teacher 2"):
        align_words(whole, _spans(tokenizer, ["a", "b"]), unaligned_limit=1.0)


def test_real_texts_are_aligned(shared: Path, made_tokenizers: dict[str, Any]) -> None:
    """A new vocabulary takes over nearly every token of a real teacher's."""
    from tokenizers import Tokenizer

    teacher = Tokenizer.from_file(str(shared / "models/minilm-l6-sst2/tokenizer.json"))
    teacher.no_padding()
    lines = (shared / "data/wikitext2").glob("*")
    path = next(file for file in sorted(lines) if file.suffix == ".txt")
    texts = [line for line in path.read_text("utf-8").split("\n")[:300] if line.strip()]
    teacher.no_truncation()
    given = _spans(teacher, texts)
    for name in NAMES:
        found = align_characters(_spans(made_tokenizers[name], texts), given, unaligned_limit=0.35)
        sums = np.add.reduceat(found.weights, found.offsets[:-1][found.aligned])
        np.testing.assert_allclose(sums, 1, atol=1e-5)
