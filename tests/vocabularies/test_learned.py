"""Tokenizers learned from texts, and what their tokens begin as."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import TeacherConfig
from limbeck.config.student import TokenizerConfig
from limbeck.data.spans import SPECIAL, spans_of
from limbeck.errors import StudentError
from limbeck.student.learned import learn_tokenizer, loses_case
from limbeck.student.pieces import Pieces, pieces_of
from limbeck.student.translated import own_tokens_of, translated_model
from limbeck.teacher.load import Checkpoint, load_classifier, look_at

TEXTS = [
    "the river runs to the sea , and nobody's boat is there",
    "The sea was unbelievably calm, the boat unbelievable",
    "Naïve cafés re-open at 10:30 by the sea",
] * 3


def _learned(
    like: Any, texts: Sequence[str] = TEXTS, kind: str = "wordpiece", **settings: Any
) -> Any:
    wanted = TokenizerConfig.model_validate({"kind": kind, **settings})
    return learn_tokenizer(lambda: iter([texts]), wanted, like, count=len(texts))


@pytest.fixture(scope="module")
def checkpoint(random_teacher: Path) -> Checkpoint:
    return look_at(TeacherConfig(path=str(random_teacher)))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cased byte-level tokenizer, framed as RoBERTa's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(models.BPE(unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    plain.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    plain.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", cls_token="<s>", eos_token="</s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
        model_max_length=48, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


_LEARN = """
import sys
from limbeck.config.student import TokenizerConfig
from limbeck.student.learned import learn_tokenizer
from transformers import AutoTokenizer
like = AutoTokenizer.from_pretrained(sys.argv[1])
wanted = TokenizerConfig(kind=sys.argv[2], size=int(sys.argv[3]))
made = learn_tokenizer(lambda: iter([sys.argv[4:]]), wanted, like, count=9)
sys.stdout.write(made.backend_tokenizer.to_str())
"""


@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 90), ("bpe", 330)])
def test_the_same_texts_give_the_same_tokens_in_another_process(
    random_teacher: Path, checkpoint: Checkpoint, kind: str, size: int
) -> None:
    """The library's WordPiece trainer alone gives others: a resumed run would be another run."""
    command = [sys.executable, "-c", _LEARN, str(random_teacher), kind, str(size), *TEXTS]
    made = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ}
    ).stdout
    assert made == _learned(checkpoint.tokenizer, kind=kind, size=size).backend_tokenizer.to_str()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
@pytest.mark.parametrize("like", ["bert", "roberta"])
def test_special_tokens_stand_where_the_teachers_stand(
    checkpoint: Checkpoint, roberta: Any, kind: str, like: str, tmp_path: Path
) -> None:
    """A student framed otherwise would read its classifying vector off a word."""
    from transformers import AutoTokenizer

    model = checkpoint.tokenizer if like == "bert" else roberta
    _learned(model, kind=kind, size=340).save_pretrained(tmp_path)
    made = AutoTokenizer.from_pretrained(tmp_path)
    for asked in [("sea",), ("sea", "boat")]:
        own, theirs = made(*asked), model(*asked)
        shapes = []
        for one, tokenizer in ((own, made), (theirs, model)):
            sides = one.sequence_ids(0)
            names = tokenizer.convert_ids_to_tokens(one["input_ids"])
            kinds = one.get("token_type_ids", [0] * len(sides))
            whole = [
                (name if side is None else side, kind)
                for name, side, kind in zip(names, sides, kinds, strict=True)
            ]
            shapes.append([one for n, one in enumerate(whole) if n == 0 or one != whole[n - 1]])
        assert shapes[0] == shapes[1]
        assert set(own) == set(theirs)
    for name in ("pad_token", "mask_token", "unk_token", "cls_token", "model_max_length"):
        assert getattr(made, name) == getattr(model, name)
    if like == "roberta":
        assert made.pad_token_id == 1  # its positions are counted from there


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_every_token_of_a_text_has_its_characters(checkpoint: Checkpoint, kind: str) -> None:
    """Nothing could be carried over to a tokenizer without places."""
    made = _learned(checkpoint.tokenizer, kind=kind, size=340).backend_tokenizer
    texts = [*TEXTS[:3], "Ünheard 中 of?"]
    spans = spans_of(made.encode_batch(texts), texts)
    for row, text in enumerate(texts):
        mine = (spans.rows == row) & (spans.sequences != SPECIAL)
        covered = {c for s, e in zip(spans.starts[mine], spans.ends[mine], strict=True)
                   for c in range(s, e)}  # fmt: skip
        assert covered == {place for place, letter in enumerate(text) if not letter.isspace()}


