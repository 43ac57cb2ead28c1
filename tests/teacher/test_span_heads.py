"""Heads that find answers, in every family: what is asked, and what is read off them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.asked import Asked, Windowing
from limbeck.data.batches import collate
from limbeck.data.encode import encode
from limbeck.data.questions import gather_questions
from limbeck.data.squad import Question
from limbeck.runtime.tokens import Padding
from limbeck.runtime.windows import window_tokens
from limbeck.tasks.head import head_of
from limbeck.teacher.ask import ask, outputs_of
from limbeck.teacher.family import family_of
from limbeck.teacher.head import logits_of, model_class

FAMILIES = [
    "bert", "roberta", "electra", "mpnet", "albert", "deberta-v2", "distilbert", "mobilebert",
    "xlnet", "modernbert",
]  # fmt: skip
WORDS = ["the", "man", "saw", "a", "dog", "on", "an", "island"]


@pytest.fixture(scope="module")
def backend() -> Any:
    """One token a word, framed as BERT's pairs are."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    ids = {word: place for place, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return tokenizer


def _questions() -> list[Question]:
    contexts = [" ".join(WORDS[:4]), " ".join(WORDS * 3), "dog"]
    return [Question(str(n), "saw the man", text, None) for n, text in enumerate(contexts)]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_familys_head_is_read_at_the_places_of_answers(
    tiny: dict[str, dict[str, Any]], backend: Any, name: str, tmp_path: Path
) -> None:
    """A head read at other tokens, or beside the padding, says something about other words."""
    import torch
    from transformers import AutoConfig

    settings = dict(tiny[name])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = AutoConfig.for_model(settings.pop("model_type"), **settings, num_labels=2)
        model = model_class("span").from_config(config).eval()
    model.config.architectures = [type(model).__name__]
    assert head_of(model.config) == "span"
    texts = gather_questions(
        "train", _questions(), "memory", windowing=Windowing(5, 4), labels=True
    )
    encoded = encode(texts, backend, max_tokens=20, folder=tmp_path)
    assert encoded.places is not None
    assert len(encoded) > 3
    family, left = family_of(model.config, "here"), name == "xlnet"
    rows = np.arange(len(encoded))
    batch = collate(encoded, rows, pad_id=0, left=left)
    with torch.inference_mode():
        together = outputs_of(ask(model, batch, family).logits.numpy(), batch, encoded)
        for row in rows.tolist():
            ids = torch.from_numpy(
                encoded.ids[int(encoded.offsets[row]) : int(encoded.offsets[row + 1])].astype(
                    np.int64
                )
            )[None]
            said = model(input_ids=ids, attention_mask=torch.ones_like(ids))
            first, end = encoded.places.offsets[row : row + 2]
            places = encoded.places.places[first:end]
            alone = torch.stack([said.start_logits, said.end_logits], -1)[0].numpy()[places]
            np.testing.assert_allclose(together[row].values, alone, atol=2e-5)
            assert places[0] == 0
            assert ids[0, places[1:]].tolist() == ids[0, places[1] : places[-1] + 1].tolist()


def test_texts_and_served_items_become_the_same_windows(backend: Any, tmp_path: Path) -> None:
    """What is trained on and what is served must be cut alike."""
    questions = _questions()
    texts = gather_questions("train", questions, "memory", windowing=Windowing(5, 4), labels=True)
    encoded = encode(texts, backend, max_tokens=20, folder=tmp_path)
    own = type(backend).from_str(backend.to_str())
    items = [Asked(q.question, q.context, Windowing(5, 4)) for q in questions]
    tokens = window_tokens(own, items, max_tokens=20, types=True)
    assert np.array_equal(tokens.ids, np.asarray(encoded.ids))
    assert np.array_equal(tokens.offsets, encoded.offsets)
    assert encoded.places is not None
    assert tokens.places is not None
    assert np.array_equal(tokens.places, encoded.places.places)
    generator = np.random.default_rng(0)
    for left in (False, True):
        padding = Padding(0, left=left)
        rows = np.arange(len(tokens))
        width = int(tokens.lengths.max())
        logits = generator.normal(size=(len(rows), width, 2)).astype(np.float32)
        outputs = tokens.outputs(logits, rows, padding)
        one, two = tokens.of_items(outputs), encoded.of_texts(outputs)
        assert len(one) == len(questions)
        for name in ("values", "offsets", "spans"):
            assert np.array_equal(getattr(one, name), getattr(two, name))
        context = questions[1].context
        spans = one[1].spans[one[1].spans[:, 0] >= 0]
        assert {context[a:b] for a, b in spans.tolist()} == set(WORDS)


def test_two_tensors_become_one() -> None:
    """Starts first: the other order answers backwards."""
    import torch
    from transformers.modeling_outputs import QuestionAnsweringModelOutput, TokenClassifierOutput

    starts, ends = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])
    both = logits_of(QuestionAnsweringModelOutput(start_logits=starts, end_logits=ends))
    assert both.tolist() == [[[1.0, 3.0], [2.0, 4.0]]]
    assert logits_of(TokenClassifierOutput(logits=starts)) is starts
