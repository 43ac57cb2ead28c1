"""What hooks catch is what transformers itself reports, in every family and implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from limbeck.data.batches import Batch
from limbeck.errors import RecipeError, TeacherError
from limbeck.teacher.ask import ask
from limbeck.teacher.attention import check_parts, check_scores, part_width
from limbeck.teacher.family import FAMILIES, Family, head_count, layer_count, layer_modules
from limbeck.teacher.parts import Part, hidden_parts

NAMES = (
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "deberta", "deberta-v2",
    "deberta-v3", "deberta-v2-conv", "distilbert", "albert", "albert-groups", "mobilebert", "xlnet",
    "modernbert", "gpt2", "gpt2-scaled",
)  # fmt: skip
OUTPUT = {  # below a layer, what the context goes into
    "distilbert": "attention.out_lin", "albert": "albert_layers.0.attention.dense",
    "modernbert": "attn.Wo", "gpt2": "attn.c_proj", "mpnet": "attention.attn.o",
}  # fmt: skip


Make = Callable[..., Any]


@pytest.fixture
def make(tiny: dict[str, Any]) -> Make:
    """Makes the model of a name whose attention is not flat, with its family."""

    def made(name: str, attention: str = "eager") -> tuple[Any, Family]:
        config = AutoConfig.for_model(**tiny[name])
        family = FAMILIES[config.model_type]
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            model = AutoModelForSequenceClassification.from_config(
                config, attn_implementation=attention if family.sdpa else "eager"
            )
            # Fresh weights attend to all tokens alike: any mistake would look right.
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.4)
                else:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        return model.eval(), family

    return made


def batch(left: bool, rows: int = 3, tokens: int = 11) -> Batch:
    ids = torch.randint(3, 50, (rows, tokens), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        padding = slice(0, 3 * row) if left else slice(tokens - 3 * row, tokens)
        mask[row, padding] = 0
    ids = ids.where(mask.bool(), 0)
    return Batch(rows=None, input_ids=ids, attention_mask=mask, token_type_ids=None)  # type: ignore[arg-type]


def told(model: Any, asked: Batch) -> Any:
    """What transformers itself reports of an eager model."""
    more = {}
    if model.config.model_type == "gpt2":
        more["position_ids"] = (asked.attention_mask.cumsum(-1) - 1).clamp_min(0)
    return model.base_model(
        input_ids=asked.input_ids,
        attention_mask=asked.attention_mask,
        output_hidden_states=True,
        output_attentions=True,
        return_dict=True,
        **more,
    )


def real_rows(asked: Batch, state: torch.Tensor) -> torch.Tensor:
    """[batch, tokens, ...] at real tokens."""
    return state[asked.attention_mask.bool()]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_hidden_states_are_those_that_transformers_reports(
    make: Make, name: str, attention: str, left: bool
) -> None:
    """A layer off by one, or before a norm that comes after it, is a wrong target."""
    asked, (model, family) = batch(left), make(name, attention)
    layers = range(layer_count(model.config) + 1)
    states = ask(model, asked, family, hidden_parts(layers)).states
    expected = told(make(name)[0], asked).hidden_states
    for layer in layers:
        part = Part("hidden", layer)
        state = real_rows(asked, states[part])
        assert state.shape[-1] == part_width(model.config, part)
        if layer == 0 and model.config.model_type in (
            "albert",
            "electra",
        ):  # transformers' is behind a projection
            continue
        told_state = real_rows(asked, expected[layer])
        size = float(told_state.abs().max())  # MobileBERT has no norms: its states grow
        torch.testing.assert_close(
            state, told_state, atol=1e-5 * max(size, 1), rtol=1e-4, msg=f"layer {layer}"
        )


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_distributions_are_those_that_transformers_reports(
    make: Make, name: str, attention: str, left: bool
) -> None:
    """Recomputed from queries and keys, or caught where positions have a say of their own."""
    asked, (model, family) = batch(left), make(name, attention)
    parts = [Part("attention", layer) for layer in range(1, layer_count(model.config) + 1)]
    states = ask(model, asked, family, parts).states
    expected = told(make(name)[0], asked).attentions
    for part, whole in zip(parts, expected, strict=True):
        ours, theirs = states[part].transpose(1, 2), whole.transpose(1, 2)
        assert ours.shape == (3, 11, head_count(model.config), 11)
        ours, theirs = real_rows(asked, ours), real_rows(asked, theirs)
        assert theirs.std() > 0.01
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4, msg=part.name)


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "xlnet"])
@torch.no_grad()
def test_distributions_times_values_are_what_the_output_projection_takes(
    make: Make, name: str, left: bool
) -> None:
    """Values of another layer, or in another order of heads, would not give the context."""
    asked, (model, family) = batch(left), make(name)
    contexts: list[torch.Tensor] = []
    layers = layer_modules(model, family)
    path = OUTPUT.get(model.config.model_type, "attention.output.dense")
    for layer in layers:
        layer.get_submodule(path).register_forward_pre_hook(
            lambda _module, inputs: contexts.append(inputs[0])
        )
    for number in range(1, layer_count(model.config) + 1):
        contexts.clear()
        parts = (Part("attention", number), Part("values", number))
        states = ask(model, asked, family, parts).states
        shares, values = (states[part] for part in parts)
        assert values.shape == (3, 11, part_width(model.config, parts[1]))
        heads = values.unflatten(-1, (shares.shape[1], -1)).transpose(1, 2)
        context = (shares @ heads).transpose(1, 2).flatten(2)
        torch.testing.assert_close(
            real_rows(asked, context), real_rows(asked, contexts[number - 1]), atol=2e-5, rtol=1e-4
        )


@torch.no_grad()
def test_xlnets_vectors_give_its_context(make: Make) -> None:
    """Its heads stand in parameters, its tokens before its rows."""
    asked, (model, family) = batch(left=True), make("xlnet")
    given: dict[str, torch.Tensor] = {}
    attention = model.transformer.layer[1].rel_attn
    core = attention.rel_attn_core

    def seen(queries: Any, keys: Any, values: Any, *rest: Any, **named: Any) -> Any:
        given.update(queries=queries, keys=keys, values=values)
        return core(queries, keys, values, *rest, **named)

    attention.rel_attn_core = seen
    parts = (Part("queries", 2), Part("keys", 2), Part("values", 2))
    states = ask(model, asked, family, parts).states
    for part in parts:
        torch.testing.assert_close(states[part], given[part.what].transpose(0, 1).flatten(2))


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra"])
@torch.no_grad()
def test_the_last_layers_keys_and_values_leave_the_shortcut_alone(make: Make, name: str) -> None:
    """The last layer for the first token alone still needs every key and value; no query."""
    asked, (model, family) = batch(left=False), make(name, "sdpa")
    widths: list[int] = []
    last = layer_modules(model, family)[-1]
    last.register_forward_hook(lambda _module, _inputs, output: widths.append(output.shape[1]))
    whole = ask(model, asked, family, [Part("hidden", 4), Part("keys", 4)])
    short = ask(model, asked, family, [Part("keys", 4), Part("values", 4)])
    for what in ("queries", "attention"):
        part = Part(what, 4)  # type: ignore[arg-type]
        assert ask(model, asked, family, [part]).states[part].shape[-2] == 11
    assert widths == [11, 1, 11, 11]
    torch.testing.assert_close(short.states[Part("keys", 4)], whole.states[Part("keys", 4)])
    torch.testing.assert_close(short.logits, whole.logits)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_flow_into_what_is_caught(make: Make, name: str) -> None:
    """A student's parts without a gradient would teach it nothing."""
    model, family = make(name)
    torch.manual_seed(0)  # by some of dropout's draws, MobileBERT's attention saturates
    model.train()
    parts = [Part(what, 2) for what in ("hidden", "queries", "keys", "values", "attention")]  # type: ignore[arg-type]
    states = ask(model, batch(left=False), family, parts).states
    first = model.get_input_embeddings().weight
    for part, state in states.items():
        (gradient,) = torch.autograd.grad(
            state.float().square().sum(), first, retain_graph=True, allow_unused=False
        )
        assert gradient.abs().sum() > 0, part.name


