"""Plain text for pre-training: files read as a stream, packed into rows of a model's length."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from limbeck.config.recipe import CleanConfig
from limbeck.data.clean import cleaner
from limbeck.data.encode import tokenizer_bytes
from limbeck.data.read import text_lines
from limbeck.data.spool import SpoolWriter
from limbeck.data.texts import Texts
from limbeck.errors import DataError
from limbeck.files import file_sha256, whole_file
from limbeck.progress import Step, step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Item = TypeVar("Item")

FEWEST_ROWS = 32
_SENTENCES = 4096
"""Tokenized at a time."""
_LONG = 4000
"""Characters after which a sentence that does not end is taken as it is."""
_FULL = 0.75
"""Share of a row from which it ends with its paragraph."""
_SCHEMA = pa.schema([("id", pa.large_string()), ("text", pa.large_string())])
_END = re.compile(r"""[.!?…]["'”’)\]]*\s+(?![a-z])|[。！？][”’」』）]?""")


@dataclass(frozen=True)
class _Unit:
    """A sentence, or a part of one that is too long for a row.

    Attributes:
        text: Without white space at its ends.
        tokens: Special ones not counted.
        begins: Whether a paragraph begins with it.
    """

    text: str
    tokens: int
    begins: bool


def plain_texts(
    sources: Sequence[str],
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    clean: CleanConfig,
    folder: Path,
) -> Texts:
    """Rows of whole sentences, each of up to about `max_tokens` tokens.

    A row ends before the sentence that no longer fits, with its paragraph once it is three quarters
    full, and with its file. Lines are joined: in most plain text their ends mean nothing. Blank
    lines end paragraphs. Ids are ``plain/<file>/<row of that file>``.

    Args:
        sources: .txt files and folders of them, searched through and through.
        tokenizer: Counts the tokens.
        max_tokens: Of a row, special tokens counted.
        clean: What to do to every sentence first.
        folder: Where the rows are kept, addressed by files, tokenizer and settings.

    Raises:
        DataError: For a source that is missing or holds no .txt file, for text that is not UTF-8,
            and for fewer rows than anything could be learned from.
    """
    files = _files(sources)
    digest = hashlib.blake2b(tokenizer_bytes(tokenizer), digest_size=16)
    digest.update(f"{max_tokens} {_FULL} {clean.model_dump_json()}".encode())
    for name, path in files.items():
        digest.update(f"{name} {file_sha256(path)}\n".encode())
    place = folder / f"plain-{digest.hexdigest()}.arrow"
    if not place.exists():
        _write(place, files, tokenizer, max_tokens, clean)
    writer = SpoolWriter(folder)
    with pa.OSFile(str(place)) as source, pa.ipc.open_file(source) as reader:
        for number in range(reader.num_record_batches):
            writer.write(reader.get_batch(number))
    rows = writer.finish()
    texts = Texts("plain", rows, (), np.full(len(rows), -1, dtype=np.int32))
    if len(texts) < FEWEST_ROWS:
        raise DataError(
            f"data.plain ({', '.join(sources)})",
            f"all of its text makes {len(texts)} rows of up to {max_tokens} tokens: too few to "
            "learn a language from",
            f"Give more text, for {FEWEST_ROWS} rows at the least; thousands are usual.",
        )
    return texts


def _files(sources: Sequence[str]) -> dict[str, Path]:
    """The files by the name that they have in ids: what follows the folder that was given."""
    found: dict[str, Path] = {}
    for number, source in enumerate(sources, start=1):
        for name, path in _files_of(source):
            if path.resolve() not in {known.resolve() for known in found.values()}:
                found[f"{number}/{name}" if name in found else name] = path
    return found


