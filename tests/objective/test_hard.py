import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import softmax
from sklearn.metrics import log_loss

from limbeck.objective import hard_cross_entropy

LABELS = np.array([2, -100, 0, 1, -100, 2])
LABELED = LABELS != -100
WEIGHTS = np.array([0.5, 3.0, 0.0, 2.0, 1.0, 1.5])


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(scale=3, size=(6, 3))


def by_definition(logits, labels, weights=None):
    weights = np.ones(len(labels)) if weights is None else weights
    rows = [row for row in range(len(labels)) if labels[row] != -100]
    losses = [
        weights[row] * (np.log(np.exp(logits[row]).sum()) - logits[row, labels[row]])
        for row in rows
    ]
    return float(np.mean(losses))


def test_value_is_the_definition(logits):
    """A sum, or a mean over all rows, would change the term's weight from batch to batch."""
    loss = hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS))
    np.testing.assert_allclose(loss.item(), by_definition(logits, LABELS), rtol=1e-5)


def test_gradient_is_the_definition(logits, numeric_gradient):
    """The right value with a wrong gradient trains a wrong student."""
    student = torch.tensor(logits, requires_grad=True)
    hard_cross_entropy(student, torch.tensor(LABELS)).backward()
    expected = numeric_gradient(lambda point: by_definition(point, LABELS), logits)
    np.testing.assert_allclose(student.grad, expected, rtol=1e-4, atol=1e-6)


def test_value_is_scikit_learns_log_loss(logits):
    """Our own definition could be wrong in the same way as the code."""
    loss = hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS))
    expected = log_loss(LABELS[LABELED], softmax(logits, axis=1)[LABELED], labels=[0, 1, 2])
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)


def test_leaving_a_label_out_equals_removing_the_row(logits):
    """Unlabelled texts mixed in would dilute the labels, or be taught a class."""
    mixed = hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS))
    alone = hard_cross_entropy(torch.tensor(logits[LABELED]), torch.tensor(LABELS[LABELED]))
    torch.testing.assert_close(mixed, alone)


def test_is_zero_with_zero_gradient_when_no_row_is_labelled(logits):
    """A batch of unlabelled texts would turn every weight into NaN, or break backward()."""
    student = torch.tensor(logits, requires_grad=True)
    loss = hard_cross_entropy(student, torch.full((6,), -100))
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()


def test_weights_are_factors_of_the_rows(logits, numeric_gradient):
    """Divided by their sum, or by all rows, they would change the term's weight by the batch."""
    student = torch.tensor(logits, requires_grad=True)
    weights = torch.tensor(WEIGHTS, requires_grad=True)
    loss = hard_cross_entropy(student, torch.tensor(LABELS), weights=weights)
    loss.backward()
    expected = numeric_gradient(lambda point: by_definition(point, LABELS, WEIGHTS), logits)
    np.testing.assert_allclose(loss.item(), by_definition(logits, LABELS, WEIGHTS), rtol=1e-5)
    np.testing.assert_allclose(student.grad, expected, rtol=1e-4, atol=1e-6)
    assert weights.grad is None


def test_weights_of_one_change_nothing(logits):
    """None and 1 must train the same student."""
    one = hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS), weights=torch.ones(6))
    torch.testing.assert_close(one, hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, dtype):
    """In bfloat16 a loss has three digits, and small improvements vanish."""
    half = torch.tensor(logits).to(dtype)
    loss = hard_cross_entropy(half, torch.tensor(LABELS))
    assert loss.dtype == torch.float32
    assert loss == hard_cross_entropy(half.float(), torch.tensor(LABELS))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64])
def test_any_integer_type_of_labels_is_read(logits, dtype):
    """Arrow and NumPy give int32 on some machines, which torch's cross entropy rejects."""
    loss = hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS, dtype=dtype))
    np.testing.assert_allclose(loss.item(), by_definition(logits, LABELS), rtol=1e-5)


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(hard_cross_entropy, typechecker=beartype)
    checked(torch.tensor(logits), torch.tensor(LABELS))
    checked(torch.tensor(logits), torch.tensor(LABELS), weights=torch.tensor(WEIGHTS))


@pytest.mark.parametrize("label", [-1, 3, -101])
def test_refuses_labels_that_are_no_class(logits, label):
    """Labels from another scheme would train towards wrong classes, or kill the GPU process."""
    labels = torch.tensor([0, 1, 2, -100, label, 0])
    with pytest.raises(ValueError, match=rf"labels contains \[{label}\].*from 0 to 2.*Count"):
        hard_cross_entropy(torch.tensor(logits), labels)


@pytest.mark.parametrize(
    ("logits_shape", "labels_shape"),
    [((6, 3), (5,)), ((6, 3), (6, 1)), ((2, 4, 3), (2, 4)), ((2, 4, 3), (2,)), ((6,), (6,))],
)
def test_refuses_anything_but_one_label_per_row(logits_shape, labels_shape):
    """Labels that belong to other rows give a loss that looks right."""
    labels = torch.zeros(labels_shape, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"hard_cross_entropy: .* \[batch classes\] and \[batch\]"):
        hard_cross_entropy(torch.zeros(logits_shape), labels)


@pytest.mark.parametrize("weight", [-0.5, float("inf"), float("nan")])
def test_refuses_a_negative_or_infinite_weight(logits, weight):
    """A negative one drives the student away from the label."""
    weights = torch.tensor([1.0, 1.0, weight, 1.0, 1.0, 1.0])
    message = rf"hard_cross_entropy: weights contains {weight}. Every row.*at least 0. Pass"
    with pytest.raises(ValueError, match=message):
        hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS), weights=weights)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (6, 1)])
def test_refuses_weights_that_are_not_one_per_row(logits, shape):
    """Weights of the labelled rows alone would be those of other rows."""
    with pytest.raises(ValueError, match=r"hard_cross_entropy: weights has shape .*\[batch\]"):
        hard_cross_entropy(torch.tensor(logits), torch.tensor(LABELS), weights=torch.ones(shape))
