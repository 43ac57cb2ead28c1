from functools import partial

import numpy as np
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import jaxtyped
from scipy.special import log_softmax, rel_entr, softmax

from limbeck.objective import (
    coarse_log_probabilities,
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    logit_skewed_kl,
    logit_skewed_reverse_kl,
    soft_cross_entropy,
    top_k_kl,
)

OBJECTIVES = [
    logit_kl,
    logit_reverse_kl,
    logit_jensen_shannon,
    soft_cross_entropy,
    partial(logit_skewed_kl, skew=0.1),
    partial(logit_skewed_reverse_kl, skew=0.1),
]
every_objective = pytest.mark.parametrize("objective", OBJECTIVES)
every_temperature = pytest.mark.parametrize("temperature", [0.5, 1, 2, 8.0])
with_and_without_tail = pytest.mark.parametrize("tail", [True, False])


@pytest.fixture
def logits():
    """Student's and teacher's, four places of a vocabulary of eight."""
    return np.random.default_rng(0).normal(scale=2, size=(2, 4, 8))


def kept(teacher, k):
    """Ids and log-probabilities of the top k, as a recording holds them."""
    ids = np.argsort(-teacher, axis=1)[:, :k]
    log_p = teacher - np.log(np.exp(teacher).sum(axis=1, keepdims=True))
    return torch.tensor(ids), torch.tensor(np.take_along_axis(log_p, ids, axis=1))


def coarse(logits, ids, tail):
    """Probabilities of the classes, from the definition."""
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = []
    for row, top in zip(p, ids, strict=True):
        rest = [row[[i for i in range(len(row)) if i not in top]].sum()] if tail else []
        classes.append([*row[top], *rest])
    return np.array(classes) / np.sum(classes, axis=1, keepdims=True)


def by_definition(student, teacher, k, temperature, tail):
    ids = np.argsort(-teacher, axis=1)[:, :k]
    q, p = (coarse(side, ids, tail) ** (1 / temperature) for side in (student, teacher))
    q, p = (side / side.sum(axis=1, keepdims=True) for side in (q, p))
    return float(temperature**2 * np.sum(p * np.log(p / q), axis=1).mean())


def value(student, teacher, k, temperature=2.0, tail=True):
    return top_k_kl(torch.as_tensor(student), *kept(teacher, k), temperature=temperature, tail=tail)


def gradient(function, student):
    student = torch.tensor(student, requires_grad=True)
    function(student).backward()
    return student.grad.numpy()


@every_temperature
@with_and_without_tail
def test_is_the_definition_in_value_and_gradient(logits, numeric_gradient, temperature, tail):
    """A rest with another mass falls as training goes on all the same."""
    student, teacher = logits
    expected = by_definition(student, teacher, 3, temperature, tail)
    found = value(student, teacher, 3, temperature, tail).item()
    assert found == pytest.approx(expected, rel=1e-4)
    found = gradient(lambda x: value(x, teacher, 3, temperature, tail), student)
    expected = numeric_gradient(lambda x: by_definition(x, teacher, 3, temperature, tail), student)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=3e-6)