def _files_of(source: str) -> list[tuple[str, Path]]:
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*.txt") if p.is_file())
        if not files:
            raise DataError(
                f"data.plain ({source})",
                "this folder holds no .txt file",
                "Name a folder of .txt files, or the files themselves.",
            )
        return [(file.relative_to(path).as_posix(), file) for file in files]
    if not path.exists():
        raise DataError(
            f"data.plain ({source})",
            f"there is no such file or folder (looked from {Path.cwd()})",
            "Check the spelling and the folder that you start from.",
        )
    if path.suffix.lower() != ".txt":
        raise DataError(
            f"data.plain ({source})",
            f"the ending {path.suffix!r} is not that of plain text",
            "Give .txt files; tables of texts belong to data.unlabelled.",
        )
    return [(path.name, path)]


def _write(
    place: Path, files: dict[str, Path], tokenizer: Tokenizer, max_tokens: int, clean: CleanConfig
) -> None:
    """Pack all files into one Arrow file."""
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.no_padding()
    own.no_truncation()
    room = max_tokens - own.num_special_tokens_to_add(False)
    size = sum(path.stat().st_size for path in files.values())
    with (
        whole_file(place) as part,
        pa.OSFile(str(part), "wb") as sink,
        pa.ipc.new_file(sink, _SCHEMA) as writer,
        step("packing plain text", size) as bar,
    ):
        for name, path in files.items():
            rows = _packed(_units(path, own, room, clean, bar), room)
            for chunk in _chunks(enumerate(rows, start=1)):
                ids = [f"plain/{name}/{number}" for number, _ in chunk]
                columns = [ids, [text for _, text in chunk]]
                arrays = [pa.array(column, pa.large_string()) for column in columns]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA))


def _packed(units: Iterable[_Unit], room: int) -> Iterator[str]:
    """Rows of at most `room` tokens, as far as sentences add up."""
    row: list[str] = []
    used = 0
    for unit in units:
        done = unit.begins and used >= _FULL * room
        if row and (done or used + unit.tokens > room):
            yield " ".join(row)
            row, used = [], 0
        row.append(unit.text)
        used += unit.tokens
    if row:
        yield " ".join(row)


def _units(
    path: Path, tokenizer: Tokenizer, room: int, clean: CleanConfig, bar: Step
) -> Iterator[_Unit]:
    cleaned = cleaner(clean)
    with closing(text_lines(path)) as lines:
        for chunk in _chunks(_sentences(lines)):
            bar.advance(sum(len(text) + 1 for text, _ in chunk))
            kept = [(cleaned(text).strip(), begins) for text, begins in chunk]
            kept = [(text, begins) for text, begins in kept if text]
            encodings = tokenizer.encode_batch([text for text, _ in kept], add_special_tokens=False)
            for (text, begins), encoding in zip(kept, encodings, strict=True):
                if 0 < len(encoding.ids) <= room:
                    yield _Unit(text, len(encoding.ids), begins)
                elif len(encoding.ids) > room:
                    yield from _parts(text, encoding.offsets, room, begins)


def _parts(
    text: str, offsets: Sequence[tuple[int, int]], room: int, begins: bool
) -> Iterator[_Unit]:
    """A sentence of more tokens than a row holds, cut before words where it has any."""
    start = 0
    while start < len(offsets):
        end = min(start + room, len(offsets))
        if end < len(offsets):
            ends = (e for e in range(end, start, -1) if offsets[e][0] > offsets[e - 1][1])
            end = next(ends, end)
        part = text[offsets[start][0] : offsets[end - 1][1]].strip()
        if part:
            yield _Unit(part, end - start, begins and start == 0)
        start = end


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, _SENTENCES)):
        yield chunk


def _sentences(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The sentences of a file, and whether a paragraph begins with them."""
    waiting, begins = "", True
    for line in lines:
        line = line.strip()
        if not line:
            if waiting:
                yield waiting, begins
            waiting, begins = "", True
            continue
        waiting = f"{waiting} {line}" if waiting else line
        start = 0
        for end in _END.finditer(waiting):
            yield waiting[start : end.end()].strip(), begins
            start, begins = end.end(), False
        waiting = waiting[start:]
        if len(waiting) > _LONG:
            yield waiting, begins
            waiting, begins = "", False
    if waiting:
        yield waiting, begins
