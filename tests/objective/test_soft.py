from functools import partial

import numpy as np
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import jaxtyped
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax
from sklearn.metrics import log_loss

from limbeck.objective import (
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    soft_cross_entropy,
)

DIVERGENCES = [logit_kl, logit_reverse_kl, logit_jensen_shannon]
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25, 1.25])
TEMPERATURES = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
TERMS = [*DIVERGENCES, soft_cross_entropy]
every_divergence = pytest.mark.parametrize("term", DIVERGENCES, ids=lambda term: term.__name__)
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)
every_temperature = pytest.mark.parametrize("temperature", [0.5, 1, 2, 8.0])

logit_pairs = arrays(
    np.float64, (2, 3, 4), elements=st.floats(min_value=-30, max_value=30, width=32)
)
quickly = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@pytest.fixture
def logits():
    """Student's and teacher's, five rows of four classes."""
    return np.random.default_rng(0).normal(scale=3, size=(2, 5, 4))


def kl_of_rows(p, q):
    return np.sum(p * (np.log(p) - np.log(q)), axis=1)


def by_definition(term, student, teacher, temperature):
    q = np.exp(student / temperature) / np.exp(student / temperature).sum(axis=1, keepdims=True)
    p = np.exp(teacher / temperature) / np.exp(teacher / temperature).sum(axis=1, keepdims=True)
    rows = {
        logit_kl: lambda: kl_of_rows(p, q),
        logit_reverse_kl: lambda: kl_of_rows(q, p),
        logit_jensen_shannon: lambda: (
            0.5 * kl_of_rows(p, (p + q) / 2) + 0.5 * kl_of_rows(q, (p + q) / 2)
        ),
        soft_cross_entropy: lambda: -np.sum(p * np.log(q), axis=1),
    }[term]()
    return float(temperature**2 * rows.mean())


def by_scipy_or_scikit_learn(term, student, teacher, temperature):
    p, q = softmax(teacher / temperature, axis=1), softmax(student / temperature, axis=1)
    if term is logit_kl:
        mean = rel_entr(p, q).sum(axis=1).mean()
    elif term is logit_reverse_kl:
        mean = rel_entr(q, p).sum(axis=1).mean()
    elif term is logit_jensen_shannon:
        mean = np.mean(jensenshannon(p, q, axis=1) ** 2)
    else:
        batch, classes = p.shape
        every_label = np.tile(np.arange(classes), batch)
        mean = log_loss(every_label, np.repeat(q, classes, axis=0), sample_weight=p.ravel())
    return temperature**2 * mean


def value(term, student, teacher, temperature):
    return term(torch.tensor(student), torch.tensor(teacher), temperature=temperature).item()


def gradient(term, student, teacher, temperature):
    student = torch.tensor(student, requires_grad=True)
    term(student, torch.tensor(teacher), temperature=temperature).backward()
    return student.grad.numpy()


@every_term
@every_temperature
def test_value_is_the_definition(logits, term, temperature):
    """A term without T^2, or with its sides swapped, still falls as training goes on."""
    student, teacher = logits
    expected = by_definition(term, student, teacher, temperature)
    np.testing.assert_allclose(value(term, student, teacher, temperature), expected, rtol=1e-5)


