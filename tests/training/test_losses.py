"""Terms and the functions behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.schedule import Ramp
from limbeck.config.terms import (
    AttentionTerm,
    ExitsTerm,
    HardTerm,
    HiddenTerm,
    LogitsTerm,
    RelationsTerm,
    SimilarityTerm,
    Term,
)
from limbeck.objective import contrastive_nce, relation_kl, similarity_preserving
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.teacher.parts import Part, hidden_parts
from limbeck.training.inputs import Counted, Inputs, Sides
from limbeck.training.layer_maps import Depths
from limbeck.training.losses import share, term_value

SIDES = Sides(
    Depths(2, 4), student_heads=2, teacher_heads=3, first_token=0, seed=7, task=SINGLE_LABEL
)
MASK = torch.tensor([[1, 1, 1, 0, 0]] * 4)


def _inputs(number: int = 1, share: float = 0.0) -> Inputs:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    vectors = [Part(what, n) for n in (1, 2, 3, 4) for what in ("queries", "keys", "values")]  # type: ignore[arg-type]
    return Inputs(
        student_logits=random(4, 3),
        student_states={part: random(4, 5, 6) for part in [*hidden_parts((0, 1, 2)), *vectors]},
        projected={},
        exit_logits={1: random(4, 3)},
        labels=torch.tensor([0, 2, -100, 1]),
        attention_mask=MASK,
        teacher_logits=random(4, 3),
        teacher_states={part: random(4, 5, 6) for part in [*hidden_parts(range(5)), *vectors]},
        number=number,
        share=share,
    )


def _value(term: Term, inputs: Inputs | None = None) -> float:
    return float(term_value(term, inputs or _inputs(), SIDES))


def _softmax(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


@pytest.mark.parametrize("divergence", ["kl", "cross_entropy", "reverse_kl", "jensen_shannon"])
def test_each_divergence_is_the_one_it_is_named_after(divergence: str) -> None:
    """A table that maps a name to its neighbour trains to something plausible."""
    inputs = _inputs()
    term = LogitsTerm.model_validate({"divergence": divergence, "temperature": 3.0})
    assert inputs.teacher_logits is not None
    p = _softmax(inputs.teacher_logits.double().numpy() / 3)
    q = _softmax(inputs.student_logits.double().numpy() / 3)
    m = (p + q) / 2
    expected = {
        "kl": (p * np.log(p / q)).sum(1),
        "cross_entropy": -(p * np.log(q)).sum(1),
        "reverse_kl": (q * np.log(q / p)).sum(1),
        "jensen_shannon": ((p * np.log(p / m)).sum(1) + (q * np.log(q / m)).sum(1)) / 2,
    }[divergence]
    assert _value(term, inputs) == pytest.approx(9 * expected.mean(), rel=1e-5)


def test_matched_layers_are_averaged() -> None:
    """A sum would make the term's weight depend on the number of layers."""
    inputs = _inputs()
    term = HiddenTerm(distance="mse", layer_map={1: 2, 2: 4})
    pairs = [
        (
            inputs.student_states[Part("hidden", student)],
            inputs.teacher_states[Part("hidden", other)],
        )
        for student, other in ((1, 2), (2, 4))
    ]
    expected = np.mean([((a - b)[:, :3] ** 2).mean().item() for a, b in pairs])
    assert _value(term, inputs) == pytest.approx(expected, rel=1e-5)


def test_shares_sum_to_one_over_the_parts() -> None:
    """Otherwise a step in parts is another step."""
    parts = [Counted(8, 8, 2, 50, 320), Counted(8, 8, 5, 30, 120)]
    whole = Counted(16, 16, 7, 80, 440)
    terms: list[Term] = [
        HardTerm(), LogitsTerm(), HiddenTerm(), HiddenTerm(tokens="first"), AttentionTerm(),
        AttentionTerm(distance="kl"), RelationsTerm(), SimilarityTerm(), ExitsTerm(),
    ]  # fmt: skip
    for term in terms:
        assert sum(share(term, part, whole) for part in parts) == pytest.approx(1.0)
    assert share(AttentionTerm(), parts[0], whole) == 320 / 440
    assert share(HardTerm(), Counted(8, 8, 0, 50, 320), Counted(16, 16, 0, 80, 440)) == 0.0


def test_the_first_token_alone_is_that_of_the_text() -> None:
    """Patient KD looks at [CLS]; the padding of a left-padded model is not it."""
    inputs = _inputs()
    term = HiddenTerm(tokens="first", layer_map={1: 2})
    own = inputs.student_states[Part("hidden", 1)]
    other = inputs.teacher_states[Part("hidden", 2)]
    assert _value(term, inputs) == pytest.approx(((own - other)[:, 0] ** 2).mean().item())
    last = Sides(SIDES.depths, 2, 3, first_token=-1, seed=7, task=SINGLE_LABEL)
    expected = ((own - other)[:, -1] ** 2).mean().item()
    assert float(term_value(term, inputs, last)) == pytest.approx(expected)


def test_attention_scores_are_those_of_each_sides_own_heads() -> None:
    """Vectors split into the other model's heads give scores of nothing."""
    inputs = _inputs()
    term = AttentionTerm(heads="mean", layer_map={1: 2})

    def scores(states: Any, layer: int, heads: int) -> np.ndarray:
        queries, keys = (
            states[Part(what, layer)].double().numpy().reshape(4, 5, heads, -1)
            for what in ("queries", "keys")
        )
        found = np.einsum("bihd,bjhd->bhij", queries, keys) / np.sqrt(queries.shape[-1])
        return found.mean(1)[:, :3, :3]

    difference = scores(inputs.student_states, 1, 2) - scores(inputs.teacher_states, 2, 3)
    assert _value(term, inputs) == pytest.approx((difference**2).mean(), rel=1e-5)
    auto = AttentionTerm(layer_map={1: 2})
    assert _value(auto, inputs) == _value(term, inputs)