def test_case_is_lost_where_the_teacher_loses_it(checkpoint: Checkpoint, roberta: Any) -> None:
    """A cased student of a teacher that sees no case learns every word twice."""
    assert loses_case(checkpoint.tokenizer)
    assert not loses_case(roberta)
    small, large = (_learned(checkpoint.tokenizer, size=200).encode(t) for t in ("sea", "SEA"))
    assert small == large
    cased = _learned(checkpoint.tokenizer, size=200, lowercase=False)
    assert cased.encode("sea") != cased.encode("SEA")


def test_refuses_a_size_that_does_not_hold_the_letters(checkpoint: Checkpoint) -> None:
    """Letters that are left out would make words unknown that the texts are full of."""
    with pytest.raises(StudentError, match=r"40 tokens are wanted, but \d+ single characters.*and "
                                           r"5 special tokens"):  # fmt: skip
        _learned(checkpoint.tokenizer, size=40)
    with pytest.raises(StudentError, match="261 tokens are wanted, but 256 bytes"):
        _learned(checkpoint.tokenizer, kind="bpe", size=261)


def test_refuses_texts_that_teach_no_piece(checkpoint: Checkpoint) -> None:
    """A vocabulary of letters makes texts many times as long, and nobody asked for that."""
    with pytest.raises(StudentError, match="the 2 texts hold no two characters"):
        _learned(checkpoint.tokenizer, ["ab", "cd"], size=100)


def test_texts_may_fill_less_than_the_size(checkpoint: Checkpoint) -> None:
    """A size is the most: made-up pieces would be rows that no text trains."""
    made = _learned(checkpoint.tokenizer, size=5000)
    assert 60 < len(made) < 200


def _cut(pieces: Pieces, made: Any, teacher: Any, name: str) -> list[str]:
    place = made.convert_tokens_to_ids(name)
    ids = pieces.ids[pieces.offsets[place] : pieces.offsets[place + 1]]
    return teacher.convert_ids_to_tokens(ids.tolist())


def test_tokens_are_made_of_the_teachers_pieces_as_they_stand_in_words(
    checkpoint: Checkpoint, roberta: Any
) -> None:
    """A piece inside a word that begins as the piece at a word's head begins as another word."""
    theirs = checkpoint.tokenizer  # film, sea, was, one, … and letters
    made = _learned(theirs, ["seas wasone", "seasone oneonex"] * 4, size=120)
    pieces = pieces_of(made, theirs)
    assert _cut(pieces, made, theirs, "[CLS]") == ["[CLS]"]
    assert _cut(pieces, made, theirs, "##one") == ["##o", "##n", "##e"]
    assert _cut(pieces, made, theirs, "one") == ["one"]
    assert _cut(pieces, made, theirs, "seas") == ["sea", "##s"]
    assert len(pieces) == len(made)
    made = _learned(theirs, ["the sea", "thesea sea"] * 4, size=120)
    pieces = pieces_of(made, roberta)
    assert _cut(pieces, made, roberta, "sea") == ["Ġsea"]
    inside = _cut(pieces, made, roberta, "##sea")
    assert "".join(inside) == "sea"  # no token of it begins a word