@every_term
@every_temperature
def test_gradient_is_the_definition(logits, numeric_gradient, term, temperature):
    """The right value with a wrong gradient trains a wrong student."""
    student, teacher = logits
    expected = numeric_gradient(
        lambda point: by_definition(term, point, teacher, temperature), student
    )
    found = gradient(term, student, teacher, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


@every_term
@every_temperature
def test_value_is_scipys_or_scikit_learns(logits, term, temperature):
    """Our own definition could be wrong in the same way as the code."""
    student, teacher = logits
    expected = by_scipy_or_scikit_learn(term, student, teacher, temperature)
    np.testing.assert_allclose(value(term, student, teacher, temperature), expected, rtol=1e-5)


@every_divergence
def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(logits, term):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = logits[1]
    assert value(term, teacher, teacher, 2.0) == 0
    np.testing.assert_allclose(gradient(term, teacher, teacher, 2.0), 0, atol=1e-6)


def test_minimum_of_soft_cross_entropy_is_the_teachers_entropy(logits):
    """Read as a distance to 0, its curve would say that training failed."""
    teacher = logits[1]
    p = softmax(teacher / 2, axis=1)
    entropy = -np.sum(p * np.log(p), axis=1).mean()
    np.testing.assert_allclose(value(soft_cross_entropy, teacher, teacher, 2), 4 * entropy, 1e-5)
    np.testing.assert_allclose(gradient(soft_cross_entropy, teacher, teacher, 2), 0, atol=1e-6)


@every_temperature
def test_soft_cross_entropy_and_logit_kl_have_one_gradient(logits, temperature):
    """Changing from one to the other would change the student, against what their pages say."""
    student, teacher = logits
    np.testing.assert_allclose(
        gradient(soft_cross_entropy, student, teacher, temperature),
        gradient(logit_kl, student, teacher, temperature),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("term", "factor"),
    [(logit_kl, 1 / 2), (logit_reverse_kl, 1 / 2), (logit_jensen_shannon, 1 / 8)],
)
def test_at_high_temperature_is_the_variance_of_the_logits_difference(logits, term, factor):
    """Without T^2 the term vanishes as T grows, and its weight means another thing at each T."""
    student, teacher = logits
    expected = factor * np.var(student - teacher, axis=1).mean()
    np.testing.assert_allclose(value(term, student, teacher, 200.0), expected, rtol=0.03)


def test_at_high_temperature_the_gradient_matches_centered_logits(logits):
    """Hinton's section 2.1: distillation becomes matching of logits, (z - v) / classes."""
    batch, classes = logits[0].shape
    student, teacher = logits - logits.mean(axis=2, keepdims=True)
    expected = (student - teacher) / classes / batch
    found = gradient(logit_kl, student, teacher, 1000.0)
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())


def test_kl_and_reverse_kl_are_each_other_with_sides_swapped(logits):
    """The two differ in what they forgive; one under the other's name goes unnoticed."""
    student, teacher = logits
    forward = value(logit_kl, student, teacher, 2.0)
    assert forward == pytest.approx(value(logit_reverse_kl, teacher, student, 2.0), rel=1e-6)
    assert forward != pytest.approx(value(logit_reverse_kl, student, teacher, 2.0), rel=0.05)


@quickly
@given(pair=logit_pairs)
def test_jensen_shannon_is_symmetric_and_bounded(pair):
    """Its use is that one row cannot outweigh the batch."""
    student, teacher = pair
    loss = value(logit_jensen_shannon, student, teacher, 2.0)
    assert -1e-6 <= loss <= 4 * np.log(2) + 1e-5
    assert loss == pytest.approx(value(logit_jensen_shannon, teacher, student, 2.0), abs=1e-5)


def test_jensen_shannon_reaches_its_bound_when_the_sides_share_no_class():
    """A bound never reached would be a wrong factor."""
    student, teacher = np.array([[90.0, 0.0]]), np.array([[0.0, 90.0]])
    assert value(logit_jensen_shannon, student, teacher, 1.5) == pytest.approx(
        1.5**2 * np.log(2), rel=1e-6
    )


@every_divergence
@quickly
@given(pair=logit_pairs)
def test_is_never_negative(term, pair):
    """A divergence below 0 would reward a student for something other than agreement."""
    student, teacher = pair
    assert value(term, student, teacher, 2.0) >= -4e-6


@every_term
@quickly
@given(pair=logit_pairs, shift=st.floats(min_value=-20, max_value=20))
def test_a_constant_added_to_a_row_of_logits_changes_nothing(term, pair, shift):
    """It changes no probability: a student must not be taught the teacher's offset."""
    student, teacher = pair
    plain = value(term, student, teacher, 2.0)
    assert value(term, student + shift, teacher - shift, 2.0) == pytest.approx(
        plain, rel=1e-4, abs=1e-4
    )