def test_relations_add_up_and_take_the_students_heads() -> None:
    """MiniLMv2's loss is the sum of its relations' losses."""
    inputs = _inputs()
    term = RelationsTerm(of=("queries", "values"), layer_map={2: 4})
    expected = sum(
        float(
            relation_kl(
                inputs.student_states[Part(what, 2)],
                inputs.teacher_states[Part(what, 4)],
                attention_mask=MASK,
                heads=2,
            )
        )
        for what in ("queries", "values")
    )
    assert _value(term, inputs) == pytest.approx(expected, rel=1e-5)
    assert _value(term.model_copy(update={"heads": 3}), inputs) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("pooled", ["first", "mean"])
def test_rows_are_compared_by_their_first_token_or_the_mean_of_the_real_ones(pooled: str) -> None:
    """A mean over padding would make a row's vector depend on its neighbours' lengths."""
    inputs = _inputs()
    term = SimilarityTerm.model_validate({"pooled": pooled, "layer_map": {2: 4}})
    sides = (inputs.student_states[Part("hidden", 2)], inputs.teacher_states[Part("hidden", 4)])
    rows = [side[:, 0] if pooled == "first" else side[:, :3].mean(1) for side in sides]
    assert _value(term, inputs) == pytest.approx(float(similarity_preserving(*rows)), rel=1e-5)
    contrastive = term.model_copy(update={"of": "contrastive", "temperature": 0.5})
    expected = float(contrastive_nce(*rows, temperature=0.5))
    assert _value(contrastive, inputs) == pytest.approx(expected, rel=1e-5)


def test_a_random_map_is_drawn_anew_in_each_step_and_again_in_the_same_one() -> None:
    """A resumed run must draw what a straight one drew."""
    term = HiddenTerm(layer_map="random")
    values = [_value(term, _inputs(number)) for number in range(1, 12)]
    assert len(set(values)) > 1
    assert values == [_value(term, _inputs(number)) for number in range(1, 12)]


def test_a_learned_map_costs_no_more_than_any_even_one() -> None:
    """Optimal transport is the cheapest way; an even map is one of the ways (twice 2 of 4)."""
    learned = _value(HiddenTerm(layer_map="learned"))
    by_hand = [
        _value(HiddenTerm(layer_map={1: a})) / 4
        + _value(HiddenTerm(layer_map={1: b})) / 4
        + _value(HiddenTerm(layer_map={2: c})) / 4
        + _value(HiddenTerm(layer_map={2: d})) / 4
        for a, b, c, d in ((1, 2, 3, 4), (1, 3, 2, 4), (1, 4, 2, 3), (2, 3, 1, 4), (2, 4, 1, 3),
                           (3, 4, 1, 2))
    ]  # fmt: skip
    assert learned == pytest.approx(min(by_hand), rel=1e-5)


def test_exits_learn_from_labels_and_from_the_last_layer_alone() -> None:
    """If the last layer followed its exits, it would get worse for their sake."""
    inputs = _inputs()
    logits = inputs.student_logits.clone().requires_grad_()
    exit_ = inputs.exit_logits[1].clone().requires_grad_()
    term = ExitsTerm(layers=(1,), temperature=2.0, hard=0.25)
    value = term_value(term, replace(inputs, student_logits=logits, exit_logits={1: exit_}), SIDES)
    value.backward()
    assert logits.grad is None
    assert exit_.grad is not None
    p = _softmax(inputs.student_logits.double().numpy() / 2)
    q = _softmax(inputs.exit_logits[1].double().numpy() / 2)
    soft = 4 * (p * np.log(p / q)).sum(1).mean()
    own = np.log(_softmax(inputs.exit_logits[1].double().numpy()))
    hard = -np.mean([own[0, 0], own[1, 2], own[3, 1]])
    assert float(value.detach()) == pytest.approx(0.25 * hard + 0.75 * soft, rel=1e-5)


def test_a_temperature_follows_its_schedule() -> None:
    """A schedule that is read once would stay where it began."""
    term = LogitsTerm(temperature=Ramp(shape="linear", start=4.0, stop=1.0))
    assert _value(term, _inputs(share=0.0)) == pytest.approx(_value(LogitsTerm(temperature=4.0)))
    assert _value(term, _inputs(share=1.0)) == pytest.approx(_value(LogitsTerm(temperature=1.0)))


@pytest.mark.parametrize("examples", ["teacher_entropy", "teacher_correctness", "student_entropy"])
def test_rows_are_weighted_by_what_the_term_says(examples: str) -> None:
    """Weights that change nothing were not passed on."""
    weighted = LogitsTerm.model_validate({"examples": examples})
    inputs = _inputs()
    assert inputs.teacher_logits is not None
    wrong = (inputs.teacher_logits.argmax(1) + 1) % 3
    inputs = replace(inputs, labels=torch.where(inputs.labels == 2, wrong, inputs.labels))
    assert _value(weighted, inputs) != pytest.approx(_value(LogitsTerm(), inputs), rel=1e-3)
