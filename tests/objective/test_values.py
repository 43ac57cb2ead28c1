import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from sklearn.metrics import mean_squared_error

from limbeck.objective import pooled_mse, target_mse, value_mse

TERMS = [value_mse, target_mse]
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)


@pytest.fixture
def values():
    """Student's and what it should be, four rows of two outputs."""
    return np.random.default_rng(0).normal(scale=3, size=(2, 4, 2))


@pytest.fixture
def partly(values):
    """The same with cells, and a row, without a label."""
    student, targets = values.copy()
    targets[0, 1] = targets[2] = np.nan
    return student, targets


def by_definition(student, wanted):
    cells = [
        (s - w) ** 2
        for s, w in zip(student.ravel(), wanted.ravel(), strict=True)
        if not np.isnan(w)
    ]
    return float(np.mean(cells))


def gradient(term, student, wanted):
    student = torch.tensor(student, requires_grad=True)
    term(student, torch.tensor(wanted)).backward()
    return student.grad.numpy()


@every_term
def test_is_the_definition_in_value_and_gradient(values, numeric_gradient, term):
    """A sum over rows falls as training goes on all the same."""
    student, wanted = values
    loss = term(torch.tensor(student), torch.tensor(wanted)).item()
    assert loss == pytest.approx(by_definition(student, wanted), rel=1e-5)
    assert loss == pytest.approx(mean_squared_error(wanted, student), rel=1e-5)
    expected = numeric_gradient(lambda x: by_definition(x, wanted), student)
    np.testing.assert_allclose(gradient(term, student, wanted), expected, rtol=1e-4, atol=1e-6)


def test_unlabelled_cells_equal_removed_ones(partly, numeric_gradient):
    """Counted as 0, or in the divisor, they would draw every value towards 0 or dilute labels."""
    student, targets = partly
    loss = target_mse(torch.tensor(student), torch.tensor(targets)).item()
    known = ~np.isnan(targets)
    assert loss == pytest.approx(mean_squared_error(targets[known], student[known]), rel=1e-5)
    found = gradient(target_mse, student, targets)
    expected = numeric_gradient(lambda x: by_definition(x, targets), student)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert (found[~known] == 0).all()


def test_minus_100_is_a_value():
    """A temperature of -100 must not be dropped as a missing label."""
    assert target_mse(torch.zeros(1, 1), torch.tensor([[-100.0]])) == 10000


def test_without_a_label_is_zero_with_zero_gradient(values):
    """A batch of unlabelled rows alone must not turn the weights into NaN."""
    targets = np.full((4, 2), np.nan)
    assert target_mse(torch.tensor(values[0]), torch.tensor(targets)) == 0
    assert not gradient(target_mse, values[0], targets).any()


def test_a_teachers_nan_is_not_hidden(values):
    """A broken teacher must end the training, and not be left out row by row."""
    values[1, 0, 0] = np.nan
    assert value_mse(*torch.tensor(values)).isnan()


def test_is_pooled_mse_of_vectors_that_are_outputs(values):
    """Two measures of the same would make runs incomparable."""
    torch.testing.assert_close(value_mse(*torch.tensor(values)), pooled_mse(*torch.tensor(values)))


@every_term
def test_is_zero_with_zero_gradient_when_both_agree(values, term):
    """A term that is not 0 at the goal pulls the student away from it."""
    assert term(*torch.tensor(values[[1, 1]])) == 0
    assert not gradient(term, values[1], values[1]).any()


@every_term
def test_gradients_flow_into_the_student_only(values, term):
    """A target that learns meets the student half-way, and the loss falls all the faster."""
    student, wanted = (torch.tensor(side, requires_grad=True) for side in values)
    term(student, wanted).backward()
    assert student.grad.any()
    assert wanted.grad is None


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_values_are_reduced_in_float32(values, term, dtype):
    """A difference of 300 has a square beyond float16."""
    student, wanted = torch.tensor(100 * values).to(dtype)
    loss = term(student, wanted)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert loss == term(student.float(), wanted.float())


@every_term
def test_shapes_are_those_of_the_signature(values, term):
    """A signature that does not hold misleads everyone who builds on it."""
    jaxtyped(term, typechecker=beartype)(*torch.tensor(values))


@every_term
@pytest.mark.parametrize("shape", [(4,), (1, 2), (4, 1)])
def test_refuses_unequal_shapes(term, shape):
    """[batch] against [batch 1] would compare every row with every other."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: student_values has shape \(4, 2\)"):
        term(torch.zeros(4, 2), torch.zeros(shape))


@every_term
@pytest.mark.parametrize("shape", [(4,), (0, 1), (2, 4, 1)])
def test_refuses_anything_but_rows_of_outputs(term, shape):
    """Padded tokens would enter the mean; the mean of nothing is NaN."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*\[batch outputs\]"):
        term(torch.zeros(shape), torch.zeros(shape))


def test_refuses_infinite_targets():
    """The loss, and every weight after the step, would be."""
    with pytest.raises(ValueError, match="target_mse: targets contains inf"):
        target_mse(torch.zeros(1, 2), torch.tensor([[0.0, np.inf]]))
