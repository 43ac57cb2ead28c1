"""Which of the teacher's tokens each token of the student stands for, over all rows of a split.

What a teacher says of its tokens is carried to a student with another tokenizer by the characters
that both stand for (`alignment`). The pairs are found once and kept in flat files, 10 bytes a
token, so that they grow with the texts on disk and not in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.alignment import Alignment, align_characters, too_many_unaligned
from limbeck.data.batches import rows_of
from limbeck.data.encoded import Encoded
from limbeck.data.flat import FlatFile
from limbeck.data.spans import SPECIAL, Spans, spans_of
from limbeck.data.texts import Texts, sides
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.files import read_json, whole_folder, write_json
from limbeck.progress import step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 4096


@dataclass(frozen=True)
class Reader:
    """One side of a crossing.

    Attributes:
        tokenizer: A `tokenizers.Tokenizer`.
        encoded: The rows under it.
    """

    tokenizer: Tokenizer
    encoded: Encoded


@dataclass(frozen=True)
class Pairs:
    """The pairs of tokens of some rows.

    Attributes:
        rows: int64 [pairs], counted among those that were asked for.
        student: int64 [pairs], the token of the student's row.
        teacher: int64 [pairs], the token of the teacher's row.
        weights: float32 [pairs]; those of a student token sum to 1.
    """

    rows: np.ndarray
    student: np.ndarray
    teacher: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Crossing:
    """The pairs of all rows.

    Attributes:
        counts: uint16, teacher tokens of each student token, row after row.
        teacher: int32, for each pair the token of the teacher's row.
        weights: float32, of each pair.
        starts: int64 [rows + 1]: row i has pairs starts[i] to starts[i + 1].
        aligned: int32 [rows], student tokens that have a teacher token.
        offsets: int64 [rows + 1], the student's tokens, as in `Encoded`.
        teacher_lengths: int32 [rows], the teacher's tokens.
        wanted: Tokens that were to be aligned, special ones left out.
        lost: Those that could not be.
    """

    counts: FlatFile
    teacher: FlatFile
    weights: FlatFile
    starts: np.ndarray
    aligned: np.ndarray
    offsets: np.ndarray
    teacher_lengths: np.ndarray
    wanted: int
    lost: int

    @property
    def unaligned(self) -> float:
        """Share of the student's ordinary tokens without a teacher token."""
        return self.lost / max(self.wanted, 1)

    def of(self, rows: np.ndarray) -> Pairs:
        """The pairs of some rows."""
        tokens = self.offsets[rows + 1] - self.offsets[rows]
        pairs = self.starts[rows + 1] - self.starts[rows]
        counts = rows_of(self.counts, self.offsets[rows], tokens).astype(np.int64)
        places = np.arange(len(counts)) - np.repeat(np.cumsum(tokens) - tokens, tokens)
        return Pairs(
            rows=np.repeat(np.arange(len(rows)), pairs),
            student=np.repeat(places, counts),
            teacher=rows_of(self.teacher, self.starts[rows], pairs).astype(np.int64),
            weights=rows_of(self.weights, self.starts[rows], pairs),
        )


def cross(
    texts: Texts, student: Reader, teacher: Reader, *, unaligned_limit: float, folder: Path
) -> Crossing:
    """The crossing of a split, from `folder` if it was found before, else found and kept there.

    Of windows, only the tokens of the context and the special ones at both ends have a place.

    Args:
        texts: The split.
        student: Whose tokens are to be given a teacher's.
        teacher: Of the same rows.
        unaligned_limit: Share of the ordinary tokens, from 0 to 1, that may have none.
        folder: Where crossings are kept, addressed by texts and both readers.

    Raises:
        DataError: If more have none: the student would be held to vectors of other words; or if a
            tokenizer does not say where its tokens stand.
    """
    digest = hashlib.blake2b(digest_size=16)
    for reader in (student, teacher):
        digest.update(tokenizer_bytes(reader.tokenizer))
        digest.update(f"{reader.encoded.max_tokens} {reader.encoded.cut_like}".encode())
    digest.update(f"{texts.fingerprint()} {texts.windowing}".encode())
    place = folder / f"crossing-{digest.hexdigest()}"
    if not _whole(place):
        with whole_folder(place) as part:
            _write(part, texts, student, teacher)
    found = _open(place, student.encoded, teacher.encoded)
    if found.unaligned > unaligned_limit:
        first = read_json(place / "meta.json")["first"]
        raise too_many_unaligned(found.lost, found.wanted, unaligned_limit, first)
    return found


