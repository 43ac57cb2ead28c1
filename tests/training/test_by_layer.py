"""One layer after the other: each term finds its layer, and none is lost."""

from __future__ import annotations

from tests.training.conftest import Bench

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import AttentionTerm, HardTerm, HiddenTerm
from limbeck.teacher.family import FAMILIES, embedding_module, layer_modules
from limbeck.training.by_layer import layer_tasks, layer_training

BERT = FAMILIES["bert"]


def test_every_pair_is_in_one_task_and_only_its_layer_learns(bench: Bench) -> None:
    """A pair in two tasks is learned twice; one in none, never."""
    model = bench.student(2)
    terms = (
        HiddenTerm(layer_map={0: 0, 1: 2, 2: 4}),
        AttentionTerm(layer_map={2: 4}),
        HardTerm(weight=1.0),
    )
    first, second, whole = layer_tasks(model, BERT, terms)
    layers = layer_modules(model, BERT)
    assert [term.layer_map for term in first.terms] == [{0: 0, 1: 2}]  # type: ignore[union-attr]
    assert first.learning == (layers[0], embedding_module(model, BERT))
    assert [term.layer_map for term in second.terms] == [{2: 4}, {2: 4}]  # type: ignore[union-attr]
    assert second.learning == (layers[1],)
    assert whole.terms == (HardTerm(weight=1.0),)
    assert whole.learning == (model,)
    assert [task.part for task in (first, second, whole)] == ["-layer-1", "-layer-2", "-whole"]


def test_layers_that_no_term_looks_at_are_left_out(bench: Bench) -> None:
    """A training without a lesson moves nothing and takes its time."""
    (task,) = layer_tasks(bench.student(2), BERT, (HiddenTerm(layer_map={2: 4}),))
    assert task.part == "-layer-2"


def test_epochs_are_divided_and_never_none() -> None:
    """The epochs are those of all layers together; a layer without one would stay new."""
    assert layer_training(TrainingConfig(epochs=12), 4).epochs == 3
    assert layer_training(TrainingConfig(epochs=1), 24).epochs == 1
