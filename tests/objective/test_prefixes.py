from functools import partial

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from limbeck.objective import (
    in_batch_similarity_kl,
    matryoshka,
    pooled_mse,
    relational_angle,
    relational_distance,
    similarity_preserving,
)

LOSSES = [
    partial(in_batch_similarity_kl, temperature=0.1),
    similarity_preserving,
    relational_distance,
    relational_angle,
]
every_loss = pytest.mark.parametrize("loss", LOSSES)


@pytest.fixture
def vectors():
    """Student's and teacher's, five rows of six and of four units."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(5, 6)), generator.normal(size=(5, 4))


def gram_by_definition(student, teacher):
    sides = []
    for side in (student, teacher):
        products = side @ side.T
        sides.append(products / np.sqrt((products**2).sum(axis=1, keepdims=True)))
    return float(np.mean((sides[0] - sides[1]) ** 2))


def by_definition(student, teacher):
    parts = [w * gram_by_definition(student[:, :k], teacher) for k, w in ((1, 1), (3, 4), (6, 5))]
    return sum(parts) / 10


def test_is_the_definition_in_value_and_gradient(vectors, numeric_gradient):
    """Prefixes of the teacher, or the last units instead of the first, train another student."""
    student, teacher = vectors
    point = torch.tensor(student, requires_grad=True)
    loss = matryoshka(
        similarity_preserving, point, torch.tensor(teacher), sizes=[1, 3, 6], weights=[1, 4, 5]
    )
    loss.backward()
    assert loss.item() == pytest.approx(by_definition(student, teacher), rel=1e-5)
    expected = numeric_gradient(lambda x: by_definition(x, teacher), student)
    np.testing.assert_allclose(point.grad.numpy(), expected, rtol=1e-4, atol=1e-6)


@every_loss
def test_with_the_whole_width_alone_is_the_loss_itself(vectors, loss):
    """Another scale would ask for another weight of the term."""
    student, teacher = (torch.tensor(side) for side in vectors)
    found = matryoshka(loss, student, teacher, sizes=[6], weights=[3.0])
    torch.testing.assert_close(found, loss(student, teacher))


@every_loss
def test_a_prefix_equals_the_loss_of_a_narrower_student(vectors, loss):
    """What is cut off later must not have helped."""
    student, teacher = (torch.tensor(side) for side in vectors)
    found = matryoshka(loss, student, teacher, sizes=[2, 6], weights=[1, 0])
    torch.testing.assert_close(found, loss(student[:, :2], teacher))


def test_is_zero_when_every_prefix_says_it_all():
    """A student that repeats the teacher's one direction in its first unit has nothing to learn."""
    teacher = torch.tensor([[1.0], [-1.0], [2.0]])
    student = torch.cat([teacher, torch.zeros(3, 2)], dim=1)
    assert matryoshka(similarity_preserving, student, teacher, sizes=[1, 3], weights=[1, 1]) == 0


def test_a_loss_of_equal_widths_says_so_itself(vectors):
    """The first units of a teacher that was not trained so mean nothing by themselves."""
    student, teacher = (torch.tensor(vectors[0]) for _ in range(2))
    with pytest.raises(ValueError, match="pooled_mse: student_vectors has shape"):
        matryoshka(pooled_mse, student, teacher, sizes=[2, 6], weights=[1, 1])


def test_shapes_are_those_of_the_signature(vectors):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(matryoshka, typechecker=beartype)
    student, teacher = (torch.tensor(side) for side in vectors)
    checked(relational_distance, student, teacher, sizes=[2, 6], weights=[1.0, 1.0])


@pytest.mark.parametrize("sizes", [[], [0, 2], [2, 7], [3, 2], [2, 2], [-1]])
def test_refuses_sizes_that_are_no_prefixes(vectors, sizes):
    """A slice beyond the width, or a size given twice, would count one prefix twice."""
    student, teacher = (torch.tensor(side) for side in vectors)
    with pytest.raises(ValueError, match=r"matryoshka: sizes is .*must increase"):
        matryoshka(relational_distance, student, teacher, sizes=sizes, weights=[1.0] * len(sizes))


@pytest.mark.parametrize("weights", [[1.0], [1, -1], [0, 0], [np.nan, 1], [np.inf, 1]])
def test_refuses_weights_that_are_no_shares(vectors, weights):
    """A negative one drives the prefix away from the teacher."""
    student, teacher = (torch.tensor(side) for side in vectors)
    with pytest.raises(ValueError, match=r"matryoshka: weights is .*one a size"):
        matryoshka(relational_distance, student, teacher, sizes=[2, 6], weights=weights)
