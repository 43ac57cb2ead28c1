import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.spatial.distance import cosine
from sklearn.metrics import mean_squared_error
from sklearn.preprocessing import normalize
from torch.nn import functional

from limbeck.objective import (
    hidden_cosine,
    hidden_mse,
    hidden_normalized_mse,
    pooled_cosine,
    pooled_mse,
    pooled_normalized_mse,
)

TERMS = [pooled_mse, pooled_cosine, pooled_normalized_mse]
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)


@pytest.fixture
def vectors():
    """Student's and teacher's, four rows of five units."""
    return np.random.default_rng(0).normal(size=(2, 4, 5))


def by_definition(term, student, teacher):
    losses = []
    for s, t in zip(student, teacher, strict=True):
        if term is pooled_mse:
            losses.append(np.mean((s - t) ** 2))
        elif term is pooled_cosine:
            losses.append(1 - np.sum(s * t) / np.sqrt(np.sum(s * s) * np.sum(t * t)))
        else:
            losses.append(np.sum((s / np.sqrt(s @ s) - t / np.sqrt(t @ t)) ** 2))
    return float(np.mean(losses))


def by_scipy_or_scikit_learn(term, student, teacher):
    if term is pooled_mse:
        return mean_squared_error(teacher, student)
    if term is pooled_cosine:
        return np.mean([cosine(s, t) for s, t in zip(student, teacher, strict=True)])
    return student.shape[1] * mean_squared_error(normalize(teacher), normalize(student))


def value(term, student, teacher):
    return term(torch.tensor(student), torch.tensor(teacher)).item()


def gradient(term, student, teacher):
    student = torch.tensor(student, requires_grad=True)
    term(student, torch.tensor(teacher)).backward()
    return student.grad.numpy()


@every_term
def test_value_is_the_definition(vectors, term):
    """A sum over units or rows falls as training goes on all the same."""
    np.testing.assert_allclose(value(term, *vectors), by_definition(term, *vectors), rtol=1e-5)


@every_term
def test_gradient_is_the_definition(vectors, numeric_gradient, term):
    """The right value with a wrong gradient trains a wrong student."""
    student, teacher = vectors
    expected = numeric_gradient(lambda point: by_definition(term, point, teacher), student)
    np.testing.assert_allclose(gradient(term, *vectors), expected, rtol=1e-4, atol=1e-6)


@every_term
def test_value_is_scipys_or_scikit_learns(vectors, term):
    """Our own definition could be wrong in the same way as the code."""
    expected = by_scipy_or_scikit_learn(term, *vectors)
    np.testing.assert_allclose(value(term, *vectors), expected, rtol=1e-5)


def test_cosine_is_torchs_embedding_loss(vectors):
    """The same, from the library that trains."""
    student, teacher = torch.tensor(vectors)
    expected = functional.cosine_embedding_loss(student, teacher, torch.ones(4))
    np.testing.assert_allclose(pooled_cosine(student, teacher), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("pooled", "hidden"),
    [
        (pooled_mse, hidden_mse),
        (pooled_cosine, hidden_cosine),
        (pooled_normalized_mse, hidden_normalized_mse),
    ],
)
def test_is_the_term_of_the_same_name_on_texts_of_one_token(vectors, pooled, hidden):
    """Two measures under one name would make runs incomparable."""
    student, teacher = torch.tensor(vectors)
    mask = torch.ones(4, 1, dtype=torch.int64)
    expected = hidden(student[:, None], teacher[:, None], attention_mask=mask)
    torch.testing.assert_close(pooled(student, teacher), expected)


@every_term
def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(vectors, term):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = vectors[1]
    assert value(term, teacher, teacher) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(term, teacher, teacher), 0, atol=1e-6)


@every_term
def test_order_of_the_rows_does_not_matter(vectors, term):
    """A row must be compared with the teacher's row and no other."""
    order = [2, 0, 3, 1]
    assert value(term, *vectors[:, order]) == pytest.approx(value(term, *vectors), rel=1e-6)
    assert value(term, vectors[0], vectors[1][order]) != pytest.approx(
        value(term, *vectors), rel=1e-3
    )


@pytest.mark.parametrize("zero", [0, 1])
def test_a_zero_vector_gives_no_nan_and_no_outsized_gradient(vectors, zero):
    """Divided by a tiny number instead of its length, it would undo the training."""
    vectors[zero] = 0
    assert value(pooled_normalized_mse, *vectors) == pytest.approx(1)
    assert value(pooled_cosine, *vectors) == 1
    assert np.abs(gradient(pooled_normalized_mse, *vectors)).max() < 10


@every_term
def test_gradients_flow_into_the_student_only(vectors, term):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in vectors)
    term(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_vectors_are_reduced_in_float32(vectors, term, dtype):
    """BERT has units beyond 256, whose squares overflow float16."""
    student, teacher = torch.tensor(300 * vectors).to(dtype)
    loss = term(student, teacher)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert loss == term(student.float(), teacher.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == term(student, teacher)


@every_term
def test_shapes_are_those_of_the_signature(vectors, term):
    """A signature that does not hold misleads everyone who builds on it."""
    jaxtyped(term, typechecker=beartype)(*torch.tensor(vectors))


@every_term
@pytest.mark.parametrize("teacher_shape", [(4, 1), (1, 5), (5,), (4, 8)])
def test_refuses_unequal_shapes(term, teacher_shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    message = rf"{term.__name__}: student_vectors has shape \(4, 5\), .*nothing is broadcast"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(4, 5), torch.zeros(teacher_shape))


@every_term
@pytest.mark.parametrize("shape", [(5,), (2, 4, 5)])
def test_refuses_anything_but_one_vector_a_row(term, shape):
    """Hidden states would bring their padding into the mean."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*\[batch hidden\].*Reshape"):
        term(torch.zeros(shape), torch.zeros(shape))


@every_term
def test_refuses_an_empty_batch(term):
    """The mean of no rows is NaN, and so would be every weight after the step."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*at least one entry.*Skip"):
        term(torch.zeros(0, 5), torch.zeros(0, 5))
