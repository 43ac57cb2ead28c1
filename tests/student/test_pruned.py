"""Heads and neurons taken out: the same answers, from fewer numbers, in every family that can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.student import PruningConfig
from limbeck.errors import StudentError, TeacherError
from limbeck.student.pruned import (
    Importance,
    Target,
    by_chance,
    choose,
    embedding_width,
    embeddings_gone,
    factor,
    parameters_gone,
    refuse_unprunable,
    stock_weights,
    whole,
    within,
)
from limbeck.teacher.factored import embedding_table
from limbeck.teacher.family import family_of
from limbeck.teacher.thin import PATHS, Kept, make_thin, save_thin, thin_model

IDS = torch.arange(5, 17).reshape(2, 6)
MASK = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


def _model(tiny: dict[str, dict[str, Any]], model_type: str) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(3)
    settings = {key: value for key, value in tiny[model_type].items() if key != "model_type"}
    config = AutoConfig.for_model(model_type, **settings)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def _answers(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, attention_mask=MASK).logits


def _some(model: Any, family: Any) -> Kept:
    """One head of the first layer and all of the others', other neurons in each."""
    there = whole(model, family)
    heads = [there.heads[0][:1], *there.heads[1:]]
    neurons = [layer[n % 2 :: 2 + n % 2] for n, layer in enumerate(there.neurons)]
    return Kept(tuple(heads), tuple(neurons))


@pytest.mark.parametrize("model_type", list(PATHS))
def test_a_stock_model_with_zeros_answers_as_the_thin_one(
    tiny: dict[str, dict[str, Any]], model_type: str
) -> None:
    """AutoModel must serve a pruned student where no limbeck is installed."""
    if model_type not in tiny:
        pytest.skip(f"no tiny {model_type} among the tests' models")
    model = _model(tiny, model_type)
    before = _answers(model)
    family = family_of(model.config, "here")
    kept = _some(model, family)
    stock = type(model)(model.config).eval()
    count = sum(p.numel() for p in model.parameters())
    make_thin(model, family, kept)
    thin = _answers(model)
    assert sum(p.numel() for p in model.parameters()) < count
    assert not torch.allclose(thin, before, atol=1e-4)
    stock.load_state_dict(stock_weights(model, family, kept, stock))
    torch.testing.assert_close(_answers(stock), thin, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "mpnet", "modernbert"])
