import math

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import softmax
from scipy.stats import pearsonr

from limbeck.objective import logit_correlation


@pytest.fixture
def logits():
    """Student's and teacher's, five rows of four classes."""
    return np.random.default_rng(0).normal(scale=2, size=(2, 5, 4))


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b))


def by_definition(student, teacher, temperature, beta, gamma):
    q = np.exp(student / temperature) / np.exp(student / temperature).sum(axis=1, keepdims=True)
    p = np.exp(teacher / temperature) / np.exp(teacher / temperature).sum(axis=1, keepdims=True)
    inter = np.mean([1 - correlation(a, b) for a, b in zip(q, p, strict=True)])
    intra = np.mean([1 - correlation(a, b) for a, b in zip(q.T, p.T, strict=True)])
    return float(temperature**2 * (beta * inter + gamma * intra))


def loss(student, teacher, temperature=2.0, beta=1.0, gamma=1.0):
    return logit_correlation(
        torch.as_tensor(student),
        torch.as_tensor(teacher),
        temperature=temperature,
        beta=beta,
        gamma=gamma,
    )


def gradient(student, teacher, temperature=2.0, beta=1.0, gamma=1.0):
    student = torch.tensor(student, requires_grad=True)
    loss(student, teacher, temperature, beta, gamma).backward()
    return student.grad.numpy()


every_weight = pytest.mark.parametrize(("beta", "gamma"), [(1, 0), (0, 1), (2.0, 0.5)])


@every_weight
@pytest.mark.parametrize("temperature", [0.5, 1, 4.0])
def test_value_is_the_definition(logits, temperature, beta, gamma):
    """A part under the other's weight, or without T^2, falls as training goes on all the same."""
    expected = by_definition(*logits, temperature, beta, gamma)
    found = loss(*logits, temperature, beta, gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@every_weight
@pytest.mark.parametrize("temperature", [1, 4.0])
def test_gradient_is_the_definition(logits, numeric_gradient, temperature, beta, gamma):
    """The right value with a wrong gradient trains a wrong student."""
    student, teacher = logits
    expected = numeric_gradient(
        lambda point: by_definition(point, teacher, temperature, beta, gamma), student
    )
    found = gradient(*logits, temperature, beta, gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=4e-6)


def test_parts_are_scipys(logits):
    """Our own definition could be wrong in the same way as the code."""
    student, teacher = (softmax(side / 2, axis=1) for side in logits)
    inter = 4 * (1 - pearsonr(student, teacher, axis=1).statistic.mean())
    intra = 4 * (1 - pearsonr(student, teacher, axis=0).statistic.mean())
    np.testing.assert_allclose(loss(*logits, gamma=0.0), inter, rtol=1e-5)
    np.testing.assert_allclose(loss(*logits, beta=0.0), intra, rtol=1e-5)


@every_weight
def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(logits, beta, gamma):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = logits[1]
    assert loss(teacher, teacher, 2.0, beta, gamma).item() == pytest.approx(0, abs=4e-6)
    np.testing.assert_allclose(gradient(teacher, teacher, 2.0, beta, gamma), 0, atol=4e-6)


def test_leaves_shift_and_scale_of_a_rows_probabilities_free():
    """What it is chosen for: a weak student's flatter answer of the same shape costs nothing."""
    teacher = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    flatter = 0.3 * teacher + 0.7 / 3
    found = loss(np.log(flatter), np.log(teacher), 1.0, gamma=0.0).item()
    assert found == pytest.approx(0, abs=1e-6)


def test_two_classes_teach_by_the_intra_class_part_alone(logits):
    """What its page says, so that nobody waits for an inter-class part that has no gradient."""
    student, teacher = logits[:, :, :2]
    assert np.abs(gradient(student, teacher, gamma=0.0)).max() < 1e-5
    assert np.abs(gradient(student, teacher, beta=0.0)).max() > 1e-3


def test_a_batch_of_one_row_has_no_intra_class_part(logits):
    """The correlation of single numbers is 0 / 0, and would end the run in NaN."""
    student, teacher = logits[:, :1]
    assert loss(student, teacher) == loss(student, teacher, gamma=0.0)
    assert np.isfinite(gradient(student, teacher)).all()


@pytest.mark.parametrize("classes", [3, 7, 29, 101])
def test_equal_probabilities_correlate_with_nothing(classes):
    """A new head says the same of all classes: its rounding must not become a direction."""
    student = np.full((5, classes), 0.1)
    teacher = np.random.default_rng(0).normal(scale=2, size=(5, classes))
    assert loss(student, teacher, 1.0, gamma=0.0).item() == pytest.approx(1, abs=1e-6)
    assert loss(student, teacher, 1.0, beta=0.0).item() == pytest.approx(1, abs=1e-6)
    found = gradient(student, teacher, 1.0)
    assert 0 < np.abs(found).max() < 1


def test_order_of_rows_and_of_classes_does_not_matter(logits):
    """A transposed comparison would depend on them."""
    found = loss(*logits[:, [3, 0, 4, 1, 2]][:, :, [2, 0, 3, 1]])
    torch.testing.assert_close(found, loss(*logits))


def test_gradients_flow_into_the_student_only(logits):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in logits)
    loss(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, dtype):
    """In bfloat16 a loss has three digits, and small improvements vanish."""
    student, teacher = torch.tensor(logits).to(dtype)
    found = loss(student, teacher)
    assert found.dtype == torch.float32
    assert found == loss(student.float(), teacher.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert found == loss(student, teacher)


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(logit_correlation, typechecker=beartype)
    checked(*torch.tensor(logits), temperature=2.0, beta=1.0, gamma=1.0)


@pytest.mark.parametrize("teacher", [(5, 1), (1, 4), (4,), (5, 3)])
def test_refuses_unequal_shapes(teacher):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    with pytest.raises(ValueError, match=r"logit_correlation: student_logits .*nothing is broad"):
        loss(torch.zeros(5, 4), torch.zeros(teacher))


@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4)])
def test_refuses_anything_but_rows_of_classes(shape):
    """A token model's logits would bring its padding into the mean; of no rows it is NaN."""
    with pytest.raises(ValueError, match=r"logit_correlation: .*\[batch classes\]"):
        loss(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("temperature", [0.0, -2.0, math.inf, math.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(temperature):
    """A negative one teaches the opposite order of the classes."""
    with pytest.raises(ValueError, match=r"logit_correlation: temperature is .*positive and fini"):
        loss(torch.zeros(5, 4), torch.zeros(5, 4), temperature)


def test_refuses_one_temperature_per_row():
    """Classes are compared across rows: softened unequally they are not the same quantity."""
    with pytest.raises(ValueError, match=r"logit_correlation: .*It must be one number. Pass a"):
        loss(torch.zeros(5, 4), torch.zeros(5, 4), torch.ones(5))


@pytest.mark.parametrize("name", ["beta", "gamma"])
@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
def test_refuses_a_negative_part(name, wrong):
    """It would drive the student away from the teacher."""
    with pytest.raises(ValueError, match=rf"logit_correlation: {name} is {wrong}.*Use 0"):
        loss(torch.zeros(5, 4), torch.zeros(5, 4), **{name: wrong})
