from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.spatial.distance import pdist
from scipy.special import huber
from sklearn.metrics.pairwise import cosine_similarity, linear_kernel
from sklearn.preprocessing import normalize

from limbeck.objective import relational_angle, relational_distance, similarity_preserving

TERMS = [similarity_preserving, relational_distance, relational_angle]
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)
relational = pytest.mark.parametrize("term", [relational_distance, relational_angle])


@pytest.fixture
def student():
    """Five rows of three units, one of them far out: huber has two branches."""
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    vectors[2] *= 12
    return vectors


@pytest.fixture
def teacher():
    """Wider than the student."""
    return np.random.default_rng(1).normal(size=(5, 4))


def huber_of(x):
    return x**2 / 2 if abs(x) <= 1 else abs(x) - 0.5


def relative_distances(x):
    pairs = [np.sqrt(np.sum((x[i] - x[j]) ** 2)) for i, j in combinations(range(len(x)), 2)]
    return np.array(pairs) / np.mean(pairs)


def angle(x, i, j, k):
    one, other = x[i] - x[j], x[k] - x[j]
    lengths = np.sqrt((one @ one) * (other @ other))
    return one @ other / lengths if lengths > 0 else 0.0


def by_definition(term, student, teacher):
    if term is similarity_preserving:
        s, t = (side @ side.T for side in (student, teacher))
        s, t = (side / np.sqrt((side**2).sum(axis=1, keepdims=True)) for side in (s, t))
        return float(np.sum((s - t) ** 2) / len(s) ** 2)
    if term is relational_distance:
        difference = relative_distances(student) - relative_distances(teacher)
    else:
        difference = [
            angle(student, i, j, k) - angle(teacher, i, j, k)
            for i, j, k in permutations(range(len(student)), 3)
        ]
    return float(np.mean([huber_of(x) for x in difference]))


def by_scipy_and_scikit_learn(term, student, teacher):
    if term is similarity_preserving:
        s, t = (normalize(linear_kernel(side)) for side in (student, teacher))
        return np.mean((s - t) ** 2)
    if term is relational_distance:
        s, t = (pdist(side) / pdist(side).mean() for side in (student, teacher))
        return huber(1, s - t).mean()
    losses = []
    for j in range(len(student)):
        s, t = (cosine_similarity(np.delete(side, j, 0) - side[j]) for side in (student, teacher))
        losses.append(huber(1, s - t)[~np.eye(len(s), dtype=bool)])
    return np.mean(losses)


def value(term, student, teacher):
    return term(torch.tensor(student), torch.tensor(teacher)).item()


def gradient(term, student, teacher):
    student = torch.tensor(student, requires_grad=True)
    term(student, torch.tensor(teacher)).backward()
    return student.grad.numpy()


@every_term
def test_value_is_the_definition(student, teacher, term):
    """A mean over pairs of a row with itself depends on the size of the batch."""
    expected = by_definition(term, student, teacher)
    np.testing.assert_allclose(value(term, student, teacher), expected, rtol=1e-5)


@every_term
def test_gradient_is_the_definition(student, teacher, numeric_gradient, term):
    """The scale that distances are divided by depends on the student, too."""
    expected = numeric_gradient(lambda point: by_definition(term, point, teacher), student)
    np.testing.assert_allclose(gradient(term, student, teacher), expected, rtol=1e-3, atol=1e-6)


@every_term
def test_value_is_scipys_and_scikit_learns(student, teacher, term):
    """Our own definition could be wrong in the same way as the code."""
    expected = by_scipy_and_scikit_learn(term, student, teacher)
    np.testing.assert_allclose(value(term, student, teacher), expected, rtol=1e-5)


@every_term
def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(teacher, term):
    """A term that is not 0 at the goal pulls the student away from it."""
    assert value(term, teacher, teacher) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(term, teacher, teacher), 0, atol=1e-6)


