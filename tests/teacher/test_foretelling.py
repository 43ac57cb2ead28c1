"""Heads that are asked for some places at a time, in every family that has one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from limbeck.errors import TeacherError
from limbeck.tasks.head import head_of
from limbeck.teacher import foretelling
from limbeck.teacher.family import FAMILIES
from limbeck.teacher.foretelling import Wanted, check_head_of_tokens

MASKED = [name for name, one in FAMILIES.items() if one.vocabulary_head and not one.causal]
PLACES = torch.tensor([0, 4, 9, 17, 20, 26])
TOKENS = torch.tensor([3, 6, 7, -1, 9, 20])
LIKELY = torch.tensor([[1, 2, -1], [5, 6, 7], [8, 9, 10], [1, 3, 5], [0, 4, 44], [20, 21, 22]])


def _model(tiny: dict[str, Any], name: str) -> Any:
    config = AutoConfig.for_model(**tiny[name])
    config.bos_token_id = config.eos_token_id = None
    auto = AutoModelForCausalLM if name == "gpt2" else AutoModelForMaskedLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return auto.from_config(config, attn_implementation="eager").eval()


def _inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 50, (3, 9), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize("numbers", [2**24, 100])
@pytest.mark.parametrize(
    "wanted", [Wanted(TOKENS, LIKELY, 0), Wanted(TOKENS, None, 4), Wanted(TOKENS, None, 0)]
)
@pytest.mark.parametrize("name", [*MASKED, "gpt2"])
def test_says_at_places_what_the_whole_logits_say(
    tiny: dict[str, Any], name: str, wanted: Wanted, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that is asked at other places foretells something else, at a plausible loss."""
    monkeypatch.setattr(foretelling, "CHUNK_NUMBERS", numbers)
    model, inputs = _model(tiny, name), _inputs()
    with torch.no_grad():
        whole = model(**inputs).logits.flatten(0, 1)[PLACES]
        with foretelling.foretelling(model, FAMILIES[name], PLACES, wanted) as reduced:
            said = reduced(model(**inputs).logits)
    torch.testing.assert_close(said, wanted.of(whole, slice(None)), atol=1e-5, rtol=1e-4)
    assert "forward" not in vars(model.get_output_embeddings())


def test_gradients_do_not_depend_on_how_many_places_are_asked_at_a_time(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less memory must not train another student."""
    found = []
    for numbers in (2**24, 100):
        monkeypatch.setattr(foretelling, "CHUNK_NUMBERS", numbers)
        model = _model(tiny, "gpt2")
        wanted = Wanted(TOKENS, LIKELY, 0)
        with foretelling.foretelling(model, FAMILIES["gpt2"], PLACES, wanted) as reduced:
            said = reduced(model(**_inputs()).logits)
        said[:, :3].square().sum().backward()
        found.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    torch.testing.assert_close(*found)
    assert found[0].abs().sum() > 0


def test_no_more_logits_than_some_are_ever_held(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 50,000 tokens a batch's logits are gigabytes."""
    monkeypatch.setattr(foretelling, "CHUNK_NUMBERS", 100)
    model, sizes = _model(tiny, "gpt2"), []
    whole = model.lm_head.forward

    def watched(states: torch.Tensor) -> torch.Tensor:
        sizes.append(len(states))
        return whole(states)

    monkeypatch.setattr(model.lm_head, "forward", watched)
    with foretelling.foretelling(model, FAMILIES["gpt2"], PLACES, Wanted(TOKENS, LIKELY, 0)):
        model(**_inputs())
    assert sizes == [2, 2, 2]


def test_heads_are_known_by_the_class_that_made_them(tiny: dict[str, Any]) -> None:
    """A language model that is read as a classifier has a head of chance."""
    causal, masked = (_model(tiny, name).config for name in ("gpt2", "bert"))
    for config, name in ((causal, "GPT2LMHeadModel"), (masked, "BertForMaskedLM")):
        config.architectures = [name]
    assert (head_of(causal), head_of(masked)) == ("causal_lm", "masked_lm")


def test_refuses_heads_that_it_does_not_know() -> None:
    """What such a head says would be read off another module."""

    class Known:
        path = "here"
        config = AutoConfig.for_model("xlnet")
        family = FAMILIES["xlnet"]

    checkpoint: Any = Known()
    with pytest.raises(TeacherError, match="no causal language model"):
        check_head_of_tokens(checkpoint, "causal_lm")
    with pytest.raises(TeacherError, match="no masked-LM head"):
        check_head_of_tokens(checkpoint, "masked_lm")