@every_objective
@every_temperature
@with_and_without_tail
def test_the_whole_vocabulary_is_the_objective_of_logits(logits, objective, temperature, tail):
    """A recording of everything must train the very student that the live teacher trains."""
    student, teacher = logits
    order = kept(teacher, 8)
    expected = objective(torch.tensor(student), torch.tensor(teacher), temperature=temperature)
    classes = coarse_log_probabilities(torch.tensor(student), *order, tail=tail)
    torch.testing.assert_close(
        objective(*classes, temperature=temperature), expected, rtol=1e-4, atol=1e-5
    )
    found = gradient(
        lambda x: objective(
            *coarse_log_probabilities(x, *order, tail=tail), temperature=temperature
        ),
        student,
    )
    wanted = gradient(
        lambda x: objective(x, torch.tensor(teacher), temperature=temperature), student
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@every_objective
@every_temperature
def test_all_but_one_token_and_the_rest_is_the_whole_vocabulary_too(logits, objective, temperature):
    """A rest of one token is that token: another answer would be a wrong mass of the rest."""
    student, teacher = logits
    expected = objective(torch.tensor(student), torch.tensor(teacher), temperature=temperature)
    classes = coarse_log_probabilities(torch.tensor(student), *kept(teacher, 7), tail=True)
    found = objective(*classes, temperature=temperature)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@every_objective
@with_and_without_tail
def test_a_student_that_is_the_teacher_has_nothing_to_learn(logits, objective, tail):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = logits[1]
    ids = kept(teacher, 3)
    found = gradient(
        lambda x: objective(*coarse_log_probabilities(x, *ids, tail=tail), temperature=4.0), teacher
    )
    np.testing.assert_allclose(found, 0, atol=1e-5)
    assert value(teacher, teacher, 3, 4.0, tail).item() == pytest.approx(0, abs=1e-5)


def test_is_logit_kl_of_the_classes(logits):
    """Its neighbours are to be had by the other functions of logits."""
    student, teacher = logits
    classes = coarse_log_probabilities(torch.tensor(student), *kept(teacher, 3), tail=True)
    assert value(student, teacher, 3) == logit_kl(*classes, temperature=2.0)


def test_is_scipys(logits):
    """Our own definition could be wrong in the same way as the code."""
    student, teacher = logits
    ids = np.argsort(-teacher, axis=1)[:, :3]
    q, p = (np.take_along_axis(softmax(side, axis=1), ids, 1) for side in (student, teacher))
    q, p = (np.c_[side, 1 - side.sum(axis=1)] for side in (q, p))
    expected = rel_entr(p, q).sum(axis=1).mean()
    assert value(student, teacher, 3, 1.0).item() == pytest.approx(expected, rel=1e-5)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    pair=arrays(np.float64, (2, 2, 5), elements=st.floats(min_value=-6, max_value=6, width=32)),
    k=st.integers(min_value=1, max_value=4),
)
def test_merged_classes_are_never_farther_apart_than_single_ones(pair, k):
    """The data-processing inequality: more than the whole vocabulary's would be made up."""
    student, teacher = pair
    whole = logit_kl(torch.tensor(student), torch.tensor(teacher), temperature=1.0).item()
    found = value(student, teacher, k, 1.0).item()
    assert -1e-5 <= found <= whole + 1e-5
    assert found <= value(student, teacher, k + 1, 1.0).item() + 1e-5


def test_without_the_rest_nothing_keeps_the_student_from_other_tokens():
    """Why the rest is a class: shares among the top k can be right with all mass elsewhere."""
    teacher = np.array([[5.0, 4.0, -5.0]])
    student = np.array([[5.0, 4.0, 20.0]])
    assert value(student, teacher, 2, 1.0, tail=False).item() == pytest.approx(0, abs=1e-6)
    assert value(student, teacher, 2, 1.0, tail=True).item() > 10


def test_the_students_rest_is_exact_however_small():
    """1 minus the sum of the top k is 0 in float32, and its logarithm minus infinity."""
    student = torch.tensor([[60.0, 0.0, 1.0, -3.0]])
    found, _ = coarse_log_probabilities(
        student, torch.tensor([[0]]), torch.tensor([[-0.1]]), tail=True
    )
    expected = np.logaddexp.reduce(log_softmax(student.double().numpy()[0])[1:])
    assert found[0, 1].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("log_p", [0.0, 1e-4, -1e-9])
def test_a_teacher_without_a_doubt_gives_finite_losses(log_p):
    """Rounding leaves it a rest of 0 or less, by which the reverse KL would be divided."""
    student = torch.tensor([[1.0, 0.0, 2.0]], requires_grad=True)
    classes = coarse_log_probabilities(
        student, torch.tensor([[0]]), torch.tensor([[log_p]]), tail=True
    )
    for objective in OBJECTIVES:
        loss = objective(*classes, temperature=1.0)
        assert loss.isfinite()
        assert torch.autograd.grad(loss, student, retain_graph=True)[0].isfinite().all()
    assert classes[1].exp().sum().item() == pytest.approx(1)


def test_order_of_the_kept_tokens_does_not_matter(logits):
    """A log-probability must be that of the id beside it."""
    ids, log_p = kept(logits[1], 4)
    order = [2, 0, 3, 1]
    student = torch.tensor(logits[0])
    expected = top_k_kl(student, ids, log_p, temperature=2.0, tail=True)
    found = top_k_kl(student, ids[:, order], log_p[:, order], temperature=2.0, tail=True)
    torch.testing.assert_close(found, expected)
    other = top_k_kl(student, ids[:, order], log_p, temperature=2.0, tail=True)
    assert other.item() != pytest.approx(expected.item(), rel=0.01)


