"""Questions with the very pieces of their contexts that another tokenizer's windows hold.

A student with a tokenizer of its own cuts long contexts at other places than its teacher. What a
teacher says of a window is about the characters in it; so the teacher is asked about the
student's windows, each as it reads those characters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.batches import rows_of
from limbeck.data.encoded import Encoded, Groups
from limbeck.data.questions import QuestionRows
from limbeck.data.squad import Question
from limbeck.data.texts import Texts
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.data.window_cut import END, FIRST, ROW, Cut, Cutting, cut_into_windows
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
    offsets: list[np.ndarray] = [np.zeros(1, dtype=np.int64)]
    about: list[np.ndarray] = []
    with (
        (part / "ids.bin").open("wb") as ids,
        (part / "types.bin").open("wb") as types,
        (part / "spans.bin").open("wb") as spans,
        step("cutting questions alike", len(windows)) as progress,
    ):
        for start in range(0, len(windows), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(windows)))
            of, pieces, begins = _pieces(questions, windows, windows.groups, rows)
            cut = _first_windows(cut_into_windows(pieces, tokenizer, how))
            _move(cut, begins)
            for file, array in ((ids, cut.ids), (types, cut.types), (spans, cut.spans)):
                file.write(array.tobytes())
            cut.about[:, ROW] = of
            about.append(cut.about)
            offsets.append(cut.offsets[1:] + offsets[-1][-1])
            progress.advance(len(rows))
    meta = {"questions": len(questions), "cut_questions": 0, "max_tokens": how.max_tokens}
    write_windows(part, offsets, about, meta)


def _pieces(
    questions: QuestionRows, windows: Encoded, groups: Groups, rows: np.ndarray
) -> tuple[np.ndarray, list[Question], np.ndarray]:
    """The question of each window, with its piece of the context, and where that begins."""
    of = groups.texts(rows)
    near: Sequence[Question] = questions[int(of[0]) : int(of[-1]) + 1]
    begins = np.zeros(len(rows), dtype=np.int64)
    found = []
    for number, row in enumerate(rows.tolist()):
        question = near[int(of[number] - of[0])]
        span = slice(2 * int(windows.offsets[row]), 2 * int(windows.offsets[row + 1]))
        places = np.asarray(groups.spans[span]).reshape(-1, 2)
        seen = places[places[:, 1] > places[:, 0]]
        if len(seen):
            begins[number] = seen[:, 0].min()
        end = int(seen[:, 1].max()) if len(seen) else 0
        piece = question.context[int(begins[number]) : end]
        found.append(Question(question.id, question.question, piece, None))
    return of, found, begins


def _first_windows(cut: Cut) -> Cut:
    """The first window of each question alone."""
    first = np.unique(cut.about[:, ROW], return_index=True)[1]
    starts = cut.offsets[first]
    lengths = cut.offsets[first + 1] - starts
    return replace(
        cut,
        ids=rows_of(cut.ids, starts, lengths),
        types=rows_of(cut.types, starts, lengths),
        spans=np.concatenate(
            [cut.spans[start : start + length]
             for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)]
        ),
        offsets=np.append(0, np.cumsum(lengths)).astype(np.int64),
        about=cut.about[first],
    )  # fmt: skip


def _move(cut: Cut, begins: np.ndarray) -> None:
    """Count the characters of the context from its own beginning, not the piece's."""
    for number, begin in enumerate(begins.tolist()):
        first, end = cut.about[number, [FIRST, END]] + cut.offsets[number]
        mine = cut.spans[first:end]
        mine[mine[:, 1] > mine[:, 0]] += begin
