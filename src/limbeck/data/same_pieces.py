"""Questions with the very pieces of their contexts that another tokenizer's windows hold.

A student with a tokenizer of its own cuts long contexts at other places than its teacher. What a
teacher says of a window is about the characters in it; so the teacher is asked about the
student's windows, each with its own tokens of those characters, as it reads the whole context.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.encoded import Encoded, Groups
from limbeck.data.questions import QuestionRows
from limbeck.data.spans import SPECIAL, spans_of
from limbeck.data.squad import Question
from limbeck.data.texts import UNLABELLED, Texts
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.data.window_cut import (
    CLS,
    END,
    FIRST,
    ROW,
    Cutting,
    no_place_for_none,
    shortened_texts,
)
from limbeck.data.window_rows import as_rows, cutting_of
from limbeck.data.windows import open_windows, windows_whole, write_windows
from limbeck.files import whole_folder
from limbeck.progress import step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 256


def encode_alike(
    texts: Texts,
    windows: Encoded,
    like: Tokenizer,
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    folder: Path,
) -> Encoded:
    """The same rows as `windows`, of the same characters, under another tokenizer.

    Args:
        texts: A split of questions.
        windows: Its windows.
        like: Whose windows they are.
        tokenizer: The other one.
        max_tokens: Where a row is cut that has more tokens under it.
        folder: Where they are kept, addressed by texts, both tokenizers and `max_tokens`.

    Raises:
        DataError: If the tokenizer has no token for no answer.
    """
    assert texts.windowing is not None
    assert windows.groups is not None
    cut_like = hashlib.blake2b(tokenizer_bytes(like), digest_size=16)
    cut_like.update(f"{texts.windowing} {windows.max_tokens}".encode())
    digest = hashlib.blake2b(tokenizer_bytes(tokenizer), digest_size=16)
    digest.update(f"{texts.fingerprint()} {cut_like.hexdigest()} {max_tokens}".encode())
    place = folder / f"alike-{digest.hexdigest()}"
    own = type(tokenizer).from_str(tokenizer.to_str())
    how = cutting_of(own, texts.windowing, max_tokens)
    if not windows_whole(place):
        with whole_folder(place) as part:
            _write(part, QuestionRows(texts), windows, own, how)
    return replace(as_rows(open_windows(place), len(texts)), cut_like=cut_like.hexdigest())


def _write(
    part: Path, questions: QuestionRows, windows: Encoded, tokenizer: Tokenizer, how: Cutting
) -> None:
    assert windows.groups is not None
    lengths: list[int] = []
    about: list[np.ndarray] = []
    with (
        (part / "ids.bin").open("wb") as ids,
        (part / "types.bin").open("wb") as types,
        (part / "spans.bin").open("wb") as spans,
        step("cutting questions alike", len(questions)) as progress,
    ):
        for start in range(0, len(questions), _CHUNK):
            chunk = questions[start : start + _CHUNK]
            for number, whole in enumerate(_encoded(chunk, tokenizer, how), start):
                for row in range(*windows.groups.offsets[number : number + 2]):
                    kept = _kept(whole, _characters(windows, windows.groups, row), how.max_tokens)
                    ids.write(whole.ids[kept].tobytes())
                    types.write(whole.types[kept].tobytes())
                    spans.write(whole.spans[kept].tobytes())
                    lengths.append(len(kept))
                    about.append(_about(whole, kept, number, how.cls_id))
            progress.advance(len(chunk))
    meta = {"questions": len(questions), "cut_questions": windows.cut, "max_tokens": how.max_tokens}
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    write_windows(part, [offsets], [np.array(about, dtype=np.int64).reshape(-1, 6)], meta)


@dataclass(frozen=True)
class _Whole:
    """A question with its whole context, however long.

    Attributes:
        ids: int32 [tokens].
        types: uint8 [tokens], segments.
        spans: int32 [tokens, 2], characters of the context; 0, 0 elsewhere.
        context: bool [tokens], whether a token is of the context.
        special: bool [tokens], whether it is of neither.
    """

    ids: np.ndarray
    types: np.ndarray
    spans: np.ndarray
    context: np.ndarray
    special: np.ndarray


def _encoded(questions: Sequence[Question], tokenizer: Tokenizer, how: Cutting) -> Iterator[_Whole]:
    """The questions, cut to their length, with their contexts, which are not cut."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    asked, _ = shortened_texts([q.question for q in questions], tokenizer, how.question_tokens)
    contexts = [question.context for question in questions]
    encodings = tokenizer.encode_batch(list(zip(asked, contexts, strict=True)))
    found = spans_of(encodings, asked, contexts)
    for place, encoding in enumerate(encodings):
        tokens = slice(*found.offsets[place : place + 2])
        context = found.sequences[tokens] == 1
        spans = np.stack([found.starts[tokens], found.ends[tokens]], axis=1)
        yield _Whole(
            ids=np.array(encoding.ids, dtype=np.int32),
            types=np.array(encoding.type_ids, dtype=np.uint8),
            spans=np.where(context[:, None], spans, 0).astype(np.int32),
            context=context,
            special=found.sequences[tokens] == SPECIAL,
        )


def _characters(windows: Encoded, groups: Groups, row: int) -> tuple[int, int]:
    """The characters of the context that a window holds, end excluded."""
    assert groups.spans is not None
    tokens = slice(2 * int(windows.offsets[row]), 2 * int(windows.offsets[row + 1]))
    spans = np.asarray(groups.spans[tokens]).reshape(-1, 2)
    seen = spans[spans[:, 1] > spans[:, 0]]
    return (int(seen[:, 0].min()), int(seen[:, 1].max())) if len(seen) else (0, 0)


def _kept(whole: _Whole, characters: tuple[int, int], max_tokens: int) -> np.ndarray:
    """The tokens of a row: all that are no context, and those that share its characters."""
    start, end = characters
    starts, ends = whole.spans.T
    touching = np.flatnonzero(whole.context & (ends > start) & (starts < end) & (ends > starts))
    room = max_tokens - int((~whole.context).sum())
    first = touching[0] if len(touching) else 0
    last = min(touching[-1] + 1, first + room) if len(touching) else 0
    inside = np.zeros(len(whole.ids), dtype=bool)
    inside[first:last] = True
    return np.flatnonzero(~whole.context | inside)


def _about(whole: _Whole, kept: np.ndarray, number: int, cls_id: int) -> np.ndarray:
    """What is known of a row, as `window_cut.Cut` has it; its answer is not."""
    context = np.flatnonzero(whole.context[kept])
    first, end = (context[0], context[-1] + 1) if len(context) else (0, 0)
    cls = np.flatnonzero(whole.special[kept] & (whole.ids[kept] == cls_id))
    if not len(cls):
        raise no_place_for_none(f"no token {cls_id} (the cls_token)")
    about = np.full(6, UNLABELLED, dtype=np.int64)
    about[[FIRST, END, ROW, CLS]] = first, end, number, cls[0]
    return about
