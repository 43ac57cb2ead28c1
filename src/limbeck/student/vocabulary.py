"""A tokenizer trimmed to the tokens that the texts need, the rest of it unchanged.

What stays: special and added tokens, single characters (so that no text becomes unknown that
was not before), every token that occurs in the texts, and, for BPE, the tokens that they are
merged from. The result is a normal tokenizer; it is checked on the texts themselves.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.encode import Encoded, encoded_rows
from limbeck.data.texts import Texts
from limbeck.errors import StudentError
from limbeck.teacher.load import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Trimmed:
    """A smaller tokenizer and where its tokens were.

    Attributes:
        tokenizer: The trimmed transformers tokenizer.
        kept: Old id of each new id, int64, rising.
    """

    tokenizer: PreTrainedTokenizerBase
    kept: np.ndarray


def trim_vocabulary(tokenizer: PreTrainedTokenizerBase, encoded: Iterable[Encoded]) -> Trimmed:
    """The tokenizer without the tokens that none of the encoded texts uses.

    Raises:
        StudentError: For a tokenizer model that cannot be trimmed.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        tree = json.loads(path.read_text(encoding="utf-8"))
        size = _size(tree)
        used = np.zeros(size, dtype=bool)
        for part in encoded:
            for start in range(0, len(part.ids), 1 << 22):
                used[part.ids[start : start + (1 << 22)]] = True
        kept = _keep(tree, used)
        _shrink(tree, kept)
        path.write_text(json.dumps(tree, ensure_ascii=False), encoding="utf-8")
        for extra in Path(folder).glob("vocab*"):
            extra.unlink()
        for extra in Path(folder).glob("merges*"):
            extra.unlink()
        with quiet_transformers():
            trimmed = type(tokenizer).from_pretrained(folder)
    return Trimmed(trimmed, kept)


def renumber(config: PreTrainedConfig, kept: np.ndarray) -> None:
    """Give the special tokens that a config names their numbers among `kept` tokens.

    Args:
        config: The student's; changed in place. A token that is not kept is none of it any more.
        kept: Old id of each new id, rising.
    """
    for key, old in config.to_dict().items():
        if key.endswith("_token_id") and isinstance(old, int):
            new = int(np.searchsorted(kept, old))
            known = new < len(kept) and kept[new] == old
            setattr(config, key, new if known else None)


def check_trimmed(trimmed: Trimmed, texts: Texts, encoded: Encoded, *, limit: float) -> int:
    """The number of texts that the trimmed tokenizer cuts otherwise than the whole one.

    Raises:
        StudentError: If more than `limit` of them differ: the student would learn from other
            tokens than the teacher answered.
    """
    from limbeck.teacher.load import backend_of

    rows = encoded_rows(texts, backend_of(trimmed.tokenizer), encoded.max_tokens)
    different = 0
    count = 0
    for row, (ids, _, _) in enumerate(rows):
        count += 1
        if row >= len(encoded):  # other windows, since a text has other tokens
            continue
        old = encoded.ids[int(encoded.offsets[row]) : int(encoded.offsets[row + 1])]
        different += not np.array_equal(trimmed.kept[ids], old)
    different += abs(count - len(encoded))
    if different > limit * len(encoded):
        raise StudentError(
            "student.vocabulary",
            f"{different} of {len(encoded)} texts are tokenized differently after trimming",
            "Use student.vocabulary=full with this tokenizer.",
        )
    return different


def _size(tree: dict[str, Any]) -> int:
    vocabulary = tree["model"]["vocab"]
    ids = list(vocabulary.values()) if isinstance(vocabulary, dict) else range(len(vocabulary))
    return 1 + max([*ids, *(token["id"] for token in tree["added_tokens"])])


def _keep(tree: dict[str, Any], used: np.ndarray) -> np.ndarray:
    model = tree["model"]
    keep = used.copy()
    for token in tree["added_tokens"]:
        keep[token["id"]] = True
    pieces = _pieces(model)
    prefix = model.get("continuing_subword_prefix") or ""
    for piece, index in pieces.items():
        bare = piece.removeprefix(prefix) if prefix else piece
        if len(bare) <= 1 or (piece.startswith("<0x") and piece.endswith(">")):
            keep[index] = True
        if piece == model.get("unk_token"):
            keep[index] = True
    if model["type"] == "Unigram" and model.get("unk_id") is not None:
        keep[model["unk_id"]] = True
    if model["type"] == "BPE":
        _keep_parts(model, pieces, keep)
    return np.flatnonzero(keep)


def _pieces(model: dict[str, Any]) -> dict[str, int]:
    if model["type"] in ("WordPiece", "BPE", "WordLevel"):
        return model["vocab"]
    if model["type"] == "Unigram":
        return {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    raise StudentError(
        "student.vocabulary",
        f"a {model['type']} tokenizer cannot be trimmed",
        "Use student.vocabulary=full.",
    )


def _merge_parts(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _keep_parts(model: dict[str, Any], pieces: dict[str, int], keep: np.ndarray) -> None:
    """Keep what kept tokens are merged from, down to the characters."""
    prefix = model.get("continuing_subword_prefix") or ""
    made_from: dict[str, list[tuple[str, str]]] = {}
    for merge in model["merges"]:
        left, right = _merge_parts(merge)
        made_from.setdefault(left + right.removeprefix(prefix), []).append((left, right))
    waiting = [piece for piece, index in pieces.items() if keep[index]]
    while waiting:
        for pair in made_from.get(waiting.pop(), []):
            for part in pair:
                if not keep[pieces[part]]:
                    keep[pieces[part]] = True
                    waiting.append(part)


def _shrink(tree: dict[str, Any], kept: np.ndarray) -> None:
    new_id = {int(old): new for new, old in enumerate(kept)}
    model = tree["model"]
    if isinstance(model["vocab"], dict):
        pieces = model["vocab"]
        model["vocab"] = {p: new_id[i] for p, i in pieces.items() if i in new_id}
        if "merges" in model:
            model["merges"] = [m for m in model["merges"] if _mergeable(m, model)]
    else:
        model["vocab"] = [entry for i, entry in enumerate(model["vocab"]) if i in new_id]
        if model.get("unk_id") is not None:
            model["unk_id"] = new_id[model["unk_id"]]
    for token in tree["added_tokens"]:
        token["id"] = new_id[token["id"]]
    _renumber(tree.get("post_processor"), new_id)


def _mergeable(merge: str | list[str], model: dict[str, Any]) -> bool:
    left, right = _merge_parts(merge)
    prefix = model.get("continuing_subword_prefix") or ""
    whole = left + right.removeprefix(prefix)
    return all(piece in model["vocab"] for piece in (left, right, whole))


def _renumber(processor: dict[str, Any] | None, new_id: dict[int, int]) -> None:
    """Put new ids into every kind of post-processor that names special tokens."""
    if processor is None:
        return
    for inner in processor.get("processors", []):
        _renumber(inner, new_id)
    for key in ("sep", "cls"):
        if key in processor:
            processor[key][1] = new_id[processor[key][1]]
    special = processor.get("special_tokens")
    if isinstance(special, dict):
        for entry in special.values():
            entry["ids"] = [new_id[index] for index in entry["ids"]]
