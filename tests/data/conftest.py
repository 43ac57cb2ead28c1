"""Makes small splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.raw_labels import ONE_LABEL
from limbeck.data.texts import Texts, gather


@pytest.fixture(scope="session")
def texts_of() -> Callable[..., Texts]:
    """Makes `Texts` of texts and, if given, labels."""

    def make(texts: Sequence[str], labels: Sequence[object] | None = None, name: str = "train"):
        rows = [
            {"text": text} | ({} if labels is None else {"label": labels[place]})
            for place, text in enumerate(texts)
        ]
        return gather(
            name, rows, "memory", DataConfig(), labels=ONE_LABEL if labels is not None else None
        )

    return make


LETTERS = "aábcdefghiklmnoprstuvwy"
MIXED = [
    "the river runs to the sea , and nobody's boat is there", "the sea was unbelievably calm",
    "das Meer 中国 国籍 京都の海 1966年出生", "naïve cafés re-open at 10:30", "中国人在海边 runs",
    "boat there was calm; the river nobody believes", "ab ba abba baab", LETTERS, " ".join(LETTERS),
]  # fmt: skip


@pytest.fixture(scope="session")
def made_tokenizers() -> dict[str, Any]:
    """WordPiece, byte-level BPE (trimmed and not) and unigram, trained on a few sentences."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    def framed(tokenizer: Any, opening: str, closing: str) -> Any:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{opening} $A {closing}",
            pair=f"{opening} $A {closing} $B:1 {closing}:1",
            special_tokens=[(t, tokenizer.token_to_id(t)) for t in (opening, closing)],
        )
        return tokenizer

    piece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    piece.normalizer = normalizers.BertNormalizer(lowercase=True)
    piece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    piece.train_from_iterator(
        MIXED * 3,
        trainers.WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False),
    )
    made = {"wordpiece": framed(piece, "[CLS]", "[SEP]")}
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    for name, trimmed in (("bytes", True), ("bytes-spaced", False)):
        level = Tokenizer(models.BPE())
        level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        level.train_from_iterator(
            MIXED * 3,
            trainers.BpeTrainer(
                vocab_size=330,
                special_tokens=special,
                initial_alphabet=alphabet,
                show_progress=False,
            ),
        )
        level.post_processor = processors.RobertaProcessing(
            ("</s>", 2), ("<s>", 0), trim_offsets=trimmed, add_prefix_space=False
        )
        made[name] = level
    unigram = Tokenizer(models.Unigram())
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.train_from_iterator(
        MIXED * 3,
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    made["unigram"] = framed(unigram, "<s>", "</s>")
    return made
