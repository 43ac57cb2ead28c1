"""Running text cut into blocks of token ids, and the places at which tokens are foretold.

No token is lost: a text goes on in the next block. Where a tokenizer puts no special token in
front, a block begins with the last token of the one before, so that every token of a text but its
first is foretold exactly once from what stands before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.prose import Reading
from limbeck.errors import DataError, TeacherError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = -1
"""The token of a place where nobody knows what stands."""


@dataclass(frozen=True)
class Blocks:
    """Blocks of texts, one after the other.

    Attributes:
        ids: int32 [tokens of all blocks], as a model is given them.
        offsets: int64 [blocks + 1]: block i is ids[offsets[i]:offsets[i + 1]].
        places: int32 [places], the token of its block whose state foretells.
        place_offsets: int64 [blocks + 1]: block i has places place_offsets[i] to the next.
        tokens: int32 [places], what stands there, or -1.
        groups: int64 [texts + 1]: text i has blocks groups[i] to groups[i + 1].
    """

    ids: np.ndarray
    offsets: np.ndarray
    places: np.ndarray
    place_offsets: np.ndarray
    tokens: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Framing:
    """How a tokenizer's blocks are made.

    Attributes:
        before: Special tokens in front of a text.
        after: Those behind it.
        room: Tokens of the text in a block.
        special: bool [vocabulary], the tokens that are never foretold.
        mask_id: The mask token's, or None.
    """

    before: np.ndarray
    after: np.ndarray
    room: int
    special: np.ndarray
    mask_id: int | None


def framing_of(tokenizer: Tokenizer, max_tokens: int) -> Framing:
    """The frame of a tokenizer's blocks.

    Args:
        tokenizer: Nobody else's: its padding and truncation are changed.
        max_tokens: Of a block, special tokens counted.

    Raises:
        DataError: If a block has no room for two tokens.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    example = tokenizer.encode("a")
    own = np.flatnonzero(np.array(example.special_tokens_mask) == 0)
    ids = np.array(example.ids, dtype=np.int32)
    first, end = (int(own[0]), int(own[-1]) + 1) if len(own) else (len(ids), len(ids))
    added = tokenizer.get_added_tokens_decoder()
    known = [index for index, token in added.items() if token.special]
    size = 1 + max(tokenizer.get_vocab(with_added_tokens=True).values())
    special = np.zeros(size, dtype=bool)
    special[known] = True
    names = {i: token.content.strip("<>[]").casefold() for i, token in added.items()}
    masks = [index for index in known if names[index] == "mask"]
    room = max_tokens - first - (len(ids) - end)
    if room < 2:
        raise DataError(
            "data.max_tokens",
            f"a block of {max_tokens} tokens has room for {room} of the text's own",
            "Set data.max_tokens higher.",
        )
    return Framing(ids[:first], ids[end:], room, special, masks[0] if masks else None)


def cut_into_blocks(
    texts: Sequence[str], tokenizer: Tokenizer, framing: Framing, reading: Reading
) -> Blocks:
    """The blocks of the texts, in memory.

    Args:
        texts: Few enough for that.
        tokenizer: That of the framing.
        framing: From `framing_of`.
        reading: Which tokens are foretold.

    Raises:
        TeacherError: If tokens are to be hidden and there is no mask token.
        DataError: For a text of which the tokenizer leaves nothing at all.
    """
    if reading.how in ("around", "gaps") and framing.mask_id is None:
        raise TeacherError(
            "the tokenizer",
            "it has no mask token, so no word can be hidden",
            "Use a model of masked words, or task causal_language_modeling.",
        )
    rows: list[np.ndarray] = []
    places: list[np.ndarray] = []
    tokens: list[np.ndarray] = []
    groups = [0]
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    for text, encoding in zip(texts, encodings, strict=True):
        for block in _rows(text, np.array(encoding.ids, dtype=np.int32), framing, reading):
            rows.append(block[0])
            places.append(block[1])
            tokens.append(block[2])
        groups.append(len(rows))
    return Blocks(
        ids=_flat(rows),
        offsets=_ends(rows),
        places=_flat(places),
        place_offsets=_ends(places),
        tokens=_flat(tokens),
        groups=np.array(groups, dtype=np.int64),
    )


Block = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Ids of a block, its places, and the tokens that stand there."""


def _rows(text: str, ids: np.ndarray, framing: Framing, reading: Reading) -> Iterator[Block]:
    if not len(ids) + len(framing.before) + len(framing.after):
        raise DataError("a text", f"the tokenizer leaves nothing of {text[:60]!r}", "Delete it.")
    causal = reading.how in ("before", "next")
    shared = causal and not len(framing.before)  # else the first token would never be foretold
    starts = range(0, max(1, len(ids) - shared), framing.room - shared)
    for number, start in enumerate(starts):
        own = ids[start : start + framing.room]
        row = np.concatenate([framing.before, own, framing.after])
        if causal:
            last = reading.how == "next" and number == len(starts) - 1
            yield _from_before(row, len(framing.before) + len(own), framing, ends=last)
        elif reading.how == "gaps":
            gaps = np.flatnonzero(row == framing.mask_id).astype(np.int32)
            yield row, gaps, np.full(len(gaps), UNKNOWN, dtype=np.int32)
        else:
            yield from _hidden(text, number, row, framing, reading)


def _from_before(row: np.ndarray, end: int, framing: Framing, *, ends: bool) -> Block:
    """Each token of the text from those before it; with `ends`, also what comes after the last."""
    place = np.arange(max(1, len(framing.before)), end)
    place = place[~framing.special[row[place]]]
    tokens, places = row[place], place - 1
    if ends:
        tokens, places = np.append(tokens, UNKNOWN), np.append(places, end - 1)
    return row, places.astype(np.int32), tokens.astype(np.int32)


def _hidden(
    text: str, number: int, row: np.ndarray, framing: Framing, reading: Reading
) -> Iterator[Block]:
    """The block with some tokens hidden; in every copy others, until each was hidden once.

    What is hidden depends on the seed, the text and the block's number: on nothing that a trimmed
    vocabulary or another order of the texts would change.
    """
    ordinary = np.flatnonzero(~framing.special[row])
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    draws = np.random.default_rng([reading.seed, int.from_bytes(digest, "little"), number])
    order = draws.permutation(ordinary)
    count = max(1, round(reading.share * len(ordinary)))
    for copy in range(reading.copies):
        places = np.sort(order[copy * count : (copy + 1) * count]).astype(np.int32)
        if copy and not len(places):
            return
        shown = row.copy()
        shown[places] = framing.mask_id
        yield shown, places, row[places]


def _flat(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([*parts, np.zeros(0, dtype=np.int32)]).astype(np.int32)


def _ends(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
