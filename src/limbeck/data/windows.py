"""Questions with pieces of their contexts as token ids: long contexts in overlapping windows."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from limbeck.data.encode import Encoded, tokenizer_bytes
from limbeck.data.flat import FlatFile
from limbeck.data.spans import SPECIAL, spans_of
from limbeck.data.squad import Question
from limbeck.data.texts import UNLABELLED
from limbeck.errors import DataError
from limbeck.files import read_json, whole_folder, write_json
from limbeck.progress import step

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_CHUNK = 1024
_FIRST, _END, _START_TOKEN, _END_TOKEN, _ROW, _CLS = range(6)
"""Columns of what is kept for each window."""


@dataclass(frozen=True)
class Windows:
    """[CLS] question [SEP] piece of the context [SEP], as often as the context needs it.

    Attributes:
        encoded: Token and segment ids of the windows, as `collate` takes them.
        spans: int32, two numbers a token of `encoded`: the characters of the context (end excluded,
            white space at the ends left out, accents after the last letter kept) that it stands
            for; 0, 0 outside the context.
        rows: int64 [windows], the question of each, rising.
        context: int64 [windows, 2], the tokens of the context, end excluded.
        answers: int64 [windows, 2], first and last token of the first answer, or the [CLS] token
            twice where this window does not hold it whole; -100 where the question has no label.
        cls: int64 [windows], the place of the [CLS] token.
        cut_questions: Number of questions that were longer than `question_tokens`.
    """

    encoded: Encoded
    spans: np.ndarray | FlatFile
    rows: np.ndarray
    context: np.ndarray
    answers: np.ndarray
    cls: np.ndarray
    cut_questions: int

    def __len__(self) -> int:
        return len(self.rows)

    def context_mask(self, windows: np.ndarray, width: int) -> np.ndarray:
        """Whether each token of some windows, padded on the right, is of the context (bool).

        Args:
            windows: Their numbers.
            width: Tokens of a padded row.
        """
        places = np.arange(width)
        first, end = self.context[windows, :1], self.context[windows, 1:]
        return (places >= first) & (places < end)


def encode_questions(
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    *,
    cls_id: int,
    max_tokens: int,
    stride: int,
    question_tokens: int,
    folder: Path,
) -> Windows:
    """The questions' windows, from `folder` if they were made before, else made and kept there.

    Args:
        questions: What `read_questions` gives.
        tokenizer: A `tokenizers.Tokenizer` that frames pairs as the model wants them.
        cls_id: Id of the token that stands for no answer: the tokenizer's cls_token.
        max_tokens: Of a window, special tokens counted.
        stride: Tokens of the context that two neighboring windows share: more than the longest
            answer, or it may be whole in none.
        question_tokens: Longer questions lose their end.
        folder: Where windows are kept, addressed by questions, tokenizer and settings.

    Raises:
        DataError: If a window has no room for new tokens beside question and stride, or the
            tokenizer has no such token or no places.
    """
    special = tokenizer.num_special_tokens_to_add(is_pair=True)
    if max_tokens - question_tokens - special <= stride:
        raise DataError(
            "data.max_tokens, data.stride, data.question_tokens",
            f"a window of {max_tokens} tokens less {question_tokens} of the question and {special} "
            f"special ones does not hold more than the stride of {stride}: no window would get on",
            f"Set data.stride below {max_tokens - question_tokens - special}, or max_tokens above "
            f"{question_tokens + special + stride}.",
        )
    digest = hashlib.blake2b(tokenizer_bytes(tokenizer), digest_size=16)
    digest.update(f"windows {cls_id} {max_tokens} {stride} {question_tokens}".encode())
    for question in questions:
        digest.update(repr(question).encode("utf-8", "surrogatepass"))
    place = folder / f"windows-{digest.hexdigest()}"
    if not _whole(place):
        with whole_folder(place) as part:
            _write(part, questions, tokenizer, (cls_id, max_tokens, stride, question_tokens))
    return _open(place)


def _write(
    part: Path,
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    settings: tuple[int, int, int, int],
) -> None:
    cls_id, max_tokens, stride, question_tokens = settings
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.no_padding()
    lengths: list[int] = []
    about: list[np.ndarray] = []
    cut = 0
    with (
        (part / "ids.bin").open("wb") as ids,
        (part / "types.bin").open("wb") as types,
        (part / "spans.bin").open("wb") as spans,
        step("tokenizing questions", len(questions)) as progress,
    ):
        for start in range(0, len(questions), _CHUNK):
            chunk = questions[start : start + _CHUNK]
            own.no_truncation()
            asked, were_cut = _shortened([q.question for q in chunk], own, question_tokens)
            cut += were_cut
            own.enable_truncation(max_tokens, stride=stride, strategy="only_second")
            pairs = [(text, q.context) for text, q in zip(asked, chunk, strict=True)]
            windows: list[Encoding] = []
            rows: list[int] = []
            for row, encoding in enumerate(own.encode_batch(pairs)):
                here = [encoding, *encoding.overflowing]
                windows += here
                rows += [row] * len(here)
            about.append(_told(windows, rows, chunk, asked, cls_id, (ids, types, spans)))
            about[-1][:, _ROW] += start
            lengths += [len(window) for window in windows]
            progress.advance(len(chunk))
    np.save(part / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    np.save(part / "windows.npy", np.concatenate(about))
    meta = {"questions": len(questions), "cut_questions": cut, "max_tokens": max_tokens}
    write_json(part / "meta.json", meta)


def _shortened(texts: list[str], tokenizer: Tokenizer, tokens: int) -> tuple[list[str], int]:
    """The texts cut to that many tokens, and how many were cut."""
    shortened, cut = list(texts), 0
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    for place, encoding in enumerate(encodings):
        cut += len(encoding) > tokens
        while len(encoding) > tokens:  # the last word's beginning may be more tokens than before
            end = max(encoding.offsets[tokens - 1][0], 1)
            if end >= len(shortened[place]):
                end = len(shortened[place]) - 1
            shortened[place] = shortened[place][:end].rstrip() or shortened[place][:1]
            encoding = tokenizer.encode(shortened[place], add_special_tokens=False)
            if len(shortened[place]) == 1:
                break
    return shortened, cut


def _told(
    windows: list[Encoding],
    rows: list[int],
    chunk: Sequence[Question],
    asked: list[str],
    cls_id: int,
    files: tuple[IO[bytes], IO[bytes], IO[bytes]],
) -> np.ndarray:
    """Writes ids, segments and spans of windows; what else there is to know, a row a window."""
    found = spans_of(windows, [asked[row] for row in rows], [chunk[row].context for row in rows])
    spans = np.stack([found.starts, found.ends], 1)
    spans[found.sequences != 1] = 0
    ids = np.array([i for window in windows for i in window.ids], dtype=np.int32)
    about = np.zeros((len(windows), 6), dtype=np.int64)
    about[:, _ROW] = rows
    marks: dict[int, np.ndarray | None] = {}
    for number, row in enumerate(rows):
        window = slice(found.offsets[number], found.offsets[number + 1])
        cls = np.flatnonzero((found.sequences[window] == SPECIAL) & (ids[window] == cls_id))
        if not len(cls):
            raise _no_cls(cls_id)
        inside = np.flatnonzero(found.sequences[window] == 1)
        first, end = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        about[number, [_FIRST, _END, _CLS]] = first, end, cls[0]
        mine = spans[window][first:end]
        if row not in marks:
            marks = {row: _after_marks(chunk[row].context)}
        if (after := marks[row]) is not None:
            _with_marks(mine, after)
        last = row not in rows[number + 1 : number + 2]
        opening = row not in rows[max(number - 1, 0) : number]
        about[number, [_START_TOKEN, _END_TOKEN]] = _target(
            chunk[row], mine, first, int(cls[0]), opening=opening, last=last
        )
    files[0].write(ids.tobytes())
    files[1].write(bytes(t for window in windows for t in window.type_ids))
    files[2].write(spans.astype(np.int32).tobytes())
    return about


def _target(
    question: Question, spans: np.ndarray, first: int, cls: int, *, opening: bool, last: bool
) -> tuple[int, int]:
    """First and last token of the answer, the [CLS] token, or -100, as tokens of a window."""
    if question.answers is None:
        return UNLABELLED, UNLABELLED
    found = _answer_tokens(question, spans, opening=opening, last=last)
    return (first + found[0], first + found[1]) if found else (cls, cls)


def _after_marks(text: str) -> np.ndarray | None:
    """Where the marks (accents, vowel signs) end that begin at each character; None if none do."""
    if text.isascii():
        return None
    marks = np.array([unicodedata.category(character)[0] == "M" for character in text])
    if not marks.any():
        return None
    after = np.where(marks, len(text), np.arange(len(text)))
    return np.append(np.minimum.accumulate(after[::-1])[::-1], len(text))


def _with_marks(spans: np.ndarray, after: np.ndarray) -> None:
    """Gives tokens the marks behind them that the tokenizer drops: an answer is told with them."""
    visible = np.flatnonzero(spans[:, 1] > spans[:, 0])
    starts, ends = spans[visible].T
    bound = np.append(starts[1:], len(after))
    spans[visible, 1] = np.maximum(ends, np.minimum(after[ends], bound))


def _answer_tokens(
    question: Question, spans: np.ndarray, *, opening: bool, last: bool
) -> tuple[int, int] | None:
    """First and last token of the first answer among a window's, if they hold it whole."""
    visible = np.flatnonzero(spans[:, 1] > spans[:, 0])
    if not question.answers or not len(visible):
        return None
    answer = question.answers[0]
    start, end = answer.start, answer.start + len(answer.text)
    seen = spans[visible]
    if (start < seen[0, 0] and not opening) or (end > seen[-1, 1] and not last):
        return None
    first = int(np.searchsorted(np.maximum.accumulate(seen[:, 1]), start, side="right"))
    final = int(np.searchsorted(seen[:, 0], end, side="left")) - 1
    return None if first > final else (int(visible[first]), int(visible[final]))


