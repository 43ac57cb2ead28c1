import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from limbeck.objective import Projection, hidden_mse


def projection(student=3, teacher=5, seed=0):
    return Projection(student, teacher, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def hidden():
    return np.random.default_rng(0).normal(size=(2, 4, 3))


def test_value_is_the_definition(hidden):
    """A transposed or biased map would be another method than the paper's."""
    learned = projection()
    weight = learned.weight.detach().double().numpy()
    found = learned(torch.tensor(hidden)).detach().numpy()
    np.testing.assert_allclose(found, np.einsum("bth,uh->btu", hidden, weight), atol=1e-6)


def test_gradients_reach_student_and_weights_through_hidden_mse(hidden, numeric_gradient):
    """A map that stays as drawn asks the student for a random rotation of the teacher."""
    learned = projection()
    weight = learned.weight.detach().double().numpy()
    teacher = np.random.default_rng(1).normal(size=(2, 4, 5))
    student = torch.tensor(hidden, requires_grad=True)
    hidden_mse(
        learned(student), torch.tensor(teacher), attention_mask=torch.ones(2, 4, dtype=torch.int64)
    ).backward()

    def by_definition(states, weight):
        return float(np.mean((np.einsum("bth,uh->btu", states, weight) - teacher) ** 2))

    expected = numeric_gradient(lambda point: by_definition(point, weight), hidden)
    np.testing.assert_allclose(student.grad, expected, rtol=1e-4, atol=1e-6)
    expected = numeric_gradient(lambda point: by_definition(hidden, point), weight)
    np.testing.assert_allclose(learned.weight.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("student", "teacher"), [(3, 5), (4, 4), (6, 2)])
def test_starts_orthonormal(student, teacher):
    """A skewed start costs the first epochs: the term begins by undoing it."""
    weight = projection(student, teacher).weight.detach().double().numpy()
    gram = weight.T @ weight if student <= teacher else weight @ weight.T
    np.testing.assert_allclose(gram, np.eye(min(student, teacher)), atol=1e-6)


def test_the_generator_decides_the_start():
    """A start from elsewhere makes two runs of one recipe differ."""
    assert torch.equal(projection(seed=1).weight, projection(seed=1).weight)
    assert not torch.equal(projection(seed=1).weight, projection(seed=2).weight)


def test_leaves_the_global_generator_alone():
    """Else adding a term would change the order of the data and the dropout of the whole run."""
    before = torch.get_rng_state()
    projection()
    assert torch.equal(torch.get_rng_state(), before)


def test_has_one_parameter_and_maps_zero_to_zero():
    """A bias would be learned for all tokens at once and teach nothing about any."""
    learned = projection()
    assert [name for name, _ in learned.named_parameters()] == ["weight"]
    assert not learned(torch.zeros(1, 2, 3)).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_states_are_projected_in_float32(hidden, dtype):
    """Torch refuses to multiply two types, after the models were loaded."""
    half = torch.tensor(hidden).to(dtype)
    assert torch.equal(projection()(half), projection()(half.float()))


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 3)])
def test_shapes_are_those_of_the_signature(shape):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(projection().forward, typechecker=beartype)
    assert checked(torch.zeros(shape)).shape == (*shape[:-1], 5)


@pytest.mark.parametrize(("student", "teacher"), [(0, 5), (3, 0), (-1, 5)])
def test_refuses_a_width_below_one(student, teacher):
    """A map of nothing would give a loss of nothing."""
    message = rf"Projection: student_hidden_size is {student}, .*at least 1. Pass hidden_size"
    with pytest.raises(ValueError, match=message):
        projection(student, teacher)


def test_refuses_states_of_another_width():
    """The teacher's states in the student's place would compare the teacher with itself."""
    with pytest.raises(
        ValueError, match=r"Projection: hidden has shape \(2, 4, 5\).*width, 3.*Pass"
    ):
        projection()(torch.zeros(2, 4, 5))
