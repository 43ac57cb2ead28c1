"""Questions with pieces of their contexts as token ids: long contexts in overlapping windows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.encoded import Encoded
from limbeck.data.flat import FlatFile
from limbeck.data.squad import Question
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.data.window_cut import (
    CLS,
    END,
    END_TOKEN,
    FIRST,
    ROW,
    START_TOKEN,
    Cutting,
    cut_into_windows,
)
from limbeck.errors import DataError
from limbeck.files import read_json, whole_folder, write_json
from limbeck.progress import step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 1024


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

    @property
    def about(self) -> np.ndarray:
        """All of it, as `window_cut.Cut` has it."""
        return np.stack([*self.context.T, *self.answers.T, self.rows, self.cls], axis=1)

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
    how = Cutting(cls_id, max_tokens, stride, question_tokens)
    refuse_narrow(tokenizer, how)
    digest = hashlib.blake2b(tokenizer_bytes(tokenizer), digest_size=16)
    digest.update(f"windows {cls_id} {max_tokens} {stride} {question_tokens}".encode())
    for question in questions:
        digest.update(repr(question).encode("utf-8", "surrogatepass"))
    place = folder / f"windows-{digest.hexdigest()}"
    if not windows_whole(place):
        with whole_folder(place) as part:
            _write(part, questions, tokenizer, how)
    return open_windows(place)


def refuse_narrow(tokenizer: Tokenizer, how: Cutting) -> None:
    """Refuse windows that hold no more of the context than the stride.

    Raises:
        DataError: If so: none would get on.
    """
    special = tokenizer.num_special_tokens_to_add(is_pair=True)
    room = how.max_tokens - how.question_tokens - special
    if room <= how.stride:
        raise DataError(
            "data.max_tokens, data.stride, data.question_tokens",
            f"a window of {how.max_tokens} tokens less {how.question_tokens} of the question and "
            f"{special} special ones does not hold more than the stride of {how.stride}: no window "
            "would get on",
            f"Set data.stride below {room}, or max_tokens above "
            f"{how.question_tokens + special + how.stride}.",
        )


def _write(part: Path, questions: Sequence[Question], tokenizer: Tokenizer, how: Cutting) -> None:
    own = type(tokenizer).from_str(tokenizer.to_str())
    offsets: list[np.ndarray] = [np.zeros(1, dtype=np.int64)]
    about: list[np.ndarray] = []
    shortened = 0
    with (
        (part / "ids.bin").open("wb") as ids,
        (part / "types.bin").open("wb") as types,
        (part / "spans.bin").open("wb") as spans,
        step("tokenizing questions", len(questions)) as progress,
    ):
        for start in range(0, len(questions), _CHUNK):
            chunk = questions[start : start + _CHUNK]
            cut = cut_into_windows(chunk, own, how)
            for file, array in ((ids, cut.ids), (types, cut.types), (spans, cut.spans)):
                file.write(array.tobytes())
            about.append(cut.about)
            about[-1][:, ROW] += start
            offsets.append(cut.offsets[1:] + offsets[-1][-1])
            shortened += cut.shortened
            progress.advance(len(chunk))
    meta = {"questions": len(questions), "cut_questions": shortened, "max_tokens": how.max_tokens}
    write_windows(part, offsets, about, meta)


def write_windows(
    part: Path, offsets: list[np.ndarray], about: list[np.ndarray], meta: dict[str, int]
) -> None:
    """Finish a folder of windows whose tokens are written.

    Args:
        part: The folder, with `ids.bin`, `types.bin` and `spans.bin`.
        offsets: Where the windows begin, in parts.
        about: What is known of them, in parts.
        meta: How many questions there are, how many were cut, and `max_tokens`.
    """
    np.save(part / "offsets.npy", np.concatenate(offsets))
    np.save(part / "windows.npy", np.concatenate(about))
    write_json(part / "meta.json", meta)


def windows_whole(place: Path) -> bool:
    """Whether a folder of windows is there, every file of the size that it was written with."""
    try:
        read_json(place / "meta.json")
        count = int(np.load(place / "offsets.npy")[-1])
        np.load(place / "windows.npy")
        sizes = {"ids.bin": 4 * count, "types.bin": count, "spans.bin": 8 * count}
        return all((place / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, EOFError):
        return False


def open_windows(place: Path) -> Windows:
    """The windows of a folder."""
    meta, about = read_json(place / "meta.json"), np.load(place / "windows.npy")
    offsets = np.load(place / "offsets.npy")
    again = about[1:, ROW][np.diff(about[:, ROW]) == 0]
    return Windows(
        encoded=Encoded(
            ids=FlatFile(place / "ids.bin", np.int32),
            type_ids=FlatFile(place / "types.bin", np.uint8),
            offsets=offsets,
            cut=len(np.unique(again)),
            max_tokens=meta["max_tokens"],
        ),
        spans=FlatFile(place / "spans.bin", np.int32),
        rows=about[:, ROW],
        context=about[:, [FIRST, END]],
        answers=about[:, [START_TOKEN, END_TOKEN]],
        cls=about[:, CLS],
        cut_questions=meta["cut_questions"],
    )