def test_taking_out_is_the_same_as_zeros_in_what_writes(
    tiny: dict[str, dict[str, Any]], model_type: str
) -> None:
    """The definition: the other heads' and neurons' outputs are zero."""
    from limbeck.teacher.family import layer_modules
    from limbeck.teacher.thin import head_units, matrices

    model = _model(tiny, model_type)
    family = family_of(model.config, "here")
    kept = _some(model, family)
    with torch.no_grad():
        for layer, heads, neurons in zip(
            layer_modules(model, family), kept.heads, kept.neurons, strict=True
        ):
            found = matrices(layer, model.config)
            gone = np.setdiff1d(
                np.arange(found.writes.in_features), head_units(heads, found.head_size)
            )
            found.writes.weight[:, torch.from_numpy(gone)] = 0
            away = np.setdiff1d(np.arange(found.down.in_features), np.array(neurons))
            found.down.weight[:, torch.from_numpy(away)] = 0
    expected = _answers(model)
    make_thin(model, family, kept)
    torch.testing.assert_close(_answers(model), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("model_type", list(PATHS))
def test_a_stock_model_multiplies_factored_embeddings_out(
    tiny: dict[str, dict[str, Any]], model_type: str, tmp_path: Path
) -> None:
    """No stock config knows a product; its table must be what the product gives, to the digit."""
    from transformers import AutoModelForSequenceClassification

    model = _model(tiny, model_type)
    family = family_of(model.config, "here")
    there = whole(model, family)
    counts = np.arange(1, model.config.vocab_size + 1)
    rank = embedding_width(model.config) // 4
    before = sum(p.numel() for p in model.parameters())
    kept = factor(model, counts, rank)
    assert 0 < kept < 1
    gone = embeddings_gone(model.config, rank)
    assert sum(p.numel() for p in model.parameters()) == before - gone
    there = Kept(there.heads, there.neurons, rank)
    stock = type(model)(model.config).eval()
    stock.load_state_dict(stock_weights(model, family, there, stock))
    torch.testing.assert_close(_answers(stock), _answers(model), atol=1e-5, rtol=0)
    save_thin(model, there, tmp_path)
    again = thin_model(
        AutoModelForSequenceClassification, str(tmp_path), model.config, family, attention="eager"
    )
    assert again is not None
    torch.testing.assert_close(_answers(again.eval()), _answers(model), atol=0, rtol=0)


def test_directions_are_those_of_the_tokens_that_the_texts_hold(
    tiny: dict[str, dict[str, Any]],
) -> None:
    """Rows of the table that no text uses would otherwise take the room of those that all use."""
    model = _model(tiny, "bert")
    table = model.get_input_embeddings().weight.detach().clone()
    counts = np.zeros(len(table))
    counts[5:9] = 1000.0
    factor(model, counts, 6)
    errors = (embedding_table(model) - table).norm(dim=1)
    assert errors[5:9].max() < 0.5 * errors[20:].min()
    whole_again = _model(tiny, "bert")
    assert factor(whole_again, counts, table.shape[1]) == pytest.approx(1.0)
    torch.testing.assert_close(embedding_table(whole_again), table, atol=1e-5, rtol=0)


def test_refuses_a_product_that_is_larger_than_the_table(tiny: dict[str, dict[str, Any]]) -> None:
    """It would cost accuracy and save nothing."""
    with pytest.raises(StudentError, match="more numbers than"):
        refuse_unprunable(PruningConfig(embedding_rank=1000), _model(tiny, "bert").config)


@pytest.mark.parametrize("model_type", list(PATHS))
def test_parameters_are_counted_before_anything_is_built(
    tiny: dict[str, dict[str, Any]], model_type: str
) -> None:
    """A plan that promises another size than the student has is no plan."""
    model = _model(tiny, model_type)
    family = family_of(model.config, "here")
    count = sum(p.numel() for p in model.parameters())
    there = whole(model, family)
    kept = Kept(tuple(layer[:1] for layer in there.heads), tuple(k[:9] for k in there.neurons))
    make_thin(model, family, kept)
    gone = parameters_gone(model.config, heads=1, neurons=9)
    assert sum(p.numel() for p in model.parameters()) == count - gone


def _say_kept(folder: Path, kept: dict[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pruned": kept}))


def test_a_thin_folder_is_read_as_it_was_written(
    tiny: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Exports and services read it; a head in another place would answer otherwise."""
    from transformers import AutoModelForSequenceClassification

    model = _model(tiny, "bert")
    family = family_of(model.config, "here")
    kept = _some(model, family)
    make_thin(model, family, kept)
    save_thin(model, kept, tmp_path)
    again = thin_model(
        AutoModelForSequenceClassification, str(tmp_path), model.config, family, attention="eager"
    )
    assert again is not None
    torch.testing.assert_close(_answers(again.eval()), _answers(model), atol=0, rtol=0)
    _say_kept(tmp_path, {"heads": [[0]], "neurons": [[0]]})
    with pytest.raises(TeacherError, match="of 1 layers, but the model has 4"):
        thin_model(
            AutoModelForSequenceClassification, str(tmp_path), model.config, family,
            attention="eager",
        )  # fmt: skip
    _say_kept(tmp_path, {"heads": [[0]] * 4, "neurons": [[0]] * 4})
    with pytest.raises(TeacherError, match="do not fit"):
        thin_model(
            AutoModelForSequenceClassification, str(tmp_path), model.config, family,
            attention="eager",
        )  # fmt: skip


def test_rounds_count_in_what_the_rounds_before_left() -> None:
    """A second round that counted in the whole model would name heads that are gone."""
    first = Kept(((1, 3),), ((0, 2, 4, 6),))
    assert within(Kept(((1,),), ((0, 3),)), first) == Kept(((3,),), ((0, 6),))


def test_layers_keep_what_the_loss_hangs_on_most() -> None:
    """An equal number a layer would keep idle heads in one and drop busy ones in another."""
    importance = Importance(
        heads=(np.array([0.1, 5.0, 4.0, 3.0]), np.array([0.3, 0.2, 0.1, 0.05])),
        neurons=(np.arange(20.0), np.arange(20.0) / 100),
    )
    now = Kept((tuple(range(4)),) * 2, (tuple(range(20)),) * 2)
    kept = choose(importance, now, Target(heads=2, neurons=10))
    assert kept.heads == ((1, 2, 3), (0,))
    assert [len(layer) for layer in kept.neurons] == [12, 8]
    assert kept.neurons[0] == tuple(range(8, 20))
    untouched = choose(importance, now, Target(neurons=10))
    assert untouched.heads == now.heads


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (0.0, "all zero")])
def test_refuses_importances_that_say_nothing(value: float, said: str) -> None:
    """Cutting by them would be cutting at random."""
    importance = Importance((np.full(4, value),), (np.arange(9.0),))
    with pytest.raises(StudentError, match=said):
        choose(importance, Kept(((0, 1, 2, 3),), (tuple(range(9)),)), Target(heads=1))


def test_refuses_what_is_not_there(tiny: dict[str, dict[str, Any]]) -> None:
    """Before anything is recorded."""
    config = _model(tiny, "bert").config
    with pytest.raises(StudentError, match=r"student\.pruning\.heads"):
        refuse_unprunable(PruningConfig(heads=99), config)
    with pytest.raises(StudentError, match="cannot take heads"):
        refuse_unprunable(PruningConfig(heads=1), _model(tiny, "gpt2").config)


def test_chance_prefers_no_head_and_no_neuron() -> None:
    """A control that kept the first ones would compare with something else than chance."""
    now = Kept((tuple(range(6)),) * 2, (tuple(range(40)),) * 2)
    kept = [choose(by_chance(now, seed), now, Target(heads=2, neurons=9)) for seed in range(60)]
    for layer in range(2):
        counts = np.bincount(np.concatenate([one.heads[layer] for one in kept]), minlength=6)
        assert counts.min() > 0.4 * counts.mean()
    assert by_chance(now, 3).heads[0].tolist() == by_chance(now, 3).heads[0].tolist()