@every_term
def test_a_batch_counts_as_the_mean_of_its_rows(logits, term):
    """With a sum, or a mean over classes too, the learning rate would depend on the task."""
    student, teacher = logits
    rows = [value(term, student[[row]], teacher[[row]], 2.0) for row in range(len(student))]
    assert value(term, student, teacher, 2.0) == pytest.approx(np.mean(rows), rel=1e-5)


@every_term
def test_every_row_has_its_own_temperature(logits, numeric_gradient, term):
    """Softened over classes, or with one T^2 for all, rows count by the wrong measure."""
    student, teacher = logits

    def rows(point):
        return np.mean(
            [
                by_definition(term, point[[row]], teacher[[row]], TEMPERATURES[row])
                for row in range(5)
            ]
        )

    temperature = torch.tensor(TEMPERATURES)
    np.testing.assert_allclose(value(term, *logits, temperature), rows(student), rtol=1e-5)
    found = gradient(term, *logits, temperature)
    np.testing.assert_allclose(found, numeric_gradient(rows, student), rtol=1e-4, atol=4e-6)


@every_term
def test_one_temperature_written_once_per_row_changes_nothing(logits, term):
    """A temperature that adapts would start by changing the loss where it has not moved yet."""
    once = value(term, *logits, 3.0)
    assert value(term, *logits, torch.full((5,), 3.0)) == pytest.approx(once, rel=1e-6)


@every_term
@pytest.mark.parametrize("temperature", [2.0, torch.tensor(TEMPERATURES)])
def test_weights_are_factors_of_the_rows(logits, numeric_gradient, term, temperature):
    """Divided by their sum, or put on the logits, they would mean something else at each batch."""
    student, teacher = logits
    each = np.broadcast_to(np.asarray(temperature), (5,))

    def rows(point):
        return np.mean(
            [
                WEIGHTS[row] * by_definition(term, point[[row]], teacher[[row]], each[row])
                for row in range(5)
            ]
        )

    given = torch.tensor(student, requires_grad=True)
    loss = term(
        given, torch.tensor(teacher), temperature=temperature, weights=torch.tensor(WEIGHTS)
    )
    loss.backward()
    np.testing.assert_allclose(loss.item(), rows(student), rtol=1e-5)
    np.testing.assert_allclose(given.grad, numeric_gradient(rows, student), rtol=1e-4, atol=4e-6)


@every_term
def test_weights_of_one_change_nothing(logits, term):
    """None and 1 must train the same student."""
    student, teacher = torch.tensor(logits)
    torch.testing.assert_close(
        term(student, teacher, temperature=2.0, weights=torch.ones(5)),
        term(student, teacher, temperature=2.0),
    )


@every_term
def test_no_gradient_flows_into_weights_and_temperatures(logits, term):
    """A student could lower the loss by looking sure, instead of by learning."""
    student = torch.tensor(logits[0], requires_grad=True)
    weights = torch.tensor(WEIGHTS, requires_grad=True)
    temperature = torch.tensor(TEMPERATURES, requires_grad=True)
    term(student, torch.tensor(logits[1]), temperature=temperature, weights=weights).backward()
    assert student.grad.any()
    assert weights.grad is None
    assert temperature.grad is None


@every_term
def test_gradients_flow_into_the_student_only(logits, term):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in logits)
    term(student, teacher, temperature=2.0).backward()
    assert student.grad.any()
    assert teacher.grad is None


