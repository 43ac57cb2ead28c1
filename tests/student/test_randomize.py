"""New weights: nothing of the teacher is left, in any architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.conftest import _TINY
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from limbeck.errors import StudentError
from limbeck.student.randomize import randomize
from limbeck.teacher.family import FAMILIES

INITS = ("normal", "xavier", "kaiming")


def _model(settings: dict[str, Any]) -> Any:
    """A model in which no parameter has the value that a new one has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**settings))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 + 0.1 * torch.randn_like(parameter))
    return model


def test_every_family_is_tried() -> None:
    """A family without a tiny model would not be looked at below."""
    assert {settings["model_type"] for settings in _TINY.values()} == set(FAMILIES)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("name", list(_TINY))
def test_no_parameter_keeps_a_number_of_the_teachers(name: str, init: str) -> None:
    """A student that is said to be new would have learned some of its layers elsewhere."""
    model = _model(_TINY[name])
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    randomize(model, init, torch.Generator().manual_seed(0))
    for key, value in model.named_parameters():
        assert not (value == before[key]).any(), key
        assert value.isfinite().all(), key
        if key.endswith("bias"):
            assert not value.any(), key
    norms = [module for module in model.modules() if "Norm" in type(module).__name__]
    assert norms
    for norm in norms:
        assert (norm.weight == 1).all()
        assert norm.bias is None or not norm.bias.any()


@pytest.mark.parametrize("name", list(_TINY))
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    """A resumed run would go on with another student."""
    models = [_model(_TINY[name]) for _ in range(2)]
    for model, seed in zip(models, (5, 5), strict=True):
        randomize(model, "normal", torch.Generator().manual_seed(seed))
    for one, two in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", ["bert", "gpt2", "xlnet"])
def test_padding_stays_nothing(name: str) -> None:
    """The embedding of padding is no word's; a gradient never reaches it."""
    model = _model(_TINY[name])
    randomize(model, "xavier", torch.Generator().manual_seed(0))
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
            assert not module.weight[module.padding_idx].any()


@pytest.mark.parametrize(
    "layer", [lambda: torch.nn.Linear(300, 500), lambda: Conv1D(500, 300)], ids=["rows", "columns"]
)
@pytest.mark.parametrize(
    ("init", "deviation"),
    [("normal", 0.02), ("xavier", (2 / (300 + 500)) ** 0.5), ("kaiming", (2 / 300) ** 0.5)],
)
def test_new_weights_have_the_published_spread(
    init: str, deviation: float, layer: Callable[[], Any]
) -> None:
    """A wrong spread trains slowly and nobody sees why."""
    linear = layer()
    randomize(linear, init, torch.Generator().manual_seed(0))
    assert linear.weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert not linear.bias.any()


@pytest.mark.parametrize(("init", "deviation"), [("xavier", (2 / 400) ** 0.5), ("kaiming", None)])
def test_matrices_of_many_heads_count_what_they_read(init: str, deviation: float | None) -> None:
    """XLNet keeps [reads, heads, size]; a fan-in of the heads alone is several times too small."""
    settings = {**_TINY["xlnet"], "d_model": 200, "n_head": 4, "d_head": 50, "n_layer": 1}
    model = _model(settings)
    randomize(model, init, torch.Generator().manual_seed(0))
    attention = model.transformer.layer[0].rel_attn
    wanted = deviation if deviation is not None else (2 / 200) ** 0.5
    for matrix in (attention.q, attention.k, attention.v, attention.o, attention.r):
        assert matrix.std().item() == pytest.approx(wanted, rel=0.03)


def test_refuses_what_it_does_not_know() -> None:
    """A parameter that is passed over in silence keeps the teacher's numbers."""
    module = torch.nn.Module()
    module.scale = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(StudentError, match="no new value for scale of a Module"):
        randomize(module, "normal", torch.Generator().manual_seed(0))
