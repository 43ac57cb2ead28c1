import math

import numpy as np
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import jaxtyped
from scipy.special import rel_entr, softmax

from limbeck.objective import (
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    logit_skewed_kl,
    logit_skewed_reverse_kl,
)

TERMS = [logit_skewed_kl, logit_skewed_reverse_kl]
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)
every_skew = pytest.mark.parametrize("skew", [0.0, 0.1, 0.5, 0.9])
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25, 1.25])
TEMPERATURES = np.array([0.5, 1.0, 2.0, 4.0, 8.0])

logit_pairs = arrays(
    np.float64, (2, 3, 4), elements=st.floats(min_value=-30, max_value=30, width=32)
)


@pytest.fixture
def logits():
    """Student's and teacher's, five rows of four classes."""
    return np.random.default_rng(0).normal(scale=3, size=(2, 5, 4))


def by_definition(term, student, teacher, temperature, skew, weights=1.0):
    """T and weights may be one number or one per row."""
    temperature = np.broadcast_to(temperature, len(student))
    q = np.exp(student / temperature[:, None])
    p = np.exp(teacher / temperature[:, None])
    q, p = q / q.sum(axis=1, keepdims=True), p / p.sum(axis=1, keepdims=True)
    first, second = (p, q) if term is logit_skewed_kl else (q, p)
    mixture = skew * first + (1 - skew) * second
    rows = np.sum(first * (np.log(first) - np.log(mixture)), axis=1)
    return float(np.mean(weights * temperature**2 * rows))


def value(term, student, teacher, temperature, skew):
    return term(
        torch.tensor(student), torch.tensor(teacher), temperature=temperature, skew=skew
    ).item()


def gradient(term, student, teacher, temperature, skew):
    student = torch.tensor(student, requires_grad=True)
    term(student, torch.tensor(teacher), temperature=temperature, skew=skew).backward()
    return student.grad.numpy()


@every_term
@every_skew
@pytest.mark.parametrize("temperature", [0.5, 1, 8.0])
def test_value_is_the_definition(logits, term, skew, temperature):
    """A term without T^2, or with its sides swapped, still falls as training goes on."""
    expected = by_definition(term, *logits, temperature, skew)
    np.testing.assert_allclose(value(term, *logits, temperature, skew), expected, rtol=1e-5)


@every_term
@every_skew
def test_gradient_is_the_definition(logits, numeric_gradient, term, skew):
    """The student is in the mixture too: a gradient through one place alone misleads."""
    student, teacher = logits
    expected = numeric_gradient(
        lambda point: by_definition(term, point, teacher, 2.0, skew), student
    )
    found = gradient(term, *logits, 2.0, skew)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


@every_term
def test_value_is_scipys(logits, term):
    """Our own definition could be wrong in the same way as the code."""
    q, p = (softmax(side / 2, axis=1) for side in logits)
    first, second = (p, q) if term is logit_skewed_kl else (q, p)
    expected = 4 * rel_entr(first, 0.3 * first + 0.7 * second).sum(axis=1).mean()
    np.testing.assert_allclose(value(term, *logits, 2.0, 0.3), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("skewed", "plain"), [(logit_skewed_kl, logit_kl), (logit_skewed_reverse_kl, logit_reverse_kl)]
)
def test_without_skew_is_the_plain_divergence(logits, skewed, plain):
    """The paper's limit, and the neighbour that each page names."""
    student, teacher = torch.tensor(logits)
    expected = plain(student, teacher, temperature=2.0)
    assert skewed(student, teacher, temperature=2.0, skew=0.0) == expected


def test_skewed_by_half_both_make_the_jensen_shannon_divergence(logits):
    """The identity that ties the three: half of each, from the middle."""
    student, teacher = torch.tensor(logits)
    halves = [term(student, teacher, temperature=2.0, skew=0.5) for term in TERMS]
    expected = logit_jensen_shannon(student, teacher, temperature=2.0)
    torch.testing.assert_close(sum(halves) / 2, expected)


@every_term
def test_near_agreement_is_the_plain_divergence_times_the_skews_square(logits, term):
    """What its page says of the gradient: a weight tuned for the plain one must be raised."""
    teacher = logits[1]
    student = teacher + 0.03 * logits[0]
    plain = value(term, student, teacher, 2.0, 0.0)
    assert value(term, student, teacher, 2.0, 0.4) == pytest.approx(0.36 * plain, rel=0.05)


@every_term
@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(pair=logit_pairs)
def test_stays_between_zero_and_its_bound(term, pair):
    """Its use is that one row cannot outweigh the batch."""
    assert -4e-6 <= value(term, *pair, 2.0, 0.1) <= -4 * math.log(0.1) + 1e-4


