"""Every architecture that limbeck knows: layers are found and cut."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from limbeck.data.batches import Batch
from limbeck.student.cut import taken_weights
from limbeck.teacher.ask import ask
from limbeck.teacher.family import FAMILIES, layer_modules
from limbeck.teacher.load import set_dropout
from limbeck.teacher.parts import hidden_parts

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40, "embedding_size": 8, "pad_token_id": 0,
}  # fmt: skip
OWN = {
    "distilbert": {"dim": 16, "n_layers": 4, "n_heads": 2, "hidden_dim": 24, "vocab_size": 50},
    "xlnet": {"d_model": 16, "n_layer": 4, "n_head": 2, "d_inner": 24, "vocab_size": 50},
    "mobilebert": {**SIZES, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert": {**SIZES, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1,
                   "eos_token_id": 2},
}  # fmt: skip


def _model(family: str, layers: int = 4) -> Any:
    settings = dict(OWN.get(family, SIZES))
    for key in ("num_hidden_layers", "n_layers", "n_layer"):
        if key in settings:
            settings[key] = layers
    config = AutoConfig.for_model(family, **settings)
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(
        config, attn_implementation="eager"
    ).eval()


def _batch() -> Batch:
    ids = torch.randint(3, 50, (2, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return Batch(rows=None, input_ids=ids, attention_mask=mask, token_type_ids=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", [f for f in FAMILIES if not FAMILIES[f].shared_layers])
@torch.no_grad()
def test_taking_every_layer_gives_the_teacher_back(family: str) -> None:
    """The cut must find every weight by its name in every architecture."""
    teacher = _model(family)
    torch.manual_seed(1)
    student = AutoModelForSequenceClassification.from_config(
        teacher.config, attn_implementation="eager"
    ).eval()
    weights = taken_weights(teacher, FAMILIES[family], (1, 2, 3, 4), None)
    missing, unexpected = student.load_state_dict(weights, strict=False)
    assert not missing
    assert not unexpected
    batch = _batch()
    torch.testing.assert_close(
        ask(student, batch, FAMILIES[family]).logits, ask(teacher, batch, FAMILIES[family]).logits
    )


@pytest.mark.parametrize("family", [f for f in FAMILIES if not FAMILIES[f].shared_layers])
def test_half_the_layers_load_without_a_gap(family: str) -> None:
    """A missing weight would be random."""
    teacher = _model(family)
    student = _model(family, layers=2)
    weights = taken_weights(teacher, FAMILIES[family], (1, 3), None)
    missing, _ = student.load_state_dict(weights, strict=False)
    assert not missing
    assert len(layer_modules(student, FAMILIES[family])) == 2


@pytest.mark.parametrize("family", [f for f in FAMILIES if FAMILIES[f].post_norm_bert])
@torch.no_grad()
def test_widths_can_be_cut_where_the_docs_say_so(family: str) -> None:
    """Every weight gets its new shape, and the answers stay nearer than chance."""
    from limbeck.student.narrow import narrow_weights

    teacher = _model(family)
    settings = {**SIZES, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 20}
    config = AutoConfig.for_model(family, **settings)
    student = AutoModelForSequenceClassification.from_config(
        config, attn_implementation="eager"
    ).eval()
    layers = (1, 2, 3, 4)
    weights = taken_weights(teacher, FAMILIES[family], layers, None)
    batches = [_batch()]
    narrow, kept = narrow_weights(
        weights, teacher, FAMILIES[family], batches, layers, student.config
    )
    missing, unexpected = student.load_state_dict(narrow, strict=False)
    assert not missing
    assert not unexpected
    assert 0.5 < kept <= 1.0
    assert ask(student, _batch(), FAMILIES[family]).logits.isfinite().all()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", [f for f in FAMILIES if FAMILIES[f].first_token])
def test_the_last_layer_for_the_first_token_gives_the_same_logits_and_gradients(
    family: str, attention: str
) -> None:
    """A shortcut that changed an answer or a gradient would change every student."""
    model = _model(family)
    model.set_attn_implementation(attention)
    batch = _batch()
    ids, mask = batch.input_ids, batch.attention_mask
    whole = model(input_ids=ids, attention_mask=mask).logits
    whole.square().sum().backward()
    gradients = {n: p.grad for n, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    short = ask(model, batch, FAMILIES[family]).logits
    short.square().sum().backward()
    torch.testing.assert_close(short, whole)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], msg=name)


@pytest.mark.parametrize("family", [f for f in FAMILIES if FAMILIES[f].first_token])
@torch.no_grad()
def test_the_last_layer_is_cut_short_only_while_it_is_asked(family: str) -> None:
    """A model that stayed cut short would export, serve and match hidden states of one token."""
    model = _model(family)
    batch = _batch()
    widths: list[int] = []
    layer = layer_modules(model, FAMILIES[family])[-1]
    handle = layer.register_forward_hook(lambda _m, _i, output: widths.append(output.shape[1]))
    ask(model, batch, FAMILIES[family])
    ask(model, batch, FAMILIES[family], hidden_parts((4,)))
    model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    handle.remove()
    assert widths == [1, 8, 8]
    assert "forward" not in vars(layer)


@torch.no_grad()
def test_a_class_of_the_users_is_computed_whole() -> None:
    """Its head may read every token: the mean of one token is a wrong answer without an error."""
    model = _model("bert")
    batch = _batch()
    widths: list[int] = []
    mine = type("Mine", (type(model),), {"__module__": "mine"})
    model.__class__ = mine
    layer_modules(model, FAMILIES["bert"])[-1].register_forward_hook(
        lambda _m, _i, output: widths.append(output.shape[1])
    )
    ask(model, batch, FAMILIES["bert"])
    assert widths == [8]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_table_knows_whose_attention_can_be_chosen(family: str) -> None:
    """Transformers refuses sdpa for the others, and with it the whole run."""
    assert _model(family)._supports_sdpa == FAMILIES[family].sdpa


def test_the_recipes_dropout_is_every_familys(tiny: dict[str, Any]) -> None:
    """A rate that keeps its old value blurs a student that was to have none."""
    for name, settings in tiny.items():
        config = AutoConfig.for_model(**settings)
        set_dropout(config, 0.37)
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)
        rates = {n: m.p for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout)}
        assert set(rates.values()) == {0.37}, (name, rates)
