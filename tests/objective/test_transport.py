import math

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax
from scipy.stats import wasserstein_distance

from limbeck.objective import earth_movers_weights, transport_weights_update


@pytest.fixture
def costs():
    """Of three student layers to five teacher layers."""
    return np.random.default_rng(0).uniform(0.1, 2, size=(3, 5))


STUDENT = np.array([0.5, 0.3, 0.2])
TEACHER = np.array([0.1, 0.1, 0.2, 0.25, 0.35])


def flow_of(costs, student=None, teacher=None):
    student, teacher = (
        None if side is None else torch.tensor(side, dtype=torch.float64)
        for side in (student, teacher)
    )
    return earth_movers_weights(torch.tensor(costs), student, teacher).double().numpy()


@pytest.mark.parametrize("weights", [(None, None), (STUDENT, TEACHER), (STUDENT, None)])
def test_flow_carries_every_layers_share(costs, weights):
    """A layer whose share is not carried is not taught, or not heard."""
    flow = flow_of(costs, *weights)
    student = np.full(3, 1 / 3) if weights[0] is None else weights[0]
    teacher = np.full(5, 1 / 5) if weights[1] is None else weights[1]
    assert (flow >= 0).all()
    np.testing.assert_allclose(flow.sum(axis=1), student, atol=1e-6)
    np.testing.assert_allclose(flow.sum(axis=0), teacher, atol=1e-6)


def test_cost_is_scipys_wasserstein_distance():
    """On a line the earth mover's distance has a closed form that needs no program."""
    generator = np.random.default_rng(1)
    student, teacher = generator.normal(size=3), generator.normal(size=5)
    costs = np.abs(student[:, None] - teacher[None, :])
    expected = wasserstein_distance(student, teacher, STUDENT, TEACHER)
    found = (flow_of(costs, STUDENT, TEACHER) * costs).sum()
    assert found == pytest.approx(expected, rel=1e-5)


def test_between_equals_it_is_scipys_assignment():
    """With as many layers and equal shares the best flow sends every layer to one (Birkhoff)."""
    costs = np.random.default_rng(2).uniform(size=(6, 6))
    flow = flow_of(costs)
    np.testing.assert_allclose(flow[linear_sum_assignment(costs)], 1 / 6, atol=1e-6)


def test_no_other_flow_is_cheaper(costs):
    """A greedy flow, each layer to its nearest, is not the best: shares run out."""
    best = (flow_of(costs, STUDENT, TEACHER) * costs).sum()
    generator = np.random.default_rng(3)
    for _ in range(200):
        flow = generator.uniform(size=costs.shape)
        for _ in range(200):
            flow *= (STUDENT / flow.sum(axis=1))[:, None]
            flow *= (TEACHER / flow.sum(axis=0))[None, :]
        assert best <= (flow * costs).sum() + 1e-6


def test_teachers_layers_that_are_alike_are_shared_between_the_students():
    """Many to many: each of two student layers takes the half of the teacher it is near to."""
    places = np.array([0.0, 0.1, 0.9, 1.0])
    costs = np.abs(np.array([0.0, 1.0])[:, None] - places[None, :])
    np.testing.assert_allclose(flow_of(costs), [[0.25, 0.25, 0, 0], [0, 0, 0.25, 0.25]], atol=1e-6)


def test_weights_need_no_sum(costs):
    """They are shares, whatever they sum to."""
    np.testing.assert_allclose(
        flow_of(costs, 7 * STUDENT, 3 * TEACHER), flow_of(costs, STUDENT, TEACHER), atol=1e-6
    )


def test_a_layer_of_no_weight_is_left_out(costs):
    """What the error message advises for a layer that is not wanted."""
    flow = flow_of(costs, [1.0, 0.0, 1.0])
    np.testing.assert_allclose(flow[1], 0, atol=1e-7)


def test_order_of_the_layers_does_not_matter(costs):
    """Rows and columns must be the layers that they are named."""
    order = [2, 0, 1]
    expected = flow_of(costs, STUDENT, TEACHER)[order]
    np.testing.assert_allclose(flow_of(costs[order], STUDENT[order], TEACHER), expected, atol=1e-6)


def test_the_term_has_the_costs_gradient_and_the_flow_has_none(costs):
    """The gradient of the least cost is the flow itself: through the flow it would come twice."""
    given = torch.tensor(costs, requires_grad=True)
    flow = earth_movers_weights(given)
    assert not flow.requires_grad
    (flow * given).sum().backward()
    np.testing.assert_allclose(given.grad, flow.double())


def test_flow_is_float32_whatever_comes_in(costs):
    """The term is a sum of losses in float32."""
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        half = torch.tensor(costs).to(dtype)
        assert earth_movers_weights(half).dtype == torch.float32
        assert torch.equal(earth_movers_weights(half), earth_movers_weights(half.float()))


