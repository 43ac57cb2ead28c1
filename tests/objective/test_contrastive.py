import math

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import cosine_similarity

from limbeck.objective import contrastive_nce


@pytest.fixture
def vectors():
    """Student's and teacher's, five rows of four units."""
    return np.random.default_rng(0).normal(size=(2, 5, 4))


def by_definition(student, teacher, temperature):
    losses = []
    for i, s in enumerate(student):
        scores = [s @ t / np.sqrt((s @ s) * (t @ t)) / temperature for t in teacher]
        losses.append(np.log(np.sum(np.exp(scores))) - scores[i])
    return float(np.mean(losses))


def value(student, teacher, temperature=0.1):
    return contrastive_nce(
        torch.tensor(student), torch.tensor(teacher), temperature=temperature
    ).item()


def gradient(student, teacher, temperature=0.1):
    student = torch.tensor(student, requires_grad=True)
    contrastive_nce(student, torch.tensor(teacher), temperature=temperature).backward()
    return student.grad.numpy()


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1])
def test_value_is_the_definition(vectors, temperature):
    """With the softmax over students instead of teachers, it falls as training goes on too."""
    expected = by_definition(*vectors, temperature)
    np.testing.assert_allclose(value(*vectors, temperature), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 1])
def test_gradient_is_the_definition(vectors, numeric_gradient, temperature):
    """The right value with a wrong gradient trains a wrong student."""
    student, teacher = vectors
    expected = numeric_gradient(lambda point: by_definition(point, teacher, temperature), student)
    np.testing.assert_allclose(gradient(*vectors, temperature), expected, rtol=1e-3, atol=1e-5)


def test_value_is_scikit_learns(vectors):
    """Our own definition could be wrong in the same way as the code."""
    scores = np.exp(cosine_similarity(*vectors) / 0.3)
    expected = log_loss(range(5), scores / scores.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(value(*vectors, 0.3), expected, rtol=1e-5)


def test_is_the_logarithm_of_the_batch_where_nothing_is_known(vectors):
    """InfoNCE's starting point: a wrong number of rivals would show here."""
    student, teacher = vectors
    assert value(student, np.ones_like(teacher)) == pytest.approx(math.log(5), rel=1e-6)


def test_is_nearly_zero_where_the_teachers_texts_lie_apart():
    """Its lower end, reached with the diagonal as the right answer and with no other."""
    apart = np.eye(4)
    assert value(apart, apart, 0.05) == pytest.approx(0, abs=1e-6)
    assert value(apart[::-1].copy(), apart, 0.05) == pytest.approx(20, rel=1e-5)


def test_leaves_the_scale_free(vectors):
    """The cosine alone counts."""
    student, teacher = vectors
    assert value(7 * student, teacher) == pytest.approx(value(student, teacher), rel=1e-5)


def test_a_batch_of_one_row_is_zero(vectors):
    """An epoch's last batch may have no rival."""
    assert value(*vectors[:, :1]) == 0
    assert not gradient(*vectors[:, :1]).any()


@pytest.mark.parametrize("side", [0, 1])
def test_a_zero_vector_gives_no_nan_and_no_outsized_gradient(vectors, side):
    """Divided by a tiny number instead of its length, it would undo the training."""
    vectors[side, 0] = 0
    assert np.isfinite(value(*vectors))
    assert np.abs(gradient(*vectors)).max() < 100


def test_order_of_the_rows_does_not_matter(vectors):
    """A row must be compared with the teacher's row and no other."""
    order = [3, 0, 4, 1, 2]
    assert value(*vectors[:, order]) == pytest.approx(value(*vectors), rel=1e-5)


def test_gradients_flow_into_the_student_only(vectors):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in vectors)
    contrastive_nce(student, teacher, temperature=0.1).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_similarities_are_float32_whatever_comes_in(vectors, dtype):
    """At temperature 0.05 bfloat16 similarities are off by 0.1, and autocast would make them."""
    student, teacher = torch.tensor(vectors).to(dtype)
    loss = contrastive_nce(student, teacher, temperature=0.05)
    assert loss.dtype == torch.float32
    assert loss == contrastive_nce(student.float(), teacher.float(), temperature=0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == contrastive_nce(student, teacher, temperature=0.05)


def test_shapes_are_those_of_the_signature(vectors):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(contrastive_nce, typechecker=beartype)
    checked(*torch.tensor(vectors), temperature=0.1)


@pytest.mark.parametrize("teacher_shape", [(5, 1), (1, 4), (4, 4), (5, 8)])
def test_refuses_unequal_shapes(teacher_shape):
    """A row would be told from another batch's texts."""
    with pytest.raises(ValueError, match=r"contrastive_nce: student_vectors .*nothing is broadc"):
        contrastive_nce(torch.zeros(5, 4), torch.zeros(teacher_shape), temperature=0.1)


@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4)])
def test_refuses_anything_but_one_vector_a_row(shape):
    """Hidden states would have padding told apart; of no rows the mean is NaN."""
    with pytest.raises(ValueError, match=r"contrastive_nce: .*\[batch hidden\]"):
        contrastive_nce(torch.zeros(shape), torch.zeros(shape), temperature=0.1)


@pytest.mark.parametrize("temperature", [0.0, -0.1, math.inf, math.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(temperature):
    """A negative one makes the student's own text the wrong answer."""
    with pytest.raises(ValueError, match=r"contrastive_nce: temperature is .*positive and finite"):
        contrastive_nce(torch.zeros(5, 4), torch.zeros(5, 4), temperature=temperature)
