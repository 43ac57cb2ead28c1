import math

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.stats import hmean

from limbeck.objective import balanced_term_weights

NORMS = np.array([0.02, 3.0, 0.5, 40.0])
RATIOS = np.array([0.9, 0.2, 0.5, 0.1])


def weights(norms=NORMS, ratios=None, strength=0.0):
    return balanced_term_weights(
        torch.as_tensor(norms),
        loss_ratios=None if ratios is None else torch.as_tensor(ratios),
        strength=strength,
    )


@pytest.mark.parametrize("strength", [0.0, 0.12, 1.5])
def test_value_is_the_definition(strength):
    """Weights that follow the norms, and not their inverse, drown the small terms altogether."""
    wanted = [(ratio / np.mean(RATIOS)) ** strength for ratio in RATIOS]
    inverse = [want / norm for want, norm in zip(wanted, NORMS, strict=True)]
    expected = np.array(inverse) / np.mean(inverse)
    np.testing.assert_allclose(weights(ratios=RATIOS, strength=strength), expected, rtol=1e-5)


def test_without_ratios_each_weight_is_scipys_harmonic_mean_over_its_norm():
    """The closed form of inverse norms with a mean of 1."""
    np.testing.assert_allclose(weights(), hmean(NORMS) / NORMS, rtol=1e-5)


def test_weighted_terms_move_the_student_equally():
    """GradNorm's balance: a fixed point of the weights it descends to."""
    moved = weights().double().numpy() * NORMS
    np.testing.assert_allclose(moved, moved[0], rtol=1e-5)


def test_weighted_terms_move_the_student_by_how_far_they_lag():
    """The paper's target: mean norm times r^alpha."""
    moved = weights(ratios=RATIOS, strength=1.5).double().numpy() * NORMS
    np.testing.assert_allclose(moved / moved[0], (RATIOS / RATIOS[0]) ** 1.5, rtol=1e-5)


@pytest.mark.parametrize("ratios", [None, RATIOS])
def test_mean_is_one(ratios):
    """Balancing must not change the learning rate."""
    assert weights(ratios=ratios, strength=0.5).mean().item() == pytest.approx(1)


def test_equal_norms_change_nothing():
    """An objective in balance must stay as it is."""
    torch.testing.assert_close(weights(np.full(3, 7.0)), torch.ones(3))


def test_a_term_that_moves_nothing_keeps_one():
    """1 / 0 would give it all the weight, at the step on which it wakes up."""
    found = weights(np.array([0.0, 1.0, 3.0]))
    torch.testing.assert_close(found, torch.tensor([1.0, 1.5, 0.5]))
    torch.testing.assert_close(weights(np.zeros(3)), torch.ones(3))


def test_ratios_of_zero_leave_weights_that_are_numbers():
    """A run that has learned all it can must not end in NaN."""
    found = weights(ratios=np.zeros(4), strength=0.5)
    torch.testing.assert_close(found, torch.ones(4))


def test_order_of_the_terms_does_not_matter():
    """A weight must be its own term's."""
    order = [2, 0, 3, 1]
    found = weights(NORMS[order], RATIOS[order], 0.5)
    torch.testing.assert_close(found, weights(ratios=RATIOS, strength=0.5)[order])


def test_weights_have_no_gradient_and_are_float32():
    """Weights that learn would all go to 0."""
    norms = torch.tensor(NORMS, dtype=torch.float16, requires_grad=True)
    found = balanced_term_weights(norms, strength=0.0)
    assert not found.requires_grad
    assert found.dtype == torch.float32


def test_shapes_are_those_of_the_signature():
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(balanced_term_weights, typechecker=beartype)
    checked(torch.tensor(NORMS), strength=0.5)
    checked(torch.tensor(NORMS), loss_ratios=torch.tensor(RATIOS), strength=0.5)


@pytest.mark.parametrize("shape", [(), (0,), (2, 4)])
def test_refuses_anything_but_one_norm_a_term(shape):
    """Norms of several tensors are to be brought to one first."""
    with pytest.raises(ValueError, match=r"balanced_term_weights: gradient_norms has shape .*Pass"):
        balanced_term_weights(torch.ones(shape), strength=0.0)


def test_refuses_ratios_of_other_terms():
    """Broadcasting would let all lag as the one."""
    with pytest.raises(ValueError, match=r"loss_ratios has shape \(1,\).*which is \(4,\)"):
        weights(ratios=np.ones(1), strength=0.5)


@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
def test_refuses_norms_and_ratios_that_are_no_measures(wrong):
    """One NaN makes every weight NaN, and with them the student."""
    broken = np.array([1.0, wrong, 1.0, 1.0])
    with pytest.raises(ValueError, match=rf"gradient_norms contains {wrong}.*Leave out the term"):
        weights(broken)
    with pytest.raises(ValueError, match=rf"loss_ratios contains {wrong}.*Leave out the term"):
        weights(ratios=broken, strength=0.5)


@pytest.mark.parametrize("strength", [-0.1, math.inf, math.nan])
def test_refuses_a_strength_that_is_negative_or_not_finite(strength):
    """A negative one drops the terms that lag behind."""
    with pytest.raises(ValueError, match=rf"balanced_term_weights: strength is {strength}.*Use 0"):
        weights(strength=strength)