def updated(flow, costs, student, teacher, temperature=1.0):
    return transport_weights_update(
        torch.as_tensor(flow),
        torch.as_tensor(costs),
        student_weights=torch.as_tensor(student),
        teacher_weights=torch.as_tensor(teacher),
        temperature=temperature,
    )


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_update_is_the_definition(costs, temperature):
    """Scores the wrong way round put all weight on what cannot be learned."""
    flow = flow_of(costs, STUDENT, TEACHER)
    found = updated(flow, costs, STUDENT, TEACHER, temperature)
    for axis, weights in ((1, STUDENT), (0, TEACHER)):
        unit = [
            sum(np.take(flow * costs, layer, axis=1 - axis)) / weights[layer]
            for layer in range(len(weights))
        ]
        expected = softmax([sum(unit) / one / temperature for one in unit])
        np.testing.assert_allclose(found[1 - axis], expected, rtol=1e-4)


def test_update_gives_equal_weights_where_all_layers_cost_the_same():
    """A preference without a reason would grow from step to step."""
    flow = flow_of(np.ones((2, 4)))
    student, teacher = updated(flow, np.ones((2, 4)), np.full(2, 0.5), np.full(4, 0.25))
    torch.testing.assert_close(student, torch.full((2,), 0.5))
    torch.testing.assert_close(teacher, torch.full((4,), 0.25))


def test_update_prefers_the_layer_that_is_matched_cheaply(costs):
    """What it is for."""
    costs[0] /= 100
    flow = flow_of(costs)
    student, _ = updated(flow, costs, np.full(3, 1 / 3), np.full(5, 0.2))
    assert student.argmax() == 0
    assert student.sum().item() == pytest.approx(1)


def test_update_survives_layers_that_cost_nothing_or_have_no_weight():
    """A student cut from the teacher starts equal to it: 0 / 0 would end the run in NaN."""
    costs = 1 - np.eye(3)
    flow = flow_of(costs)
    student, teacher = updated(flow, costs, np.full(3, 1 / 3), np.full(3, 1 / 3))
    torch.testing.assert_close(student, torch.full((3,), 1 / 3))
    costs = np.random.default_rng(0).uniform(size=(3, 3))
    flow = flow_of(costs, [0.5, 0.0, 0.5])
    student, teacher = updated(flow, costs, np.array([0.5, 0.0, 0.5]), np.full(3, 1 / 3))
    assert torch.isfinite(student).all()
    assert torch.isfinite(teacher).all()
    assert student.argmin() == 1


def test_update_has_no_gradient(costs):
    """Weights are chosen by cost and not trained: they would all run to the cheapest layer."""
    given = torch.tensor(costs, requires_grad=True)
    for weights in updated(flow_of(costs), given, np.full(3, 1 / 3), np.full(5, 0.2)):
        assert not weights.requires_grad
        assert weights.dtype == torch.float32


def test_shapes_are_those_of_the_signatures(costs):
    """A signature that does not hold misleads everyone who builds on it."""
    given = [torch.tensor(array) for array in (costs, STUDENT, TEACHER)]
    flow = jaxtyped(earth_movers_weights, typechecker=beartype)(*given)
    jaxtyped(transport_weights_update, typechecker=beartype)(
        flow, given[0], student_weights=given[1], teacher_weights=given[2], temperature=1.0
    )


@pytest.mark.parametrize("shape", [(3,), (3, 0), (0, 5), (1, 3, 5)])
def test_refuses_anything_but_costs_of_layers(shape):
    """A batch's costs are to be averaged first."""
    with pytest.raises(ValueError, match=r"earth_movers_weights: costs has shape .*either side"):
        earth_movers_weights(torch.zeros(shape))


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_refuses_costs_that_are_no_numbers(costs, wrong):
    """A layer of NaN would be left out, and nobody would see that its states are broken."""
    costs[1, 2] = wrong
    with pytest.raises(ValueError, match=rf"costs contains {wrong}. Every cost must be finite"):
        flow_of(costs)


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, math.nan, 1.0]])
def test_refuses_weights_that_are_no_shares(costs, weights):
    """No flow carries less than nothing."""
    with pytest.raises(ValueError, match=r"student_weights is .*at least 0, and not all 0. Pass"):
        flow_of(costs, weights)


def test_refuses_weights_of_other_layers(costs):
    """Weights by another model's layers would be those of its neighbours."""
    with pytest.raises(ValueError, match=r"earth_movers_weights: teacher_weights has .*\(5,\)"):
        flow_of(costs, STUDENT, STUDENT)
    with pytest.raises(ValueError, match=r"weights_update: student_weights has .*\(3,\)"):
        updated(costs, costs, TEACHER, TEACHER)


@pytest.mark.parametrize("shape", [(5, 3), (3,), (3, 1)])
def test_update_refuses_a_flow_of_other_costs(costs, shape):
    """Broadcasting would charge layers with each other's costs."""
    with pytest.raises(ValueError, match=r"transport_weights_update: flow has shape .*found for"):
        updated(np.zeros(shape), costs, STUDENT, TEACHER)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_update_refuses_a_temperature_that_is_not_positive_and_finite(costs, temperature):
    """A negative one prefers the dearest layer."""
    message = rf"transport_weights_update: temperature is {temperature}. It must be positive"
    with pytest.raises(ValueError, match=message):
        updated(costs, costs, STUDENT, TEACHER, temperature)
