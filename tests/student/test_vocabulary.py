"""Trimmed vocabularies of every tokenizer model, checked against the whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from limbeck.config.recipe import DataConfig
from limbeck.data.encode import encode
from limbeck.data.texts import Texts, gather
from limbeck.errors import StudentError
from limbeck.student.vocabulary import Trimmed, check_trimmed, renumber, trim_vocabulary

CORPUS = [
    "the film was lovely and the story of the dog was warm",
    "a dull, clumsy story about rain; dreadful acting throughout!",
    "walking, walked, walker: morphology makes subwords",
    "naïve café owners paid 25 % more in 2019",
]
TEXTS = ["the film was warm", "a dull story about walking", "rain, rain and 25 dogs"]


def _bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 5, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        unk_token="<unk>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=180,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


MAKERS = {"bpe": _bpe, "unigram": _unigram, "wordpiece": _wordpiece}


@pytest.fixture(params=list(MAKERS))
def trimmed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Trimmed, Texts, Any]:
    """The whole tokenizer, the trimmed one, the texts, and their ids under the whole one."""
    whole = PreTrainedTokenizerFast(
        tokenizer_object=MAKERS[request.param](),
        bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip
    texts = gather("train", [{"text": t} for t in TEXTS], "-", DataConfig(), labels=None)
    ids = encode(texts, whole.backend_tokenizer, max_tokens=64, folder=tmp_path)
    return whole, trim_vocabulary(whole, [ids]), texts, ids


def test_the_texts_keep_their_tokens(trimmed: tuple[Any, Trimmed, Texts, Any]) -> None:
    """The student must learn from just the tokens that the teacher answered."""
    whole, small, texts, ids = trimmed
    assert len(small.kept) < len(whole)
    assert check_trimmed(small, texts, ids, limit=0.0) == 0
    for text in TEXTS:
        old = whole.convert_ids_to_tokens(whole(text)["input_ids"])
        assert small.tokenizer.convert_ids_to_tokens(small.tokenizer(text)["input_ids"]) == old


def test_new_texts_are_readable(trimmed: tuple[Any, Trimmed, Texts, Any]) -> None:
    """Rarer words fall into smaller pieces, but none becomes unknown that was known."""
    whole, small, _, _ = trimmed
    for text in CORPUS:
        unknown = small.tokenizer(text)["input_ids"].count(small.tokenizer.unk_token_id)
        assert unknown <= whole(text)["input_ids"].count(whole.unk_token_id)


def test_special_tokens_keep_their_roles(
    trimmed: tuple[Any, Trimmed, Texts, Any], tmp_path: Path
) -> None:
    """Saved and loaded by transformers, with the new ids in the post-processor."""
    _, small, _, _ = trimmed
    small.tokenizer.save_pretrained(tmp_path / "saved")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    ids = loaded("the film")["input_ids"]
    assert loaded.convert_ids_to_tokens([ids[0], ids[-1]]) == ["<s>", "</s>"]
    assert loaded.pad_token == "<pad>"
    assert max(ids) < len(small.kept)
    assert len(loaded) == len(small.kept)


def test_ids_rise_with_the_old_ones(trimmed: tuple[Any, Trimmed, Texts, Any]) -> None:
    """Rows of the embedding table are taken by `kept`: new id i is old id kept[i]."""
    whole, small, _, _ = trimmed
    assert (np.diff(small.kept) > 0).all()
    tokens = small.tokenizer.convert_ids_to_tokens(list(range(len(small.kept))))
    assert tokens == whole.convert_ids_to_tokens(small.kept.tolist())


def test_refuses_a_tokenizer_that_cuts_texts_otherwise(
    trimmed: tuple[Any, Trimmed, Texts, Any],
) -> None:
    """Shown on texts that the trimming was not told of: their tokens are gone."""
    whole, small, _, _ = trimmed
    import tempfile

    other = gather("train", [{"text": t} for t in CORPUS], "-", DataConfig(), labels=None)
    with tempfile.TemporaryDirectory() as folder:
        ids = encode(other, whole.backend_tokenizer, max_tokens=64, folder=Path(folder))
        with pytest.raises(StudentError, match=r"of 4 texts are tokenized differently"):
            check_trimmed(small, other, ids, limit=0.1)


def test_special_tokens_of_the_config_get_their_new_numbers() -> None:
    """A decoder that looks for the old padding token would read its answers off the padding."""
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=50, pad_token_id=48, eos_token_id=49, bos_token_id=7)
    renumber(config, np.array([0, 3, 5, 48, 49]))
    assert (config.pad_token_id, config.eos_token_id, config.bos_token_id) == (3, 4, None)
