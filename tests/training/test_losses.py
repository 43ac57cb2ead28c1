"""Terms and the functions behind them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.config.terms import HardTerm, HiddenTerm, LogitsTerm
from limbeck.errors import RecipeError
from limbeck.teacher.parts import hidden_parts
from limbeck.training.losses import (
    Counted,
    Inputs,
    make_projections,
    share,
    student_parts,
    teacher_parts,
    term_value,
    with_layer_maps,
)


def test_layers_are_matched_evenly_by_default() -> None:
    """The last student layer must see the last teacher layer."""
    (term,) = with_layer_maps((HiddenTerm(),), 3, 12)
    assert isinstance(term, HiddenTerm)
    assert term.layer_map == {1: 4, 2: 8, 3: 12}
    assert student_parts((term,)) == hidden_parts((1, 2, 3))
    assert teacher_parts((term,)) == hidden_parts((4, 8, 12))


@pytest.mark.parametrize("layer_map", [{3: 14}, {4: 1}, {-1: 2}])
def test_refuses_layers_that_a_model_does_not_have(layer_map: dict[int, int]) -> None:
    """It would fail in the first step, an hour of recording later."""
    with pytest.raises(RecipeError, match=r"objective\.terms\[1\]\.layer_map.*layers \(0 is"):
        with_layer_maps((HardTerm(), HiddenTerm(layer_map=layer_map)), 3, 12)


def test_the_message_is_that_of_the_style_guide() -> None:
    """Where, what was found, what is allowed, what to do."""
    with pytest.raises(RecipeError) as caught:
        with_layer_maps((HardTerm(), HiddenTerm(layer_map={3: 14})), 3, 12)
    assert str(caught.value) == (
        "objective.terms[1].layer_map: student layer 3 is matched to teacher layer 14, but the "
        "teacher has 12 layers (0 is the embedding output, 12 the last)\n"
        "Use a teacher layer from 0 to 12, or delete layer_map to spread the layers evenly."
    )


def _inputs() -> Inputs:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return Inputs(
        student_logits=random(4, 3),
        student_states={part: random(4, 5, 6) for part in hidden_parts((1, 2))},
        labels=torch.tensor([0, 2, -100, 1]),
        attention_mask=torch.tensor([[1, 1, 1, 0, 0]] * 4),
        teacher_logits=random(4, 3),
        teacher_states={part: random(4, 5, 6) for part in hidden_parts((2, 4))},
    )


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
    assert float(term_value(term, inputs)) == pytest.approx(9 * expected.mean(), rel=1e-5)


def test_matched_layers_are_averaged() -> None:
    """A sum would make the term's weight depend on the number of layers."""
    inputs = _inputs()
    term = HiddenTerm(distance="mse", layer_map={1: 2, 2: 4})
    students, teachers = inputs.student_states.values(), inputs.teacher_states.values()
    expected = np.mean(
        [((a - b)[:, :3] ** 2).mean().item() for a, b in zip(students, teachers, strict=True)]
    )
    assert float(term_value(term, inputs)) == pytest.approx(expected, rel=1e-5)


def test_shares_sum_to_one_over_the_parts() -> None:
    """Otherwise a step in parts is another step."""
    parts = [Counted(8, 2, 50), Counted(8, 5, 30)]
    whole = Counted(16, 7, 80)
    for term in (HardTerm(), LogitsTerm(), HiddenTerm()):
        assert sum(share(term, part, whole) for part in parts) == pytest.approx(1.0)
    assert share(HardTerm(), Counted(8, 0, 50), Counted(16, 0, 80)) == 0.0


def test_projections_exist_where_widths_differ() -> None:
    """Without one, widths that differ cannot be compared; with one, equal widths drift."""
    terms = with_layer_maps((HiddenTerm(),), 2, 4)
    assert make_projections(terms, 32, 32, seed=0) is None
    assert make_projections((HardTerm(),), 16, 32, seed=0) is None
    projections = make_projections(terms, 16, 32, seed=0)
    assert projections is not None
    assert sorted(projections) == ["1", "2"]