def test_every_family_is_held_against_transformers(tiny: dict[str, Any]) -> None:
    """A family that nobody compared may be off by a layer."""
    assert set(tiny) == set(NAMES)
    assert {settings["model_type"] for settings in tiny.values()} == set(FAMILIES)


@torch.no_grad()
def test_asking_leaves_no_hook_behind(make: Make) -> None:
    """One that stayed would keep every batch's states in memory."""
    model, family = make("albert")
    ask(model, batch(left=False), family, [Part("attention", 3), Part("hidden", 0)])
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert hooks == []


@pytest.mark.parametrize(
    ("part", "allowed"),
    [(Part("hidden", 5), "0 to 4"), (Part("queries", 0), "1 to 4"), (Part("attention", 7), "1 to")],
)
def test_refuses_layers_that_a_model_has_not(make: Make, part: Part, allowed: str) -> None:
    """It would fail in the first step, an hour of recording later."""
    model, family = make("bert")
    with pytest.raises(RecipeError, match=f"4 layers\nUse a layer from {allowed}"):
        check_parts(model.config, family, [part], where="objective.terms[0]")


def test_refuses_vectors_of_layers_that_attend_several_times(tiny: dict[str, Any]) -> None:
    """Which of them would be matched?"""
    config = AutoConfig.for_model(**tiny["albert"], inner_group_num=2)
    with pytest.raises(RecipeError, match="attends several times"):
        check_parts(config, FAMILIES["albert"], [Part("keys", 1)], where="objective.terms[0]")
    check_parts(config, FAMILIES["albert"], hidden_parts((1,)), where="objective.terms[0]")


@pytest.mark.parametrize("name", NAMES)
def test_refuses_scores_where_vectors_alone_do_not_give_them(
    tiny: dict[str, Any], name: str
) -> None:
    """Q K^T without positions that are added inside, or of unseen tokens, is a wrong target."""
    config = AutoConfig.for_model(**tiny[name])
    family = FAMILIES[config.model_type]
    if not name.startswith(("mpnet", "deberta", "xlnet", "gpt2", "modernbert")):
        check_scores(config, family, where="objective.terms[0]")
        return
    with pytest.raises(RecipeError, match="its queries and keys do not give them"):
        check_scores(config, family, where="objective.terms[0]")


@torch.no_grad()
def test_refuses_a_class_of_the_users_with_other_modules(make: Make) -> None:
    """An AttributeError from inside a hook would say nothing."""
    model, family = make("bert")
    model.bert.encoder.layer[1].attention.self.project = model.bert.encoder.layer[
        1
    ].attention.self._modules.pop("key")
    with pytest.raises(TeacherError, match="has no module 'key'"):
        ask(model, batch(left=False), family, [Part("keys", 2)])


def test_a_parts_name_leads_back_to_it() -> None:
    """Manifests name parts; another part under the same name is a wrong target."""
    for part in (Part("hidden", 0), Part("queries", 12), Part("attention", 3)):
        assert Part.named(part.name) == part
    for wrong in ("hidden", "hidden_-1", "heads_2", "hidden_x", ""):
        with pytest.raises(ValueError, match="names no part"):
            Part.named(wrong)
