"""Texts as token ids: tokenized once, kept in flat files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.block_rows import block_ids, encode_blocks
from limbeck.data.candidates import Candidates, pairs_of
from limbeck.data.encoded import Encoded
from limbeck.data.flat import FlatFile
from limbeck.data.list_rows import list_offsets
from limbeck.data.places import word_places
from limbeck.data.texts import Texts
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.data.window_rows import encode_windows, window_ids
from limbeck.files import read_json, whole_folder, write_json
from limbeck.progress import step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 4096
_LOST = 0.01
"""Share of tagged words that may be lost inside the token of a word with another tag."""


def encode(texts: Texts, tokenizer: Tokenizer, *, max_tokens: int, folder: Path) -> Encoded:
    """The texts' token ids, from `folder` if they were encoded before, else made and kept there.

    Args:
        texts: Any split.
        tokenizer: A `tokenizers.Tokenizer` (a transformers tokenizer's `backend_tokenizer`).
        max_tokens: Longer texts are cut; the special tokens stay.
        folder: Where encoded texts are kept, addressed by texts, tokenizer and `max_tokens`.

    Returns:
        A row a text, but of questions a row a window, of queries a row a candidate, and of running
        text a row a block.
    """
    if texts.reading is not None:
        return encode_blocks(texts, tokenizer, max_tokens=max_tokens, folder=folder)
    if texts.windowing is not None:
        return encode_windows(texts, tokenizer, max_tokens=max_tokens, folder=folder)
    digest = hashlib.blake2b(tokenizer_bytes(tokenizer), digest_size=16)
    digest.update(f"{texts.fingerprint()} {max_tokens}".encode())
    place = folder / digest.hexdigest()
    lists = list_offsets(texts) if texts.listed else None
    rows = len(texts) if lists is None else int(lists[-1])
    if not _whole(place, rows):
        with whole_folder(place) as part:
            _write(part, texts, tokenizer, max_tokens, rows)
    encoded = replace(_open(place), lists=lists)
    if texts.words is None:
        return encoded
    places = word_places(
        texts, texts.words, tokenizer, max_tokens=max_tokens, lost_limit=_LOST, folder=folder
    )
    return replace(encoded, places=places)


def _write(part: Path, texts: Texts, tokenizer: Tokenizer, max_tokens: int, rows: int) -> None:
    offsets = np.zeros(rows + 1, dtype=np.int64)
    row = cut = 0
    types_used = False
    with (
        (part / "ids.bin").open("wb") as ids_file,
        (part / "types.bin").open("wb") as types_file,
        step(f"tokenizing {texts.name}", rows) as progress,
    ):
        for ids, types, was_cut in encoded_rows(texts, tokenizer, max_tokens):
            ids_file.write(np.asarray(ids, dtype=np.int32).tobytes())
            types_file.write(bytes(types))
            types_used = types_used or any(types)
            cut += was_cut
            offsets[row + 1] = offsets[row] + len(ids)
            row += 1
            if row % _CHUNK == 0 or row == rows:
                progress.advance(row - progress.done)
    np.save(part / "offsets.npy", offsets)
    if not types_used:
        (part / "types.bin").unlink()
    write_json(part / "meta.json", {"rows": row, "cut": cut, "max_tokens": max_tokens})


def encoded_rows(
    texts: Texts, tokenizer: Tokenizer, max_tokens: int
) -> Iterator[tuple[list[int], list[int], bool]]:
    """Token ids, segment ids and whether the text was cut, row by row."""
    if texts.reading is not None:
        yield from block_ids(texts, tokenizer, max_tokens)
        return
    if texts.windowing is not None:
        yield from window_ids(texts, tokenizer, max_tokens)
        return
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.no_padding()
    own.enable_truncation(max_tokens)
    paired = texts.paired
    for batch in texts.item_batches(_CHUNK) if paired else texts.text_batches(_CHUNK):
        if texts.listed:
            batch = pairs_of([item for item in batch if isinstance(item, Candidates)])
        for encoding in own.encode_batch(batch):
            yield encoding.ids, encoding.type_ids, bool(encoding.overflowing)


def _whole(place: Path, rows: int) -> bool:
    """Whether every file has the size that it was written with."""
    files = [place / name for name in ("meta.json", "offsets.npy", "ids.bin")]
    if not all(file.exists() for file in files):
        return False
    try:
        meta, offsets = read_json(files[0]), np.load(files[1])
    except (ValueError, EOFError):
        return False
    types = place / "types.bin"
    return (
        len(offsets) == rows + 1 == meta["rows"] + 1
        and files[2].stat().st_size == 4 * int(offsets[-1])
        and (not types.exists() or types.stat().st_size == int(offsets[-1]))
    )


def _open(place: Path) -> Encoded:
    meta = read_json(place / "meta.json")
    types = place / "types.bin"
    return Encoded(
        ids=FlatFile(place / "ids.bin", np.int32),
        type_ids=FlatFile(types, np.uint8) if types.exists() else None,
        offsets=np.load(place / "offsets.npy"),
        cut=meta["cut"],
        max_tokens=meta["max_tokens"],
    )
