import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.stats import zscore
from torch.nn import functional

from limbeck.objective import logit_kl, standardize_logits


@pytest.fixture
def logits():
    """Five rows of four classes."""
    return np.random.default_rng(0).normal(loc=2, scale=3, size=(5, 4))


def by_definition(logits):
    centered = logits - logits.mean(axis=1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axis=1, keepdims=True))


def test_value_is_the_definition_and_scipys(logits):
    """Over the wrong dimension, a row's logits would depend on its neighbours."""
    found = standardize_logits(torch.tensor(logits))
    np.testing.assert_allclose(found, by_definition(logits), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, zscore(logits, axis=1), rtol=1e-5, atol=1e-6)


def test_value_is_torchs_layer_norm(logits):
    """The same, from the library that trains."""
    expected = functional.layer_norm(torch.tensor(logits), (4,), eps=0).float()
    torch.testing.assert_close(standardize_logits(torch.tensor(logits)), expected)


def test_gradient_is_the_definition(logits, numeric_gradient):
    """The deviation depends on the logits too: held constant, it trains towards larger ones."""
    weights = np.random.default_rng(1).normal(size=logits.shape)
    given = torch.tensor(logits, requires_grad=True)
    (standardize_logits(given) * torch.tensor(weights)).sum().backward()
    expected = numeric_gradient(lambda point: float((by_definition(point) * weights).sum()), logits)
    np.testing.assert_allclose(given.grad, expected, rtol=1e-4, atol=1e-6)


def test_a_student_of_the_same_relations_has_nothing_left_to_learn(logits):
    """What it is for: neither scale nor shift of the teacher's logits is asked for."""
    student = standardize_logits(torch.tensor(0.2 * logits - 1))
    teacher = standardize_logits(torch.tensor(logits))
    assert logit_kl(student, teacher, temperature=2.0).item() == pytest.approx(0, abs=1e-6)


def test_is_a_temperature_of_the_rows_own_deviation(logits):
    """The paper's reading: softmax of standardized logits at T is softmax at T * deviation."""
    deviation = torch.tensor(logits.std(axis=1, keepdims=True))
    expected = (torch.tensor(logits) / (2 * deviation)).softmax(dim=1).float()
    found = (standardize_logits(torch.tensor(logits)) / 2).softmax(dim=1)
    torch.testing.assert_close(found, expected)


def test_equal_logits_give_no_nan_and_no_outsized_gradient():
    """A new head says 0 of every class, or 0.1 up to rounding."""
    for fill in (0.0, 0.1):
        logits = torch.full((2, 3), fill, requires_grad=True)
        found = standardize_logits(logits)
        found[:, 0].sum().backward()
        np.testing.assert_allclose(found.detach(), 0, atol=1e-6)
        assert logits.grad.abs().max() < 10


def test_half_precision_is_reduced_in_float32(logits):
    """Squares of large logits overflow float16."""
    half = torch.tensor(300 * logits).half()
    found = standardize_logits(half)
    assert found.dtype == torch.float32
    assert torch.equal(found, standardize_logits(half.float()))


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    jaxtyped(standardize_logits, typechecker=beartype)(torch.tensor(logits))


@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4), (5, 2), (5, 1)])
def test_refuses_anything_but_rows_of_three_classes_or_more(shape):
    """Two standardized logits are 1 and -1 whatever the models say: nothing would be learned."""
    with pytest.raises(ValueError, match=r"standardize_logits: logits has shape .*3 classes.*Com"):
        standardize_logits(torch.zeros(shape))