def test_a_tokenizer_learned_from_its_own_kind_shares_tokens_by_name(roberta: Any) -> None:
    """What both have must keep its row to the last bit."""
    made = _learned(roberta, kind="bpe", size=320)
    pieces = pieces_of(made, roberta)
    names, theirs = made.convert_ids_to_tokens(list(range(len(made)))), roberta.get_vocab()
    shared = [name for name in names if name in theirs]
    assert len(shared) > 290
    assert all(_cut(pieces, made, roberta, name) == [name] for name in shared)
    assert pieces.unknown == 0


def test_rows_are_copies_or_means() -> None:
    """A row of several pieces that is a sum has the wrong length, and a copy must be exact."""
    import torch

    table = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    pieces = Pieces(np.array([3, 1, 5, 5, 0]), np.array([0, 1, 4, 4, 5]), same=2, unknown=0)
    rows = pieces.rows(table)
    assert torch.equal(rows[0], table[3])
    assert torch.equal(rows[3], table[0])
    expected = (table[1].double() + 2 * table[5].double()) / 3
    torch.testing.assert_close(rows[1].double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(rows[2], table.mean(0))


def test_a_teacher_with_the_same_tokens_under_other_numbers_says_the_same(
    checkpoint: Checkpoint,
) -> None:
    """The one case in which the translated teacher's answers are known."""
    import json

    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = checkpoint.backend
    tree = json.loads(backend.to_str())
    names = sorted(tree["model"]["vocab"], key=tree["model"]["vocab"].__getitem__)
    turned = names[:5] + names[5:][::-1]
    tree["model"]["vocab"] = {name: place for place, name in enumerate(turned)}
    own = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(tree)),
        **checkpoint.tokenizer.special_tokens_map,
    )
    tokens = own_tokens_of(own, pieces_of(own, checkpoint.tokenizer), checkpoint)
    assert tokens.pieces.same == len(own)
    model = load_classifier(checkpoint)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = translated_model(model, checkpoint, tokens)
    text = "the film was superb rain xyz"
    with torch.inference_mode():
        one = model(**checkpoint.tokenizer(text, return_tensors="pt")).logits
        other = made(**own(text, return_tensors="pt")).logits
    assert torch.equal(one, other)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert made.config.vocab_size == len(own)


@pytest.mark.parametrize("name", ["roberta", "albert", "xlnet", "gpt2", "modernbert", "deberta-v2"])
def test_a_teacher_of_any_family_reads_another_vocabulary(
    tiny: dict[str, dict[str, Any]],
    tmp_path: Path,
    write_tokenizer: Callable[..., Any],
    name: str,
) -> None:
    """A family whose embeddings stand elsewhere would fail only after hours."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    tokenizer = write_tokenizer(tmp_path)
    settings = {**tiny[name], "vocab_size": len(tokenizer), "pad_token_id": 0}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    teacher = look_at(TeacherConfig(path=str(tmp_path)))
    own = _learned(teacher.tokenizer, size=200)
    tokens = own_tokens_of(own, pieces_of(own, teacher.tokenizer), teacher)
    model = load_classifier(teacher)
    made = translated_model(model, teacher, tokens)
    ids = torch.arange(5, 35)[None] + len(own) - 36
    with torch.inference_mode():
        assert made(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.isfinite().all()
    assert tokens.translated.pad_id == own.pad_token_id


def test_refuses_another_padding_number_where_positions_are_counted_from_it(
    tiny: dict[str, dict[str, Any]], tmp_path: Path, write_tokenizer: Callable[..., Any]
) -> None:
    """Every token would be read one place further on than the weights were trained for."""
    from dataclasses import replace

    from transformers import AutoConfig, RobertaForSequenceClassification

    tokenizer = write_tokenizer(tmp_path)
    settings = {**tiny["roberta"], "vocab_size": len(tokenizer)}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    teacher = look_at(TeacherConfig(path=str(tmp_path)))
    own = _learned(teacher.tokenizer, size=200)
    pieces = pieces_of(own, teacher.tokenizer)
    moved = type(teacher.config).from_dict({**teacher.config.to_dict(), "pad_token_id": 7})
    with pytest.raises(StudentError, match="counts positions from behind its padding token"):
        own_tokens_of(own, pieces, replace(teacher, config=moved))
