"""Words that may stand for the words of a text: what a masked language model expects there.

A word that is one token is hidden, and the model's likeliest words in its place are its candidates.
A word of several tokens has no such place; its candidates are the words of the same texts whose
input embeddings are nearest. Answers are kept in files named by the model's and the texts' content,
a thousand texts each: nothing is asked twice, and what was interrupted goes on.

Reference:
    Jiao et al. TinyBERT: Distilling BERT for Natural Language Understanding, 2020, section 3.3 and
    algorithm 1. https://arxiv.org/abs/1909.10351
    Ours: words of several pieces take their neighbours from the model's own input embeddings,
    averaged over the pieces, among the words of the texts; the paper from GloVe's 400,000. A
    candidate is a whole word of letters and digits, and never the word itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from limbeck.data.altered import word_spans
from limbeck.data.batches import batches_by_length
from limbeck.data.encode import Encoded
from limbeck.data.texts import Texts
from limbeck.files import whole_file
from limbeck.knowledge.neighbors import Neighbors
from limbeck.knowledge.whole_words import WholeWords, whole_words
from limbeck.progress import say, step
from limbeck.teacher.ask import ask
from limbeck.teacher.load import fingerprint

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint

_TEXTS = 1024
"""In a file: what a kill can cost."""
_ROWS, _TOKENS = 256, 16_384
_SCHEMA = pa.schema([("candidates", pa.list_(pa.list_(pa.string())))])
Words = list[list[str] | None]
"""A text's candidates, word by word; None for a word of several pieces."""


def candidate_words(
    texts: Texts,
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    *,
    count: int,
    max_tokens: int,
    folder: Path,
) -> Iterator[list[list[str]]]:
    """For every text its words' candidates, at most `count` each, the likeliest first.

    Words are those of `word_spans`. A word behind the cut has none.

    Args:
        texts: Any split.
        model: With a masked-LM head, in eval mode.
        checkpoint: Its tokenizer and family.
        count: Candidates a word (K).
        max_tokens: Where the model's texts are cut.
        folder: Of the recorded answers.
    """
    asker = _Asker(model, checkpoint, count, max_tokens, folder)
    files = [asker.file(batch) for batch in texts.text_batches(_TEXTS)]
    todo = sum(not file.exists() for file in files)
    if todo:
        with step("asking for words in masked places", len(texts)) as bar:
            for file, batch in zip(files, texts.text_batches(_TEXTS), strict=True):
                if not file.exists():
                    asker.record(file, batch)
                bar.advance(len(batch))
    else:
        say("  words for masked places: all recorded")
    return _with_neighbors(texts, files, asker)


def _with_neighbors(
    texts: Texts, files: Sequence[Path], asker: _Asker
) -> Iterator[list[list[str]]]:
    """The recorded candidates, and neighbors for the words of several pieces."""
    wanted: set[str] = set()
    for file, batch in zip(files, texts.text_batches(_TEXTS), strict=True):
        for text, found in zip(batch, _read(file), strict=True):
            spans = zip(word_spans(text), found, strict=True)
            wanted |= {text[start:end] for (start, end), words in spans if words is None}
    neighbors = Neighbors(texts, asker.model, asker.backend, asker.words.prefix)
    near = neighbors.nearest(sorted(wanted), asker.count)
    for file, batch in zip(files, texts.text_batches(_TEXTS), strict=True):
        for text, found in zip(batch, _read(file), strict=True):
            spans = zip(word_spans(text), found, strict=True)
            yield [
                near.get(text[start:end], []) if words is None else words
                for (start, end), words in spans
            ]


@dataclass(frozen=True)
class _Masks:
    """Words of one token to be hidden, one a row.

    Attributes:
        texts: The row's text.
        places: Its token, counted from the text's first.
    """

    texts: np.ndarray
    places: np.ndarray


