"""Models of masked words: logits at the masked places alone, from a head that is really there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from limbeck.config.recipe import TeacherConfig
from limbeck.data.batches import Batch
from limbeck.errors import TeacherError
from limbeck.teacher.ask import ask
from limbeck.teacher.family import FAMILIES
from limbeck.teacher.load import look_at
from limbeck.teacher.masked_lm import check_vocabulary_head, load_masked_lm
from limbeck.teacher.parts import hidden_parts

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40, "embedding_size": 8, "pad_token_id": 0,
}  # fmt: skip
OWN = {
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "vocab_size": 50},
    "mobilebert": {**SIZES, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": {**SIZES, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1,
                   "eos_token_id": 2},
}  # fmt: skip
ABLE = [
    name
    for name, family in FAMILIES.items()
    if family.vocabulary_head is not None and not family.causal
]


def _model(family: str) -> Any:
    config = AutoConfig.for_model(family, **OWN.get(family, SIZES))
    torch.manual_seed(0)
    return AutoModelForMaskedLM.from_config(config, attn_implementation="eager").eval()


def _batch() -> Batch:
    ids = torch.randint(3, 50, (3, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return Batch(None, ids, mask, None, places=torch.tensor([1, 7, 8, 11, 23]))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ABLE)
@torch.no_grad()
def test_logits_at_places_are_those_of_the_whole_model(family: str) -> None:
    """A row too early or too late would teach a neighbour's word."""
    model, batch = _model(family), _batch()
    whole = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    answer = ask(model, batch, FAMILIES[family], hidden_parts((0, 2)))
    torch.testing.assert_close(answer.logits, whole.flatten(0, 1)[batch.places])
    assert answer.states[hidden_parts((2,))[0]].shape[:2] == batch.input_ids.shape
    nowhere = replace(batch, places=torch.zeros(0, dtype=torch.int64))
    assert ask(model, nowhere, FAMILIES[family]).logits.shape == (0, 50)
    again = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert torch.equal(again, whole)  # no hook is left behind


def test_gradients_reach_every_weight_of_the_head() -> None:
    """A head that is asked for places alone must learn like one that is asked for all."""
    model, batch = _model("bert"), _batch()
    ask(model, batch, FAMILIES["bert"]).logits.square().sum().backward()
    parts = {name: value.grad for name, value in model.named_parameters()}
    assert all(gradient is not None and gradient.any() for gradient in parts.values())


def test_refuses_architectures_without_a_known_head() -> None:
    """Logits of another module would be noise of the right shape."""
    checkpoint: Any = type("Checkpoint", (), {})()
    checkpoint.path, checkpoint.family = "here", FAMILIES["gpt2"]
    checkpoint.config = AutoConfig.for_model("gpt2")
    with pytest.raises(TeacherError, match="no masked-LM head of a 'gpt2'"):
        check_vocabulary_head(checkpoint)


def test_refuses_a_checkpoint_without_a_head(random_teacher: Path) -> None:
    """Transformers fills what is missing with random numbers and a warning."""
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    with pytest.raises(TeacherError, match="would be random"):
        load_masked_lm(checkpoint)


def test_a_new_head_is_the_same_every_time(random_teacher: Path) -> None:
    """A resumed training would go on with another head."""
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    before = torch.get_rng_state()
    one, two = (load_masked_lm(checkpoint, new_head=True, seed=3) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    other = load_masked_lm(checkpoint, new_head=True, seed=4)
    name = "cls.predictions.transform.dense.weight"
    weights = [model.state_dict()[name] for model in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
