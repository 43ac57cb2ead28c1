"""The teacher's tokens of which each token of another vocabulary is made.

A student with a tokenizer of its own begins with the teacher's word embeddings all the same: a
token that both have keeps its row, any other starts as the mean of the rows of the tokens into
which the teacher's tokenizer cuts it.

Reference:
    Gee, Zugarini, Rigutini, Torroni. Fast Vocabulary Transfer for Language Model Compression, 2022,
    section 3. https://aclanthology.org/2022.emnlp-industry.41
    Ours: a token inside a word is cut as the teacher cuts it inside a word, whatever marks either
    tokenizer has for that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.student.learned import GOES_ON, special_tokens
from limbeck.teacher.load import backend_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

_ANCHORS = ("q", "x", "a", "w", "0")
"""Beginnings of a word, one of which the teacher keeps apart from what goes on with it."""
_SPACES = ("\u0120", "\u2581")
"""What stands for the space before a word: byte-level BPE's and SentencePiece's."""


@dataclass(frozen=True)
class Pieces:
    """For each token of a student, tokens of its teacher.

    Attributes:
        ids: int64 [pieces], the teacher's.
        offsets: int64 [tokens + 1]: token i is made of ids[offsets[i]:offsets[i + 1]]; of none
            where the teacher has nothing for it.
        same: Tokens that are one token of the teacher's too.
        unknown: Tokens that the teacher does not know.
    """

    ids: np.ndarray
    offsets: np.ndarray
    same: int
    unknown: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, table: Tensor) -> Tensor:
        """Each token's row: of one piece that very row, of several their mean.

        Of none, the mean of the whole table.

        Args:
            table: The teacher's [vocabulary, width], float32.
        """
        import torch

        counts = torch.from_numpy(np.diff(self.offsets)).to(table.device)
        ids = torch.from_numpy(self.ids).to(table.device)
        tokens = torch.arange(len(self), device=table.device).repeat_interleave(counts)
        rows = table.new_zeros(len(self), table.shape[1]).index_add_(0, tokens, table[ids])
        rows /= counts.clamp_min(1)[:, None]
        rows[counts == 0] = table.mean(0)
        return rows


def pieces_of(own: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> Pieces:
    """The teacher's tokens of each token of a learned tokenizer.

    Args:
        own: From `learn_tokenizer`.
        teacher: A fast tokenizer of any kind, with the same special tokens.
    """
    backend = backend_of(teacher)
    theirs = backend.get_vocab(with_added_tokens=True)
    names = [str(name) for name in own.convert_ids_to_tokens(list(range(len(own))))]
    mark, other = _mark(backend_of(own)), _mark(backend)
    special = {str(token) for token in special_tokens(own)}
    found: dict[int, list[int]] = {}
    for place, name in enumerate(names):
        if name in theirs and (name in special or mark == other):
            found[place] = [theirs[name]]
        elif name in special:
            found[place] = []
    left = [place for place in range(len(names)) if place not in found]
    written = {place: _written(names[place], mark) for place in left}
    bare = [place for place in left if written[place] is None]
    found |= {place: _by_bytes(names[place], theirs) for place in bare}
    texts = {place: text for place, text in written.items() if text is not None}
    found |= _cut(texts, backend)
    made = [found[place] for place in range(len(names))]
    none = set() if teacher.unk_token is None else {theirs.get(str(teacher.unk_token))}
    unknown = [
        set(ids) <= none and name not in special for name, ids in zip(names, made, strict=True)
    ]
    return Pieces(
        ids=np.array([number for ids in made for number in ids], dtype=np.int64),
        offsets=np.append(0, np.cumsum([len(ids) for ids in made])).astype(np.int64),
        same=sum(len(ids) == 1 and not odd for ids, odd in zip(made, unknown, strict=True)),
        unknown=sum(unknown),
    )


def _mark(backend: Tokenizer) -> str:
    """How a tokenizer marks where words begin: "##", "Ġ" or "▁"."""
    tree = json.loads(backend.to_str())
    if tree["model"]["type"] == "WordPiece":
        return str(tree["model"]["continuing_subword_prefix"])
    steps = json.dumps([tree["pre_tokenizer"], tree["decoder"]])
    return _SPACES[0] if "ByteLevel" in steps else _SPACES[1]


def _written(name: str, mark: str) -> tuple[str, bool] | None:
    """A token as text, and whether a word begins with it; None for half a character."""
    if mark == GOES_ON:
        return name.removeprefix(GOES_ON), not name.startswith(GOES_ON)
    begins = name.startswith(mark)
    values = _byte_values()
    try:
        text = bytes(values[character] for character in name).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None
    return text.strip() or text, begins


def _byte_values() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + number): byte for number, byte in enumerate(rest)
    }


def _by_bytes(name: str, theirs: dict[str, int]) -> list[int]:
    """A token that is no text, as the teacher's single bytes if it has such."""
    return [theirs[byte] for byte in name] if all(byte in theirs for byte in name) else []


def _cut(texts: dict[int, tuple[str, bool]], backend: Tokenizer) -> dict[int, list[int]]:
    """Written tokens as the teacher's tokenizer cuts them, at the head of a word or inside one."""
    plain = type(backend).from_str(backend.to_str())
    plain.no_padding()
    plain.no_truncation()
    found: dict[int, list[int]] = {}
    inside = [place for place, (_, begins) in texts.items() if not begins]
    for anchor in _ANCHORS:
        asked = [place for place in inside if place not in found]
        answers = _encodings(plain, [anchor + texts[place][0] for place in asked])
        for place, encoding in zip(asked, answers, strict=True):
            if len(encoding.ids) > 1 and encoding.offsets[0] == (0, len(anchor)):
                found[place] = list(encoding.ids[1:])
    asked = [place for place in texts if place not in found]
    answers = _encodings(plain, [" " + texts[place][0] for place in asked])
    for place, encoding in zip(asked, answers, strict=True):
        pairs = zip(encoding.ids, encoding.tokens, strict=True)
        shown = [number for number, token in pairs if token not in _SPACES]
        found[place] = shown or list(encoding.ids)
    return found


def _encodings(backend: Tokenizer, texts: Sequence[str]) -> Sequence[Any]:
    return backend.encode_batch(list(texts), add_special_tokens=False) if texts else []