class _Asker:
    """Asks a model for words, file by file of texts."""

    def __init__(
        self,
        model: PreTrainedModel,
        checkpoint: Checkpoint,
        count: int,
        max_tokens: int,
        folder: Path,
    ) -> None:
        import torch

        self.model, self.checkpoint, self.count = model, checkpoint, count
        self.words: WholeWords = whole_words(checkpoint.tokenizer, int(model.config.vocab_size))
        self.max_tokens = checkpoint.max_tokens(max_tokens)
        self.backend: Tokenizer = type(checkpoint.backend).from_str(checkpoint.backend.to_str())
        self.backend.no_padding()
        self.backend.enable_truncation(self.max_tokens)
        self._no_word = torch.from_numpy(~self.words.whole)
        self._folder = folder
        self._model_name = fingerprint(model, checkpoint.backend)

    def file(self, batch: Sequence[str]) -> Path:
        """Where the answers about these texts are, or belong."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self._model_name} {self.count} {self.max_tokens}".encode())
        for text in batch:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\x00")
        return self._folder / f"{digest.hexdigest()}.arrow"

    def record(self, file: Path, batch: Sequence[str]) -> None:
        """Ask about these texts and keep the answers."""
        table = pa.table({"candidates": pa.array(self._asked(batch), _SCHEMA.field(0).type)})
        with (
            whole_file(file) as part,
            pa.OSFile(str(part), "wb") as sink,
            pa.ipc.new_file(sink, _SCHEMA) as writer,
        ):
            writer.write_table(table)

    def _asked(self, batch: Sequence[str]) -> list[Words]:
        found: list[Words] = []
        homes: list[tuple[int, int, int]] = []
        encodings = self.backend.encode_batch(list(batch))
        for text, (content, encoding) in enumerate(zip(batch, encodings, strict=True)):
            words: Words = []
            for word, tokens in enumerate(_tokens_of_words(content, encoding)):
                words.append(None if len(tokens) > 1 else [])
                if len(tokens) == 1:
                    homes.append((text, word, tokens[0]))
            found.append(words)
        if homes:
            texts, _, places = np.array(homes, dtype=np.int64).T
            answers = self._likeliest(_encoded(encodings, self.max_tokens), _Masks(texts, places))
            for (text, word, _), answer in zip(homes, answers, strict=True):
                found[text][word] = answer
        return found

    def _likeliest(self, encoded: Encoded, masks: _Masks) -> list[list[str]]:
        """The likeliest words in every hidden place; rows of many texts share a pass."""
        import torch

        answers: list[list[str]] = [[]] * len(masks.texts)
        lengths = encoded.lengths[masks.texts]
        with torch.inference_mode():
            for rows in batches_by_length(lengths, rows=_ROWS, tokens=_TOKENS):
                tokens, own = self._answers(encoded, masks.texts[rows], masks.places[rows])
                for row, likely, itself in zip(rows, tokens.tolist(), own.tolist(), strict=True):
                    answers[row] = self._as_words(likely, itself)
        return answers

    def _answers(
        self, encoded: Encoded, texts: np.ndarray, places: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """The likeliest tokens in each row's place, and the token that stood there."""
        import torch

        batch = self.checkpoint.batch(encoded, texts)
        ids, width = batch.input_ids, batch.input_ids.shape[1]
        if self.checkpoint.pads_left:
            places = places + width - encoded.lengths[texts]
        at = torch.from_numpy(np.arange(len(texts)) * width + places)
        own = ids.flatten()[at].clone()
        ids.view(-1)[at] = self.words.mask_id
        asked = replace(batch, places=at)
        logits = ask(self.model, asked, self.checkpoint.family).logits.float()
        logits = logits.masked_fill(self._no_word.to(logits.device), -torch.inf)
        # The word itself may be among them, in several ways of writing it.
        more = min(self.count + self.words.spellings, int(self.words.whole.sum()))
        return logits.topk(more).indices.cpu(), own

    def _as_words(self, tokens: Sequence[int], own: int) -> list[str]:
        """The first `count` words that are not the one of token `own`."""
        itself = self.words.folded[own]
        others = [
            self.words.written[token] for token in tokens if self.words.folded[token] != itself
        ]
        return others[: self.count]


def _tokens_of_words(text: str, encoding: Any) -> Iterator[list[int]]:
    """The tokens of every word of a text: several, or one that is just the word, or none.

    None for what was cut, and where one token holds more than the word.
    """
    spans = []
    for place, (start, end) in enumerate(encoding.offsets):
        if encoding.special_tokens_mask[place]:
            continue
        piece = text[start:end]  # byte-level tokens hold the space before them
        start += len(piece) - len(piece.lstrip())
        if start < end:
            spans.append((start, end, place))
    at = 0
    for start, end in word_spans(text):
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        inside = at
        tokens = []
        while inside < len(spans) and spans[inside][0] < end:
            tokens.append(spans[inside])
            inside += 1
        whole = bool(tokens) and tokens[0][0] == start and tokens[-1][1] == end
        yield [place for _, _, place in tokens] if whole else []


def _encoded(encodings: Sequence[Any], max_tokens: int) -> Encoded:
    lengths = [len(encoding.ids) for encoding in encodings]
    ids = np.concatenate([np.asarray(encoding.ids, dtype=np.int32) for encoding in encodings])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Encoded(ids, None, offsets, 0, max_tokens)


def _read(file: Path) -> list[Words]:
    with pa.OSFile(str(file)) as source:
        return pa.ipc.open_file(source).read_all().column("candidates").to_pylist()