def test_ids_may_be_of_32_bits(logits):
    """As they lie on disk, in half the room."""
    ids, log_p = kept(logits[1], 4)
    student = torch.tensor(logits[0])
    assert top_k_kl(student, ids.int(), log_p, temperature=2.0, tail=True) == top_k_kl(
        student, ids, log_p, temperature=2.0, tail=True
    )


def test_gradients_flow_into_the_student_only(logits):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    ids, log_p = kept(logits[1], 4)
    log_p.requires_grad_()
    student = torch.tensor(logits[0], requires_grad=True)
    top_k_kl(student, ids, log_p, temperature=2.0, tail=True).backward()
    assert student.grad.any()
    assert log_p.grad is None
    own, teacher = coarse_log_probabilities(student, ids, log_p, tail=True)
    assert own.requires_grad
    assert not teacher.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, dtype):
    """A sum over 50,000 tokens has no digit left in bfloat16."""
    student = torch.tensor(logits[0]).to(dtype)
    loss = top_k_kl(student, *kept(logits[1], 4), temperature=2.0, tail=True)
    assert loss.dtype == torch.float32
    assert loss == top_k_kl(student.float(), *kept(logits[1], 4), temperature=2.0, tail=True)


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    arguments = (torch.tensor(logits[0]), *kept(logits[1], 4))
    jaxtyped(top_k_kl, typechecker=beartype)(*arguments, temperature=2.0, tail=True)
    for tail in (True, False):
        jaxtyped(coarse_log_probabilities, typechecker=beartype)(*arguments, tail=tail)


@pytest.mark.parametrize(
    ("student", "ids", "log_p"),
    [
        ((4, 8), (4, 3), (4, 2)),
        ((4, 8), (1, 3), (1, 3)),
        ((4, 8), (3,), (3,)),
        ((4, 8), (4, 0), (4, 0)),
        ((4, 8), (4, 9), (4, 9)),
        ((2, 4, 8), (2, 4, 3), (2, 4, 3)),
        ((0, 8), (0, 3), (0, 3)),
    ],
)
def test_refuses_shapes_that_do_not_belong_together(student, ids, log_p):
    """Places of one text would be compared with those of another."""
    with pytest.raises(ValueError, match=r"coarse_log_probabilities: .*\[places vocabulary\]"):
        coarse_log_probabilities(
            torch.zeros(student), torch.zeros(ids).long(), torch.zeros(log_p), tail=True
        )


def test_refuses_one_token_without_the_rest():
    """The only class has all the probability, and nothing is learned at a loss of 0."""
    arguments = torch.zeros(1, 8), torch.zeros(1, 1).long(), torch.zeros(1, 1)
    with pytest.raises(ValueError, match=r"coarse_log_probabilities: .*tail=True"):
        coarse_log_probabilities(*arguments, tail=False)


@pytest.mark.parametrize("token", [-100, -1, 8])
def test_refuses_ids_outside_the_vocabulary(logits, token):
    """A teacher with another tokenizer names other words by the same numbers."""
    ids, log_p = kept(logits[1], 3)
    ids[1, 2] = token
    with pytest.raises(ValueError, match=f"top_ids contains {token}.*from 0 to 7"):
        coarse_log_probabilities(torch.tensor(logits[0]), ids, log_p, tail=True)


def test_refuses_an_id_twice_at_one_place(logits):
    """Its mass would be counted twice, for the student as for the teacher."""
    ids, log_p = kept(logits[1], 3)
    ids[1, 2] = ids[1, 0]
    with pytest.raises(ValueError, match=f"top_ids contains {ids[1, 0]} twice"):
        coarse_log_probabilities(torch.tensor(logits[0]), ids, log_p, tail=True)


@pytest.mark.parametrize("wrong", [3.0, 0.5, np.nan, np.inf])
def test_refuses_log_probabilities_of_more_than_1(logits, wrong):
    """Logits in their place would train towards a teacher that is ever so sure."""
    ids, log_p = kept(logits[1], 3)
    log_p[1, 0] = wrong
    with pytest.raises(ValueError, match="top_log_probabilities sums to a probability of"):
        coarse_log_probabilities(torch.tensor(logits[0]), ids, log_p, tail=True)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(logits, temperature):
    """A negative one teaches the opposite order of the tokens."""
    with pytest.raises(ValueError, match="temperature is"):
        value(*logits, 3, temperature)
