"""The rows of running text: each is a block, and the blocks of a text stand together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.blocks import Blocks, cut_into_blocks, framing_of
from limbeck.data.encoded import Encoded, Groups
from limbeck.data.flat import FlatFile
from limbeck.data.places import Places
from limbeck.data.texts import Texts
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.errors import DataError
from limbeck.files import read_json, whole_folder, write_json
from limbeck.progress import step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHARACTERS = 2**20
"""Tokenized at a time: an encoding takes some 100 bytes a token."""
_ARRAYS = ("offsets", "places", "place_offsets", "tokens", "groups")


def encode_blocks(texts: Texts, tokenizer: Tokenizer, *, max_tokens: int, folder: Path) -> Encoded:
    """The blocks of a split, from `folder` if they were made before, else made and kept there.

    Args:
        texts: Of `gather_prose`.
        tokenizer: A `tokenizers.Tokenizer`.
        max_tokens: Of a block.
        folder: Where they are kept, addressed by texts, tokenizer, reading and `max_tokens`.

    Raises:
        DataError: If no text has a token that could be foretold.
    """
    digest = hashlib.blake2b(tokenizer_bytes(tokenizer), digest_size=16)
    digest.update(f"blocks {texts.fingerprint()} {max_tokens}".encode())
    place = folder / f"blocks-{digest.hexdigest()}"
    encoded = _kept(place, max_tokens)
    if encoded is None:
        with whole_folder(place) as part:
            _write(part, texts, tokenizer, max_tokens)
        encoded = _kept(place, max_tokens)
        assert encoded is not None
    assert encoded.places is not None
    if not len(encoded.places.places):
        raise DataError(
            texts.name,
            "no text of it has a token that could be foretold: all are of one token",
            "Give longer texts.",
        )
    return encoded


def block_ids(
    texts: Texts, tokenizer: Tokenizer, max_tokens: int
) -> Iterator[tuple[list[int], list[int], bool]]:
    """Token ids, segment ids and False, block by block."""
    for cut in _cut(texts, tokenizer, max_tokens):
        for first, end in zip(cut.offsets[:-1], cut.offsets[1:], strict=True):
            yield cut.ids[first:end].tolist(), [0] * int(end - first), False


def _cut(texts: Texts, tokenizer: Tokenizer, max_tokens: int) -> Iterator[Blocks]:
    assert texts.reading is not None
    own = type(tokenizer).from_str(tokenizer.to_str())
    framing = framing_of(own, max_tokens)
    for chunk in _chunks(texts):
        yield cut_into_blocks(chunk, own, framing, texts.reading)


def _chunks(texts: Texts) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for batch in texts.text_batches(256):
        for text in batch:
            chunk.append(text)
            size += len(text)
            if size >= _CHARACTERS:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _write(part: Path, texts: Texts, tokenizer: Tokenizer, max_tokens: int) -> None:
    kept: dict[str, list[np.ndarray]] = {name: [] for name in _ARRAYS}
    starts = dict.fromkeys(("offsets", "place_offsets", "groups"), 0)
    with (
        (part / "ids.bin").open("wb") as ids,
        step(f"tokenizing {texts.name}", len(texts)) as progress,
    ):
        for cut in _cut(texts, tokenizer, max_tokens):
            ids.write(cut.ids.tobytes())
            for name in _ARRAYS:
                values = getattr(cut, name)
                if name in starts:
                    values = values[1:] + starts[name]
                    starts[name] = int(values[-1]) if len(values) else starts[name]
                kept[name].append(values)
            progress.advance(len(cut.groups) - 1)
    for name, parts in kept.items():
        kind = np.int64 if name in starts else np.int32
        first = [np.zeros(1, dtype=kind)] if name in starts else []
        np.save(part / f"{name}.npy", np.concatenate([*first, *parts]).astype(kind))
    write_json(part / "meta.json", {"texts": len(texts), "max_tokens": max_tokens})


def _kept(place: Path, max_tokens: int) -> Encoded | None:
    """What was written before, if it is whole."""
    try:
        read_json(place / "meta.json")
        offsets, places, ends, tokens, groups = (np.load(place / f"{n}.npy") for n in _ARRAYS)
        whole = (place / "ids.bin").stat().st_size == 4 * int(offsets[-1])
    except (OSError, ValueError, EOFError):
        return None
    if not whole or len(places) != len(tokens) or int(ends[-1]) != len(places):
        return None
    return Encoded(
        ids=FlatFile(place / "ids.bin", np.int32),
        type_ids=None,
        offsets=offsets,
        cut=0,
        max_tokens=max_tokens,
        places=Places(places, ends, 0, 0, 0),
        groups=Groups(groups),
        tokens=tokens,
    )
