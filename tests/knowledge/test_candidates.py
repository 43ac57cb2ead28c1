"""Candidates for words: what a masked language model expects in their places, asked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from limbeck.config.recipe import DataConfig, TeacherConfig
from limbeck.data.altered import word_spans
from limbeck.data.texts import Texts, gather
from limbeck.errors import TeacherError
from limbeck.knowledge import candidates as asking
from limbeck.knowledge.candidates import _tokens_of_words, candidate_words
from limbeck.knowledge.whole_words import whole_words
from limbeck.teacher.load import Checkpoint, backend_of, look_at

WRITTEN = [
    "The film was lovely, and his dog was warm.",
    "rain by the sea",
    "a story of one man on an island with his dog and the rain",
    "superb!",
    "zebras walked by the sea; zebra film",
    "...",
]


def _texts(written: Sequence[str]) -> Texts:
    return gather("train", [{"text": t} for t in written], "here", DataConfig(), labels=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_tokenizer: Callable[..., Any]) -> Path:
    place = tmp_path_factory.mktemp("masked_lm")
    tokenizer = write_tokenizer(place, extra=[".", ",", "!", ";", "Film"])
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(place)
    return place


@pytest.fixture
def checkpoint(folder: Path) -> Checkpoint:
    return look_at(TeacherConfig(path=str(folder)))


@pytest.fixture
def model(folder: Path) -> Any:
    return BertForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()


def _asked(
    written: Sequence[str], model: Any, checkpoint: Checkpoint, folder: Path, **settings: Any
) -> list[list[list[str]]]:
    settings = {"count": 5, "max_tokens": 32, "folder": folder, **settings}
    return list(candidate_words(_texts(written), model, checkpoint, **settings))


@torch.no_grad()
def _one_by_one(text: str, model: Any, checkpoint: Checkpoint, count: int) -> list[list[str]]:
    """The definition: hide one word, ask, sort, leave out what is no other word."""
    tokenizer: Any = checkpoint.tokenizer
    words = []
    for start, end in word_spans(text):
        inside = tokenizer.tokenize(text[start:end])
        if len(inside) > 1:
            words.append(["several pieces"])
            continue
        hidden = f"{text[:start]}[MASK]{text[end:]}"
        ids = tokenizer(hidden, return_tensors="pt")["input_ids"]
        place = ids[0].tolist().index(tokenizer.mask_token_id)
        order = model(input_ids=ids).logits[0, place].argsort(descending=True).tolist()
        tokens = tokenizer.convert_ids_to_tokens(order)
        fit = [t for t in tokens if t.isalnum() and t.lower() != inside[0].lower()]
        words.append(fit[:count])
    return words


def test_candidates_are_those_of_one_word_hidden_after_the_other(
    model: Any, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """A place too far, padding in the attention or another text's row gives words of nowhere."""
    found = _asked(WRITTEN, model, checkpoint, tmp_path)
    assert len(found) == len(WRITTEN)
    compared = 0
    for text, words in zip(WRITTEN, found, strict=True):
        expected = _one_by_one(text, model, checkpoint, 5)
        for own, wanted in zip(words, expected, strict=True):
            if wanted != ["several pieces"]:
                assert own == wanted
                compared += 1
    assert compared == 32


def test_no_candidate_is_the_word_a_piece_or_a_sign(
    model: Any, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """A copy full of [SEP], ##s and commas teaches about nothing that a user will ever write."""
    found = _asked(WRITTEN, model, checkpoint, tmp_path, count=200)
    pairs = zip(WRITTEN, found, strict=True)
    for text, words in pairs:
        for (start, end), own in zip(word_spans(text), words, strict=True):
            assert all(word.isalnum() for word in own)
            assert text[start:end].casefold() not in [word.casefold() for word in own]
            assert len(own) == len(set(own))


def test_words_of_several_pieces_take_the_nearest_words_of_the_texts(
    model: Any, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """They have no one place that could be hidden; a neighbor by another vector is any word."""
    found = _asked(WRITTEN, model, checkpoint, tmp_path, count=3)
    known = sorted({text[s:e] for text in WRITTEN for s, e in word_spans(text)})
    table = model.get_input_embeddings().weight.detach().numpy().astype(np.float64)
    tokenizer: Any = checkpoint.tokenizer

    def vector(word: str) -> np.ndarray:
        mean = table[tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))].mean(0)
        return mean / np.linalg.norm(mean)

    for word, place in (("zebras", 0), ("zebra", 5)):
        others = [other for other in known if other != word]
        near = sorted(others, key=lambda other, w=word: -float(vector(w) @ vector(other)))
        assert found[4][place] == near[:3]