def _write(part: Path, texts: Texts, student: Reader, teacher: Reader) -> None:
    starts, aligned = [np.zeros(1, dtype=np.int64)], [np.zeros(0, dtype=np.int32)]
    wanted = lost = before = 0
    first = ""
    with (
        (part / "counts.bin").open("wb") as counts,
        (part / "teacher.bin").open("wb") as places,
        (part / "weights.bin").open("wb") as weights,
        step(f"aligning tokens of {texts.name}", len(student.encoded)) as progress,
    ):
        for own, theirs, cut in _spans(texts, student, teacher):
            found = align_characters(own, theirs, unaligned_limit=1.0, cut=cut)
            mine, given, ends = _by_row(found, own, theirs)
            counts.write(np.diff(found.offsets).astype(np.uint16).tobytes())
            places.write(given.astype(np.int32).tobytes())
            weights.write(found.weights.tobytes())
            starts.append(ends + starts[-1][-1])
            aligned.append(mine)
            wanted, lost = wanted + found.wanted, lost + len(found.lost)
            if len(found.lost) and not first:
                first = _place(texts, student.encoded, own, int(found.lost[0]), before)
            before += len(own)
            progress.advance(len(own))
    np.save(part / "starts.npy", np.concatenate(starts))
    np.save(part / "aligned.npy", np.concatenate(aligned))
    write_json(part / "meta.json", {"wanted": wanted, "lost": lost, "first": first})


def _by_row(
    found: Alignment, own: Spans, theirs: Spans
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aligned tokens of each row, the pairs' teacher tokens within theirs, where its pairs end."""
    rows, counts = own.rows, np.diff(found.offsets)
    aligned = np.bincount(rows[counts > 0], minlength=len(own)).astype(np.int32)
    within = found.teacher - theirs.offsets[:-1][np.repeat(rows, counts)]
    return aligned, within, found.offsets[own.offsets[1:]]


def _place(texts: Texts, encoded: Encoded, own: Spans, token: int, before: int) -> str:
    """Where a token stands, in words."""
    row = before + int(np.searchsorted(own.offsets, token, side="right")) - 1
    if encoded.groups is not None:
        row = int(encoded.groups.texts(np.array([row]))[0])
    return f"row {texts.ids[row]} at characters {own.starts[token]} to {own.ends[token]}"


def _spans(
    texts: Texts, student: Reader, teacher: Reader
) -> Iterator[tuple[Spans, Spans, np.ndarray]]:
    """Both sides' spans, and whether the teacher's text was cut, some rows at a time."""
    if texts.windowing is not None:
        for start in range(0, len(student.encoded), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(student.encoded)))
            cut = teacher.encoded.lengths[rows] >= teacher.encoded.max_tokens
            yield _of_windows(student.encoded, rows), _of_windows(teacher.encoded, rows), cut
        return
    readers = [_fresh(reader) for reader in (student, teacher)]
    for batch in texts.item_batches(_CHUNK) if texts.paired else texts.text_batches(_CHUNK):
        both = list(map(sides, batch))
        firsts = [one[0] for one in both]
        seconds = [one[1] for one in both] if texts.paired else None
        own, theirs = (reader.encode_batch(batch) for reader in readers)
        cut = np.array([bool(encoding.overflowing) for encoding in theirs])
        yield spans_of(own, firsts, seconds), spans_of(theirs, firsts, seconds), cut


def _fresh(reader: Reader) -> Tokenizer:
    own = type(reader.tokenizer).from_str(reader.tokenizer.to_str())
    own.no_padding()
    own.enable_truncation(reader.encoded.max_tokens)
    return own


def _of_windows(encoded: Encoded, rows: np.ndarray) -> Spans:
    """The spans of windows; what is no context counts as special."""
    assert encoded.groups is not None
    assert encoded.groups.spans is not None
    first, end = int(encoded.offsets[rows[0]]), int(encoded.offsets[rows[-1] + 1])
    places = np.asarray(encoded.groups.spans[2 * first : 2 * end]).reshape(-1, 2).astype(np.int64)
    starts, ends = places.T.copy()
    return Spans(
        starts=starts,
        ends=ends,
        sequences=np.where(ends > starts, 1, SPECIAL).astype(np.uint8),
        begins=np.zeros(len(starts), dtype=bool),
        offsets=encoded.offsets[rows[0] : rows[-1] + 2] - first,
    )


def _whole(place: Path) -> bool:
    """Whether every file has the size that it was written with."""
    try:
        read_json(place / "meta.json")
        pairs = int(np.load(place / "starts.npy")[-1])
        np.load(place / "aligned.npy")
        return all((place / name).stat().st_size == 4 * pairs
                   for name in ("teacher.bin", "weights.bin"))  # fmt: skip
    except (OSError, ValueError, EOFError):
        return False


def _open(place: Path, student: Encoded, teacher: Encoded) -> Crossing:
    meta = read_json(place / "meta.json")
    return Crossing(
        counts=FlatFile(place / "counts.bin", np.uint16),
        teacher=FlatFile(place / "teacher.bin", np.int32),
        weights=FlatFile(place / "weights.bin", np.float32),
        starts=np.load(place / "starts.npy"),
        aligned=np.load(place / "aligned.npy"),
        offsets=student.offsets,
        teacher_lengths=teacher.lengths,
        wanted=meta["wanted"],
        lost=meta["lost"],
    )