@every_term
def test_turning_and_scaling_the_students_space_changes_nothing(student, teacher, term):
    """What it is chosen for: relations, and not places."""
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    plain = value(term, student, teacher)
    assert value(term, 7 * student @ turn, teacher) == pytest.approx(plain, rel=1e-4)


@relational
def test_moving_the_students_space_changes_nothing(student, teacher, term):
    """Distances and angles have no origin."""
    plain = value(term, student, teacher)
    assert value(term, student + 3, teacher) == pytest.approx(plain, rel=1e-4)


@every_term
def test_order_of_the_rows_does_not_matter(student, teacher, term):
    """A row must be compared with the teacher's row and no other."""
    order = [3, 0, 4, 1, 2]
    plain = value(term, student, teacher)
    assert value(term, student[order], teacher[order]) == pytest.approx(plain, rel=1e-5)
    assert value(term, student, teacher[order]) != pytest.approx(plain, rel=1e-3)


@every_term
@pytest.mark.parametrize("rows", [1, 2])
def test_batches_too_small_for_a_relation_are_zero(student, teacher, term, rows):
    """An epoch's last batch may have one row: 0 / 0 would end the run in NaN."""
    if term is similarity_preserving and rows == 2:
        assert value(term, student[:2], teacher[:2]) > 0
        return
    assert value(term, student[:rows], teacher[:rows]) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(term, student[:rows], teacher[:rows]), 0, atol=1e-6)


@every_term
@pytest.mark.parametrize("equal", ["two rows", "all rows", "zero"])
def test_equal_vectors_give_no_nan_and_no_outsized_gradient(student, teacher, term, equal):
    """A text that is twice in a batch has distance 0, where the square root has no slope."""
    if equal == "two rows":
        student[1] = student[0]
    else:
        student[:] = 0 if equal == "zero" else student[0]
    assert np.isfinite(value(term, student, teacher))
    assert np.abs(gradient(term, student, teacher)).max() < 10


@every_term
def test_equal_vectors_of_the_student_count_as_the_definition_says(student, teacher, term):
    """A row seen from its double has no direction, which is no angle that the teacher has not."""
    student[1] = student[0]
    expected = by_definition(term, student, teacher)
    np.testing.assert_allclose(value(term, student, teacher), expected, rtol=1e-5)


@every_term
def test_gradients_flow_into_the_student_only(student, teacher, term):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    sides = [torch.tensor(side, requires_grad=True) for side in (student, teacher)]
    term(*sides).backward()
    assert sides[0].grad.any()
    assert sides[1].grad is None


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_vectors_are_reduced_in_float32(student, teacher, term, dtype):
    """Products beyond 65504 overflow float16, and autocast would make them."""
    sides = [torch.tensor(100 * side).to(dtype) for side in (student, teacher)]
    loss = term(*sides)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert loss == term(*(side.float() for side in sides))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == term(*sides)


@every_term
def test_shapes_are_those_of_the_signature(student, teacher, term):
    """A signature that does not hold misleads everyone who builds on it."""
    jaxtyped(term, typechecker=beartype)(torch.tensor(student), torch.tensor(teacher))


@every_term
@pytest.mark.parametrize("rows", [1, 4])
def test_refuses_other_rows(term, rows):
    """Broadcasting would relate other texts."""
    message = rf"{term.__name__}: student_vectors has shape \(5, 3\), .*equal in batch: nothing is"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(5, 3), torch.zeros(rows, 3))


@every_term
@pytest.mark.parametrize("shape", [(5,), (5, 4, 3)])
def test_refuses_anything_but_one_vector_a_row(term, shape):
    """Hidden states would bring their padding into the relations."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*\[batch hidden\].*Reshape"):
        term(torch.zeros(shape), torch.zeros(5, 3))


@every_term
def test_refuses_an_empty_batch(term):
    """The mean of no rows is NaN, and so would be every weight after the step."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*at least one entry.*Skip"):
        term(torch.zeros(0, 3), torch.zeros(0, 4))
