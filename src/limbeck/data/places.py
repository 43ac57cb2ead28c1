"""The token that stands for each word: its first one, in every row of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.spans import Spans, spans_of
from limbeck.data.texts import Texts
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.data.words import Words
from limbeck.errors import DataError
from limbeck.files import read_json, whole_folder, write_json
from limbeck.progress import step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 4096
NOWHERE, SHARED = -1, -2
"""Places of words of which there is no token, and of those inside the token of the word before."""


@dataclass(frozen=True)
class Places:
    """Where the words of a split's rows are among their tokens; 4 bytes a word.

    Attributes:
        places: int32 [words], the token of its row (counted from 0, special tokens included) with
            which a word begins; -1 where there is none, -2 where the word is inside the token of
            the one before: it goes on with that word's tag.
        offsets: int64 [rows + 1]: row i has words offsets[i] to offsets[i + 1].
        cut: Words after the end of a text that was cut to `max_tokens`.
        dropped: Words of which the tokenizer leaves nothing, such as zero-width characters.
        shared: Words inside the token of the word before: 国 where 中国 is one token.
    """

    places: np.ndarray
    offsets: np.ndarray
    cut: int
    dropped: int
    shared: int

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True)
class _Found:
    """The words of some rows: places, and why there is none."""

    places: np.ndarray
    cut: np.ndarray
    dropped: np.ndarray
    shared: np.ndarray


def word_places(
    texts: Texts,
    words: Words,
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    lost_limit: float,
    folder: Path,
) -> Places:
    """The first token of each word, from `folder` if they were found before, else kept there.

    The tokens are those that `encode` gives for the same arguments.

    Args:
        texts: A split of `gather_words`.
        words: Its words.
        tokenizer: A `tokenizers.Tokenizer`.
        max_tokens: Longer texts are cut; the special tokens stay.
        lost_limit: Share of tagged words, from 0 to 1, that may be inside the token of a word with
            another tag (`lost_tags`).
        folder: Where they are kept, addressed by texts, words, tokenizer and `max_tokens`.

    Raises:
        DataError: If the tokenizer does not say where its tokens stand, or joins more words of
            different tags than `lost_limit`: they could be neither learned nor told.
    """
    digest = hashlib.blake2b(tokenizer_bytes(tokenizer), digest_size=16)
    digest.update(f"places {texts.fingerprint()} {max_tokens}".encode())
    for array in (words.starts, words.ends, words.offsets):
        digest.update(np.ascontiguousarray(array).tobytes())
    place = folder / f"places-{digest.hexdigest()}"
    found = _kept(place, words)
    if found is None:
        found = _all(texts, words, tokenizer, max_tokens)
        with whole_folder(place) as part:
            np.save(part / "places.npy", found.places)
            counts = {"cut": found.cut, "dropped": found.dropped, "shared": found.shared}
            write_json(part / "meta.json", {"words": len(found.places), **counts})
    lost = lost_tags(words, found)
    if lost.sum() > lost_limit * (words.codes >= 0).sum():
        raise _too_many_lost(lost, texts, words, lost_limit)
    return found


def lost_tags(words: Words, places: Places) -> np.ndarray:
    """Whether a word's tag cannot be told from its token (bool [words]).

    A word inside the token of the word before goes on with its tag: O with O, B-X and I-X with I-X.
    Where that is wrong (two entities of one token), the tag is lost.

    Args:
        words: Of the split.
        places: Of the words.
    """
    codes = {tag: code for code, tag in enumerate(words.written)}
    goes_on = [
        codes.get(f"I-{tag[2:]}", -1) if tag.startswith("B-") else code
        for code, tag in enumerate(words.written)
    ]
    before = np.append(-1, words.codes[:-1])
    expected = np.array([*goes_on, -1], dtype=np.int64)[before]
    return (places.places == SHARED) & (words.codes >= 0) & (words.codes != expected)


def _all(texts: Texts, words: Words, tokenizer: Tokenizer, max_tokens: int) -> Places:
    parts: list[np.ndarray] = []
    cut = dropped = shared = first = 0
    with step(f"placing words of {texts.name}", len(texts)) as progress:
        for spans, truncated in _encoded(texts, tokenizer, max_tokens):
            found = places_of(words.take(np.arange(first, first + len(spans))), spans, truncated)
            parts.append(found.places)
            cut += int(found.cut.sum())
            dropped += int(found.dropped.sum())
            shared += int(found.shared.sum())
            first += len(spans)
            progress.advance(len(spans))
    places = np.concatenate([*parts, np.zeros(0, dtype=np.int32)])
    return Places(places, words.offsets, cut, dropped, shared)


def _encoded(
    texts: Texts, tokenizer: Tokenizer, max_tokens: int
) -> Iterator[tuple[Spans, np.ndarray]]:
    """Spans, and whether each text was cut, chunk by chunk."""
    own = type(tokenizer).from_str(tokenizer.to_str())
    own.no_padding()
    own.enable_truncation(max_tokens)
    for batch in texts.text_batches(_CHUNK):
        encodings = own.encode_batch(batch)
        cut = np.array([bool(encoding.overflowing) for encoding in encodings])
        yield spans_of(encodings, batch), cut


def places_of(words: Words, spans: Spans, truncated: np.ndarray) -> _Found:
    """The words' places among the tokens of the same rows.

    A word's token is the first that holds one of its characters and none of the word's before it.

    Args:
        words: Of the rows; they do not overlap.
        spans: Of the rows' tokens, in the order of their characters.
        truncated: bool [rows], whether a row's text was cut.
    """
    lengths = np.diff(words.offsets)
    rows = np.repeat(np.arange(len(words)), lengths)
    numbers = np.flatnonzero(spans.visible)
    token_rows = spans.rows[numbers]
    highest = [int(array.max(initial=0)) for array in (words.ends, spans.ends)]
    width = max(highest) + 1
    token_starts = token_rows * width + spans.starts[numbers]
    token_ends = np.maximum.accumulate(token_rows * width + spans.ends[numbers])
    starts, ends = rows * width + words.starts, rows * width + words.ends
    before = np.append(0, ends[:-1])  # the row before ends before this one begins
    touching = np.searchsorted(token_ends, starts, side="right")
    alone = np.maximum(touching, np.searchsorted(token_starts, before, side="left"))
    limit = np.append(token_starts, np.iinfo(np.int64).max)
    has_token, has_own = limit[touching] < ends, limit[alone] < ends
    places = np.full(len(rows), NOWHERE, dtype=np.int32)
    own = numbers[alone[has_own]]
    places[has_own] = own - spans.offsets[rows[has_own]]
    places[has_token & ~has_own] = SHARED
    seen = np.zeros(len(words), dtype=np.int64)
    np.maximum.at(seen, token_rows, spans.ends[numbers])
    missing = ~has_token
    cut = missing & truncated[rows] & (words.starts >= seen[rows])
    return _Found(places, cut, missing & ~cut, has_token & ~has_own)


def _kept(place: Path, words: Words) -> Places | None:
    """What was written before, if it is whole."""
    try:
        meta = read_json(place / "meta.json")
        places = np.load(place / "places.npy")
    except (OSError, ValueError, EOFError):
        return None
    if not len(places) == meta["words"] == len(words.starts):
        return None
    return Places(places, words.offsets, meta["cut"], meta["dropped"], meta["shared"])


def _too_many_lost(lost: np.ndarray, texts: Texts, words: Words, limit: float) -> DataError:
    example = int(np.flatnonzero(lost)[0])
    row = int(np.searchsorted(words.offsets, example, side="right")) - 1
    text, tagged = texts.texts[row], int((words.codes >= 0).sum())
    pair = [
        f"{text[words.starts[word] : words.ends[word]]}/{words.written[words.codes[word]]}"
        for word in (example - 1, example)
    ]
    return DataError(
        f"{texts.name}, row {texts.ids[row]}",
        f"the tokenizer joins words of different tags into one token: {int(lost.sum())} of {tagged}"
        f" words ({lost.sum() / tagged:.1%}, allowed are {limit:.1%}), such as {' and '.join(pair)}"
        "; one token has one tag",
        "Use a model whose tokenizer parts such words (BERT's own takes each Chinese character "
        "alone), or tag longer words.",
    )