@every_term
def test_logits_of_a_thousand_stay_finite(term):
    """A sure teacher must not end a run in NaN."""
    student, teacher = np.array([[1e3, 0.0, -1e3]]), np.array([[-1e3, 0.0, 1e3]])
    assert np.isfinite(value(term, student, teacher, 1.0))
    assert np.isfinite(gradient(term, student, teacher, 1.0)).all()


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, term, dtype):
    """In bfloat16 a loss has three digits, and small improvements vanish."""
    student, teacher = torch.tensor(logits).to(dtype)
    loss = term(student, teacher, temperature=2.0)
    assert loss.dtype == torch.float32
    assert loss == term(student.float(), teacher.float(), temperature=2.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == term(student, teacher, temperature=2.0)


@every_term
def test_shapes_are_those_of_the_signature(logits, term):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(term, typechecker=beartype)
    checked(*torch.tensor(logits), temperature=2.0)
    checked(
        *torch.tensor(logits),
        temperature=torch.tensor(TEMPERATURES),
        weights=torch.tensor(WEIGHTS),
    )


@every_term
@pytest.mark.parametrize("teacher_shape", [(5, 1), (1, 4), (4,), (5, 3)])
def test_refuses_unequal_shapes(term, teacher_shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    message = rf"{term.__name__}: student_logits has shape \(5, 4\), .*nothing is broadcast. Pass"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(5, 4), torch.zeros(teacher_shape), temperature=1.0)


@every_term
@pytest.mark.parametrize("shape", [(4,), (2, 5, 4)])
def test_refuses_anything_but_rows_of_classes(term, shape):
    """A token model's logits would bring its padding into the mean."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*\[batch classes\].*Reshape"):
        term(torch.zeros(shape), torch.zeros(shape), temperature=1.0)


@every_term
def test_refuses_an_empty_batch(term):
    """The mean of no rows is NaN, and so would be every weight after the step."""
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*at least one entry.*Skip"):
        term(torch.zeros(0, 4), torch.zeros(0, 4), temperature=1.0)


@every_term
@pytest.mark.parametrize("temperature", [0.0, -2.0, float("inf"), float("nan")])
def test_refuses_a_temperature_that_is_not_positive_and_finite(term, temperature):
    """A negative one teaches the opposite order of the classes."""
    call = partial(term, torch.zeros(5, 4), torch.zeros(5, 4))
    message = rf"{term.__name__}: temperature is {temperature}. It must be positive and finite. Use"
    with pytest.raises(ValueError, match=message):
        call(temperature=temperature)


@every_term
@pytest.mark.parametrize("temperature", [0.0, -2.0, float("inf"), float("nan")])
def test_refuses_such_a_temperature_of_one_row_too(term, temperature):
    """One row of NaN is enough to end the run in NaN."""
    temperatures = torch.tensor([1.0, 1.0, temperature, 1.0, 1.0])
    message = rf"{term.__name__}: temperature contains {temperature}. It must be positive"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(5, 4), torch.zeros(5, 4), temperature=temperatures)


@every_term
@pytest.mark.parametrize("shape", [(), (1,), (4,), (5, 1), (5, 4)])
def test_refuses_temperatures_that_are_not_one_per_row(term, shape):
    """Of as many classes as rows, classes would be softened instead."""
    message = rf"{term.__name__}: temperature has shape .*\[batch\], which is \(5,\). Pass"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(5, 4), torch.zeros(5, 4), temperature=torch.ones(shape))


@every_term
@pytest.mark.parametrize("weight", [-0.5, float("inf"), float("nan")])
def test_refuses_a_negative_or_infinite_weight(term, weight):
    """A negative one drives the student away from the teacher."""
    weights = torch.tensor([1.0, 1.0, weight, 1.0, 1.0])
    message = rf"{term.__name__}: weights contains {weight}. Every row.*at least 0. Pass"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(5, 4), torch.zeros(5, 4), temperature=1.0, weights=weights)


@every_term
@pytest.mark.parametrize("shape", [(), (1,), (4,), (5, 1)])
def test_refuses_weights_that_are_not_one_per_row(term, shape):
    """Broadcasting would weight rows by each other's weights."""
    message = rf"{term.__name__}: weights has shape .*\[batch\], which is \(5,\). Pass"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(5, 4), torch.zeros(5, 4), temperature=1.0, weights=torch.ones(shape))