def _whole(place: Path) -> bool:
    """Whether every file has the size that it was written with."""
    try:
        read_json(place / "meta.json")
        count = int(np.load(place / "offsets.npy")[-1])
        np.load(place / "windows.npy")
        sizes = {"ids.bin": 4 * count, "types.bin": count, "spans.bin": 8 * count}
        return all((place / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, EOFError):
        return False


def _open(place: Path) -> Windows:
    meta, about = read_json(place / "meta.json"), np.load(place / "windows.npy")
    offsets = np.load(place / "offsets.npy")
    again = about[1:, _ROW][np.diff(about[:, _ROW]) == 0]
    return Windows(
        encoded=Encoded(
            ids=FlatFile(place / "ids.bin", np.int32),
            type_ids=FlatFile(place / "types.bin", np.uint8),
            offsets=offsets,
            cut=len(np.unique(again)),
            max_tokens=meta["max_tokens"],
        ),
        spans=FlatFile(place / "spans.bin", np.int32),
        rows=about[:, _ROW],
        context=about[:, [_FIRST, _END]],
        answers=about[:, [_START_TOKEN, _END_TOKEN]],
        cls=about[:, _CLS],
        cut_questions=meta["cut_questions"],
    )


def _no_cls(cls_id: int) -> DataError:
    return DataError(
        "the tokenizer",
        f"a window of question and context has no token {cls_id} (the cls_token), on which a model "
        "says that there is no answer",
        "Use the model's own tokenizer, with its post-processor for pairs.",
    )