@every_term
def test_reaches_its_bound_when_the_sides_share_no_class(term):
    """A bound never reached would be a wrong factor."""
    student, teacher = np.array([[90.0, 0.0]]), np.array([[0.0, 90.0]])
    expected = -(1.5**2) * math.log(0.1)
    assert value(term, student, teacher, 1.5, 0.1) == pytest.approx(expected, rel=1e-6)


@every_term
@every_skew
def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(logits, term, skew):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = logits[1]
    assert value(term, teacher, teacher, 2.0, skew) == pytest.approx(0, abs=2e-6)
    np.testing.assert_allclose(gradient(term, teacher, teacher, 2.0, skew), 0, atol=2e-6)


@every_term
def test_weights_and_temperatures_are_the_rows_own(logits, numeric_gradient, term):
    """Divided by their sum, or over the wrong dimension, rows count by the wrong measure."""
    student, teacher = logits
    given = torch.tensor(student, requires_grad=True)
    loss = term(
        given,
        torch.tensor(teacher),
        temperature=torch.tensor(TEMPERATURES),
        skew=0.1,
        weights=torch.tensor(WEIGHTS),
    )
    loss.backward()

    def expected(point):
        return by_definition(term, point, teacher, TEMPERATURES, 0.1, WEIGHTS)

    np.testing.assert_allclose(loss.item(), expected(student), rtol=1e-5)
    np.testing.assert_allclose(
        given.grad, numeric_gradient(expected, student), rtol=1e-4, atol=4e-6
    )


@every_term
@every_skew
def test_logits_of_a_thousand_stay_finite(term, skew):
    """A sure teacher must not end a run in NaN."""
    student, teacher = np.array([[1e3, 0.0, -1e3]]), np.array([[-1e3, 0.0, 1e3]])
    assert np.isfinite(value(term, student, teacher, 1.0, skew))
    assert np.isfinite(gradient(term, student, teacher, 1.0, skew)).all()


@every_term
def test_gradients_flow_into_the_student_only(logits, term):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in logits)
    term(student, teacher, temperature=2.0, skew=0.1).backward()
    assert student.grad.any()
    assert teacher.grad is None


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, term, dtype):
    """In bfloat16 a loss has three digits, and small improvements vanish."""
    student, teacher = torch.tensor(logits).to(dtype)
    loss = term(student, teacher, temperature=2.0, skew=0.1)
    assert loss.dtype == torch.float32
    assert loss == term(student.float(), teacher.float(), temperature=2.0, skew=0.1)


@every_term
def test_shapes_are_those_of_the_signature(logits, term):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(term, typechecker=beartype)
    checked(
        *torch.tensor(logits),
        temperature=torch.tensor(TEMPERATURES),
        skew=0.1,
        weights=torch.tensor(WEIGHTS),
    )


@every_term
@pytest.mark.parametrize("skew", [-0.1, 1.0, 1.5, float("nan")])
def test_refuses_a_skew_that_leaves_nothing_to_learn(term, skew):
    """At 1 the divergence is that of a distribution from itself: 0, whatever the student says."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: skew is {skew}. It must be .*Use"):
        term(torch.zeros(5, 4), torch.zeros(5, 4), temperature=1.0, skew=skew)


@every_term
@pytest.mark.parametrize("teacher_shape", [(5, 1), (1, 4), (4,), (5, 3)])
def test_refuses_unequal_shapes(term, teacher_shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: student_logits .*nothing is broad"):
        term(torch.zeros(5, 4), torch.zeros(teacher_shape), temperature=1.0, skew=0.1)


@every_term
@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4)])
def test_refuses_anything_but_rows_of_classes(term, shape):
    """A token model's logits would bring its padding into the mean; of no rows it is NaN."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*\[batch classes\]"):
        term(torch.zeros(shape), torch.zeros(shape), temperature=1.0, skew=0.1)


@every_term
@pytest.mark.parametrize("temperature", [0.0, float("nan"), torch.tensor([1.0, -1.0])])
def test_refuses_a_temperature_that_is_not_positive_and_finite(term, temperature):
    """A negative one teaches the opposite order of the classes."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: temperature .*positive and finite"):
        term(torch.zeros(2, 4), torch.zeros(2, 4), temperature=temperature, skew=0.1)


@every_term
@pytest.mark.parametrize("weights", [[1.0, -1.0], [1.0, math.nan], [[1.0, 1.0]], [1.0]])
def test_refuses_weights_that_are_no_factors_of_the_rows(term, weights):
    """A negative one drives the student away from the teacher."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: weights .* Pass"):
        term(
            torch.zeros(2, 4),
            torch.zeros(2, 4),
            temperature=1.0,
            skew=0.1,
            weights=torch.tensor(weights),
        )