def test_a_word_behind_the_cut_is_left_alone(
    model: Any, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Nobody was asked about it."""
    found = _asked([WRITTEN[2]], model, checkpoint, tmp_path, max_tokens=7)[0]
    assert [bool(words) for words in found] == [True] * 5 + [False] * (len(found) - 5)


def test_what_was_asked_is_not_asked_again(
    model: Any, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a million words under a large model are hours; a kill costs one file of them."""
    monkeypatch.setattr(asking, "_TEXTS", 2)
    passes: list[int] = []
    real = asking.ask

    def counted(model: Any, batch: Any, family: Any) -> Any:
        passes.append(len(batch.input_ids))
        return real(model, batch, family)

    monkeypatch.setattr(asking, "ask", counted)
    first = _asked(WRITTEN[:5], model, checkpoint, tmp_path)
    assert sum(passes) == 32
    passes.clear()
    assert _asked(WRITTEN[:5], model, checkpoint, tmp_path) == first
    assert passes == []
    grown = _asked([*WRITTEN[:4], "his dog", "warm rain"], model, checkpoint, tmp_path)
    assert sum(passes) == 4
    assert grown[:4] == first[:4]
    passes.clear()
    _asked(WRITTEN[:5], model, checkpoint, tmp_path, count=6)
    assert sum(passes) == 32
    passes.clear()
    with torch.no_grad():
        model.cls.predictions.bias[7] += 1.0
    _asked(WRITTEN[:5], model, checkpoint, tmp_path)
    assert sum(passes) == 32


def test_words_of_many_texts_share_a_pass(
    model: Any, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass a word is as many times slower as there are words in a batch."""
    passes: list[int] = []
    real = asking.ask
    monkeypatch.setattr(
        asking, "ask", lambda *given: passes.append(len(given[1].input_ids)) or real(*given)
    )
    _asked([f"{text} {n}" for n in range(30) for text in WRITTEN], model, checkpoint, tmp_path)
    assert sum(passes) > 900
    assert len(passes) <= -(-sum(passes) // asking._ROWS) + 1


def test_tokens_are_found_in_a_byte_level_tokenizer() -> None:
    """Its tokens hold the space before them, and a whole word is one that begins with it."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "<mask>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(["a lovely film, a dull film. the café"] * 50, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", mask_token="<mask>"
    )
    words = whole_words(wrapped, len(wrapped))
    written = {words.written[token] for token in np.flatnonzero(words.whole)}
    assert {"lovely", "film", "dull", "café", "the"} <= written
    assert not written & {"<mask>", "<pad>", ",", ""}
    text = "a lovely film, the dullest"
    tokens = list(_tokens_of_words(text, backend.encode(text)))
    pieces = [[backend.encode(text).tokens[place] for place in some] for some in tokens]
    assert pieces[1:4] == [["\u0120lovely"], ["\u0120film"], ["\u0120the"]]
    assert len(pieces[4]) > 1
    assert pieces[4][0] == "\u0120dull"


def test_refuses_a_tokenizer_without_a_mask(checkpoint: Checkpoint) -> None:
    """Some other token would be hidden under, and the model would read it as a word."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend_of(checkpoint.tokenizer))
    with pytest.raises(TeacherError, match="no mask token"):
        whole_words(tokenizer, 10)


def _language(count: int, seed: int) -> list[str]:
    """Sentences in which the man, his dog or rain do things, good ones with good words."""
    from tests.conftest import BAD, GOOD

    generator = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        mood = GOOD if generator.random() < 0.5 else BAD
        ends = " and ".join(generator.choice(mood, 2, replace=False))
        subject = generator.choice(["film", "dog", "man", "story"])
        sentences.append(f"the {subject} was {ends}")
    return sentences


def test_a_model_that_knows_a_language_gives_words_that_fit(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Copies with words of another kind are noise: word dropping does that without a model."""
    from tests.conftest import BAD, GOOD

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {**checkpoint.config.to_dict(), "initializer_range": 0.05}
        model: Any = BertForMaskedLM(BertConfig.from_dict(settings))
        optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
        tokenizer: Any = checkpoint.tokenizer
        ids = tokenizer(_language(2000, 0), return_tensors="pt")["input_ids"]
        for _ in range(150):
            rows = ids[torch.randint(len(ids), (64,))]
            hidden = (torch.rand(rows.shape) < 0.25) & (rows > 4)
            labels = rows.where(hidden, -100)
            shown = rows.masked_fill(hidden, tokenizer.mask_token_id)
            model(input_ids=shown, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    found = _asked(
        ["the film was bright and warm", "the dog was awful and dull"], model.eval(),
        checkpoint, tmp_path, count=3,
    )  # fmt: skip
    for words, mood in zip(found, (GOOD, BAD), strict=True):
        assert set(words[1]) <= {"film", "dog", "man", "story"}
        assert set(words[3]) | set(words[5]) <= set(mood)
