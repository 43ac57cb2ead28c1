"""Windows of long contexts and the way back to answers, against their definitions."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.answers import best_answers
from limbeck.data.batches import collate
from limbeck.data.squad import Answer, Question, read_questions
from limbeck.data.windows import Windows, encode_questions
from limbeck.errors import DataError

CLS = {"wordpiece": 2, "bytes": 0, "bytes-spaced": 0, "unigram": 0}
VOCABULARY = ["the", "river", "runs", "sea,", "boat", "中国", "1966年出生", "café", "calm", "there"]


def _questions(count: int = 40, seed: int = 0) -> list[Question]:
    """Contexts of 3 to 60 words, answers of whole words."""
    generator = random.Random(seed)
    made = []
    for number in range(count):
        words = generator.choices(VOCABULARY, k=generator.randint(3, 60))
        first = generator.randrange(len(words))
        after = min(len(words), first + generator.randint(1, 3))
        context, text = " ".join(words), " ".join(words[first:after])
        start = len(" ".join(words[:first])) + (first > 0)
        answers = {0: (), 1: None}.get(number, (Answer(text, start),))
        asked = " ".join(generator.choices(VOCABULARY, k=generator.randint(1, 5)))
        made.append(Question(f"q{number}", asked, context, answers))
    return made


def _encode(questions: list[Question], tokenizer: Any, folder: Path, **changes: int) -> Windows:
    settings = {"cls_id": 2, "max_tokens": 40, "stride": 12, "question_tokens": 10, **changes}
    return encode_questions(questions, tokenizer, folder=folder, **settings)


def _gold(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    count = int(windows.encoded.offsets[-1])
    starts, ends = np.zeros(count, np.float32), np.zeros(count, np.float32)
    labelled = windows.answers[:, 0] >= 0
    at = windows.encoded.offsets[:-1][labelled]
    starts[at + windows.answers[labelled, 0]] = 5
    ends[at + windows.answers[labelled, 1]] = 5
    return starts, ends


@pytest.mark.parametrize("name", list(CLS))
def test_gold_logits_give_back_gold_answers(
    made_tokenizers: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """Through windows, tokens and characters and back; where no window answers, [CLS] does."""
    questions = _questions()
    tokenizer = made_tokenizers[name]
    windows = _encode(questions, tokenizer, tmp_path, cls_id=CLS[name], max_tokens=60, stride=40)
    assert windows.encoded.cut > 5
    answers = best_answers(windows, *_gold(windows), max_answer_tokens=40)
    told = answers.texts(questions, margin=0.0)
    for question, text in zip(questions[2:], told[2:], strict=True):
        assert question.answers
        assert text == question.answers[0].text
    assert told[0] == ""
    assert answers.texts(questions, margin=float("inf"))[0] != ""
    assert (windows.answers[windows.rows == 1] == -100).all()
    assert (windows.answers[windows.rows == 0] == windows.cls[windows.rows == 0, None]).all()


@pytest.mark.parametrize("name", list(CLS))
def test_windows_are_what_the_model_wants(
    made_tokenizers: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """The tokenizer's own pairs; windows share the stride, and miss nothing."""
    questions, tokenizer = _questions(12), made_tokenizers[name]
    windows = _encode(questions, tokenizer, tmp_path, cls_id=CLS[name])
    offsets, ids = windows.encoded.offsets, np.array(windows.encoded.ids)
    spans = np.array(windows.spans).reshape(-1, 2)
    assert windows.encoded.lengths.max() <= 40
    for row, question in enumerate(questions):
        mine = np.flatnonzero(windows.rows == row)
        whole: list[int] = []
        for place in mine:
            first, end = windows.context[place]
            piece = ids[offsets[place] + first : offsets[place] + end].tolist()
            if whole:
                assert piece[:12] == whole[-12:]
                piece = piece[12:]
            whole += piece
            mask = windows.context_mask(np.array([place]), 40)[0]
            assert np.flatnonzero(mask).tolist() == list(range(first, end))
            outside = np.delete(
                spans[offsets[place] : offsets[place + 1]], np.arange(first, end), 0
            )
            assert not outside.any()
            assert ids[offsets[place] + windows.cls[place]] == CLS[name]
        pair = tokenizer.encode(question.question, question.context)
        inside = [i for i, s in zip(pair.ids, pair.sequence_ids, strict=True) if s == 1]
        assert whole == inside
        if len(mine) == 1 and not windows.cut_questions:
            assert ids[offsets[mine[0]] : offsets[mine[0] + 1]].tolist() == pair.ids
    batch = collate(windows.encoded, np.array([0, 1]), pad_id=0, types=True)
    assert batch.token_type_ids is not None
    assert bool(batch.token_type_ids.any()) == (name in ("wordpiece", "unigram"))


