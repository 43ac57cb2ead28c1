import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import rel_entr, softmax
from sklearn.metrics.pairwise import cosine_similarity

from limbeck.objective import in_batch_similarity_kl

every_temperature = pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])


@pytest.fixture
def vectors():
    """Student's and teacher's, five rows of three and of six units."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(5, 3)), generator.normal(size=(5, 6))


def by_definition(student, teacher, temperature):
    rows = []
    for i in range(len(student)):
        others = [j for j in range(len(student)) if j != i]
        p, q = (
            np.exp(
                [
                    side[i]
                    @ side[j]
                    / np.sqrt(side[i] @ side[i] * (side[j] @ side[j]))
                    / temperature
                    for j in others
                ]
            )
            for side in (teacher, student)
        )
        p, q = p / p.sum(), q / q.sum()
        rows.append(np.sum(p * np.log(p / q)))
    return float(np.mean(rows))


def value(student, teacher, temperature=0.5):
    return in_batch_similarity_kl(
        torch.as_tensor(student), torch.as_tensor(teacher), temperature=temperature
    )


def gradient(student, teacher, temperature=0.5):
    student = torch.tensor(student, requires_grad=True)
    value(student, teacher, temperature).backward()
    return student.grad.numpy()


@every_temperature
def test_is_the_definition_in_value_and_gradient(vectors, numeric_gradient, temperature):
    """The diagonal left in, or sides swapped, falls as training goes on all the same."""
    student, teacher = vectors
    expected = by_definition(student, teacher, temperature)
    assert value(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-4)
    expected = numeric_gradient(lambda x: by_definition(x, teacher, temperature), student)
    found = gradient(student, teacher, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@every_temperature
def test_is_scipys_and_scikit_learns(vectors, temperature):
    """Our own definition could be wrong in the same way as the code."""
    masked = [cosine_similarity(side) / temperature for side in vectors]
    for side in masked:
        np.fill_diagonal(side, -np.inf)
    q, p = (softmax(side, axis=1) for side in masked)
    expected = rel_entr(p, q).sum(axis=1).mean()
    assert value(*vectors, temperature).item() == pytest.approx(expected, rel=1e-4)


def test_a_row_is_not_its_own_neighbor(vectors):
    """With its own similarity of 1 in the softmax, a small temperature would leave nothing else."""
    assert value(*vectors, 0.01).item() > 1


def test_is_zero_with_zero_gradient_when_the_student_is_the_teacher_turned_and_scaled(vectors):
    """Only similarities are asked for: another basis or length is no mistake."""
    teacher = vectors[1]
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    lengths = np.arange(1, 6)[:, None]
    assert value(lengths * teacher @ turn, teacher).item() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(lengths * teacher @ turn, teacher), 0, atol=1e-6)
    assert value(teacher, teacher) == 0


def test_order_of_the_rows_does_not_matter(vectors):
    """A row must be compared with the teacher's row and no other."""
    order = [2, 0, 3, 1, 4]
    student, teacher = vectors
    expected = value(student, teacher).item()
    assert value(student[order], teacher[order]).item() == pytest.approx(expected, rel=1e-5)
    assert value(student, teacher[order]).item() != pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_rows_teach_nothing(vectors, rows):
    """The last batch of an epoch may hold one row, whose mean over no other is NaN."""
    student, teacher = (side[:rows] for side in vectors)
    assert value(student, teacher) == 0
    assert not gradient(student, teacher).any()


def test_a_zero_vector_gives_no_nan_and_no_outsized_gradient(vectors):
    """Divided by a tiny number instead of its length, it would undo the training."""
    student, teacher = vectors
    student[0] = 0
    assert value(student, teacher).isfinite()
    assert np.abs(gradient(student, teacher)).max() < 10


def test_gradients_flow_into_the_student_only(vectors):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in vectors)
    value(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_vectors_are_reduced_in_float32(vectors, dtype):
    """Autocast would multiply in three digits, which a small temperature blows up."""
    student, teacher = (torch.tensor(side).to(dtype) for side in vectors)
    loss = value(student, teacher, 0.05)
    assert loss.dtype == torch.float32
    assert loss == value(student.float(), teacher.float(), 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == value(student, teacher, 0.05)


def test_shapes_are_those_of_the_signature(vectors):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(in_batch_similarity_kl, typechecker=beartype)
    checked(*(torch.tensor(side) for side in vectors), temperature=0.1)


@pytest.mark.parametrize("shape", [(4, 6), (6,), (5, 2, 3), (5, 0)])
def test_refuses_vectors_of_other_texts_or_of_tokens(vectors, shape):
    """Other texts, or padded tokens, would be compared."""
    with pytest.raises(ValueError, match=r"in_batch_similarity_kl: .*\[batch hidden\]"):
        value(vectors[0], np.zeros(shape))


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(vectors, temperature):
    """A negative one makes neighbours of the farthest texts."""
    with pytest.raises(ValueError, match="in_batch_similarity_kl: temperature is"):
        value(*vectors, temperature)
