import math

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from sklearn.metrics.pairwise import paired_cosine_distances

from limbeck.objective import gap_temperature, logit_kl


@pytest.fixture
def logits():
    """Student's and teacher's, five rows of four classes."""
    return np.random.default_rng(0).normal(scale=3, size=(2, 5, 4))


def temperatures(student, teacher, temperature=4.0, spread=1.0, focus=1.0):
    return gap_temperature(
        torch.as_tensor(student),
        torch.as_tensor(teacher),
        temperature=temperature,
        spread=spread,
        focus=focus,
    )


@pytest.mark.parametrize(("spread", "focus"), [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5), (0.0, 1.0)])
def test_value_is_the_definition(logits, spread, focus):
    """With the sign turned round, the rows that are understood would be put plainly."""
    gaps = [(1 - s @ t / np.sqrt((s @ s) * (t @ t))) ** focus for s, t in zip(*logits, strict=True)]
    expected = 4 + spread * (np.mean(gaps) - gaps)
    np.testing.assert_allclose(temperatures(*logits, 4.0, spread, focus), expected, rtol=1e-5)


def test_value_is_scikit_learns(logits):
    """Our own definition could be wrong in the same way as the code."""
    gaps = paired_cosine_distances(*logits)
    np.testing.assert_allclose(temperatures(*logits), 4 + gaps.mean() - gaps, rtol=1e-5)


def test_mean_is_the_given_temperature(logits):
    """Adapting must not soften the batch as a whole."""
    assert temperatures(*logits).mean().item() == pytest.approx(4)


def test_a_row_that_is_understood_is_hotter_than_one_that_is_not():
    """What it is for."""
    teacher = np.array([[3.0, -1.0, 0.0], [3.0, -1.0, 0.0]])
    found = temperatures(np.stack([teacher[0], -teacher[1]]), teacher)
    assert found.tolist() == pytest.approx([5, 3])


@pytest.mark.parametrize("focus", [0.5, 1.0])
def test_agreement_is_no_nan(logits, focus):
    """A cosine of 1.0000001 has a gap below 0, and its root is NaN."""
    student = np.random.default_rng(1).normal(size=(2000, 4))
    found = temperatures(student, 3 * student, focus=focus)
    np.testing.assert_allclose(found, 4, atol=2e-3)


def test_zero_logits_have_no_direction(logits):
    """A new head says 0 of every class: 0 / 0 is NaN."""
    found = temperatures(np.zeros((5, 4)), logits[1])
    np.testing.assert_allclose(found, 4)


def test_terms_take_the_temperatures(logits):
    """A row's own temperature is what they are for; refused, the term would crash in training."""
    student, teacher = torch.tensor(logits)
    loss = logit_kl(student, teacher, temperature=temperatures(student, teacher, 3.9, 1.9))
    assert torch.isfinite(loss)


def test_no_gradient_flows_through_temperatures(logits):
    """A student could lower the loss by making its own rows cold."""
    sides = [torch.tensor(side, requires_grad=True) for side in logits]
    assert not temperatures(*sides).requires_grad


def test_half_precision_is_reduced_in_float32(logits):
    """Squares of large logits overflow float16."""
    half = torch.tensor(100 * logits).half()
    found = temperatures(*half)
    assert found.dtype == torch.float32
    assert torch.equal(found, temperatures(*half.float()))


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(gap_temperature, typechecker=beartype)
    checked(*torch.tensor(logits), temperature=4.0, spread=1.0, focus=1.0)


@pytest.mark.parametrize("teacher", [(5, 1), (1, 4), (4,), (5, 3)])
def test_refuses_unequal_shapes(teacher):
    """A row's gap to another row's answer says nothing."""
    with pytest.raises(ValueError, match=r"gap_temperature: student_logits .*nothing is broadcast"):
        temperatures(torch.zeros(5, 4), torch.zeros(teacher))


@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4)])
def test_refuses_anything_but_rows_of_classes(shape):
    """A token model's padding would move every temperature."""
    with pytest.raises(ValueError, match=r"gap_temperature: .*\[batch classes\]"):
        temperatures(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("temperature", [0.0, -2.0, math.inf, math.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(temperature):
    """A negative one teaches the opposite order of the classes."""
    with pytest.raises(ValueError, match=r"gap_temperature: temperature is .*positive and finite"):
        temperatures(torch.zeros(5, 4), torch.zeros(5, 4), temperature)


@pytest.mark.parametrize(
    ("spread", "focus"), [(2.0, 1.0), (-0.1, 1.0), (0.5, 0.0), (1.0, 2.0), (math.nan, 1.0)]
)
def test_refuses_a_spread_that_could_bring_a_temperature_to_zero(spread, focus):
    """A row at temperature 0 ends the run in NaN, some thousand steps into it."""
    with pytest.raises(ValueError, match=rf"gap_temperature: .*spread is {spread}.*Lower spread"):
        temperatures(torch.zeros(5, 4), torch.zeros(5, 4), 4.0, spread, focus)