def test_long_questions_lose_their_end(made_tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """A question that fills the window leaves no room for the context."""
    questions = [Question("a", "the river runs " * 20, "the sea", (Answer("sea", 4),))]
    windows = _encode(questions, made_tokenizers["wordpiece"], tmp_path)
    assert windows.cut_questions == 1
    first = int(windows.context[0, 0])
    assert 2 + 5 <= first <= 2 + 10


def test_an_answer_in_no_window_whole_is_no_answer(
    made_tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """Half an answer would teach to stop at the window's edge."""
    context = " ".join(["sea"] * 60)
    questions = [Question("a", "where", context, (Answer(context[:-4], 0),))]
    windows = _encode(questions, made_tokenizers["wordpiece"], tmp_path)
    assert (windows.answers == windows.cls[:, None]).all()


def _best_by_definition(
    windows: Windows, place: int, starts: np.ndarray, ends: np.ndarray, longest: int
) -> tuple[float, tuple[int, int]]:
    offset = windows.encoded.offsets[place]
    spans = np.array(windows.spans).reshape(-1, 2)
    first, end = windows.context[place]
    tokens = [t for t in range(offset + first, offset + end) if spans[t, 1] > spans[t, 0]]
    scored = [
        (float(starts[s] + ends[e]), (int(spans[s, 0]), int(spans[e, 1])))
        for s in tokens
        for e in tokens
        if s <= e < s + longest
    ]
    return max(scored, key=lambda pair: pair[0])


@pytest.mark.parametrize("name", ["wordpiece", "unigram"])
@pytest.mark.parametrize("longest", [1, 4, 100])
def test_best_answers_are_those_of_all_spans(
    made_tokenizers: dict[str, Any], tmp_path: Path, name: str, longest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """End before start, a token of the question, a span too long: none may win."""
    monkeypatch.setattr("limbeck.data.answers._CHUNK_TOKENS", 200)
    windows = _encode(_questions(), made_tokenizers[name], tmp_path, cls_id=CLS[name])
    generator = np.random.default_rng(longest)
    count = int(windows.encoded.offsets[-1])
    starts, ends = generator.normal(size=(2, count)).astype(np.float32)
    found = best_answers(windows, starts, ends, max_answer_tokens=longest)
    for row in range(40):
        places = np.flatnonzero(windows.rows == row)
        best = max(_best_by_definition(windows, p, starts, ends, longest) for p in places)
        assert found.scores[row] == pytest.approx(best[0], abs=1e-6)
        assert tuple(found.spans[row].tolist()) == best[1]
        cls = [windows.encoded.offsets[p] + windows.cls[p] for p in places]
        assert found.nothing[row] == min(starts[c] + ends[c] for c in cls)


def test_margin_decides_between_answer_and_nothing(
    made_tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """The threshold of SQuAD 2, tuned on validation."""
    questions = _questions(3)[2:]
    windows = _encode(questions, made_tokenizers["wordpiece"], tmp_path)
    answers = best_answers(windows, *_gold(windows), max_answer_tokens=9)
    edge = float(answers.nothing[0] - answers.scores[0])
    assert answers.texts(questions, margin=edge)[0]
    assert answers.texts(questions, margin=edge - 0.01)[0] == ""


def test_refuses_logits_of_other_tokens(made_tokenizers: dict[str, Any], tmp_path: Path) -> None:
    """Padded logits would be read as those of the next window."""
    windows = _encode(_questions(4), made_tokenizers["wordpiece"], tmp_path)
    starts, ends = _gold(windows)
    with pytest.raises(DataError, match="without padding"):
        best_answers(windows, starts, ends[:-1], max_answer_tokens=4)
    starts[3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        best_answers(windows, starts, ends, max_answer_tokens=4)


def test_accents_that_the_tokenizer_drops_stay_in_the_answer(
    made_tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """An answer without its last vowel sign is another word, and no exact match."""
    context = "the cafe\u0301 runs"
    questions = [Question("a", "what", context, (Answer("cafe\u0301", 4),))]
    windows = _encode(questions, made_tokenizers["wordpiece"], tmp_path)
    answers = best_answers(windows, *_gold(windows), max_answer_tokens=9)
    assert answers.texts(questions, margin=0.0) == ["cafe\u0301"]


def test_windows_are_made_once(
    made_tokenizers: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And again when a file is broken, or the settings or answers are others."""
    questions, tokenizer = _questions(6), made_tokenizers["wordpiece"]
    first = _encode(questions, tokenizer, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("limbeck.data.windows._write", lambda *a: pytest.fail("made again"))
        second = _encode(questions, tokenizer, tmp_path)
    assert np.array_equal(first.answers, second.answers)
    assert np.array_equal(first.encoded.ids, second.encoded.ids)
    before = np.array(first.spans)
    file = next(tmp_path.iterdir()) / "spans.bin"
    file.write_bytes(file.read_bytes()[:-4])
    assert np.array_equal(_encode(questions, tokenizer, tmp_path).spans, before)
    _encode(questions[:5], tokenizer, tmp_path)
    _encode(questions, tokenizer, tmp_path, stride=11)
    assert len(list(tmp_path.iterdir())) == 3


def test_refuses_windows_that_do_not_get_on(
    made_tokenizers: dict[str, Any], tmp_path: Path
) -> None:
    """The next window would begin where this one began."""
    tokenizer = made_tokenizers["wordpiece"]
    with pytest.raises(DataError, match=r"Set data\.stride below 27"):
        _encode(_questions(2), tokenizer, tmp_path, stride=27)
    _encode(_questions(2), tokenizer, tmp_path, stride=26)
    with pytest.raises(DataError, match="no token 99"):
        _encode(_questions(2), tokenizer, tmp_path, cls_id=99)


@pytest.mark.parametrize(
    ("file", "share"),
    [("squad_v1_train_small/train", 0.994), ("xquad/zh", 0.999), ("xquad/ar", 0.98)],
)
def test_real_gold_answers_come_back(shared: Path, tmp_path: Path, file: str, share: float) -> None:
    """But for answers that end inside a token (Japan of Japanese): no span of tokens is those."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(shared / "models/minilm-l6-sst2/tokenizer.json"))
    questions = read_questions(str(shared / "data" / f"{file}.json"))
    windows = encode_questions(
        questions, tokenizer, cls_id=101, max_tokens=384, stride=128, question_tokens=64,
        folder=tmp_path,
    )  # fmt: skip
    answers = best_answers(windows, *_gold(windows), max_answer_tokens=256)
    told = answers.texts(questions, margin=float("inf"))
    gold = [q.answers[0].text for q in questions if q.answers]
    assert sum(a == b for a, b in zip(told, gold, strict=True)) / len(gold) >= share
