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

from limbeck.objective import decoupled_kd, logit_kl

# The teacher's first choice of rows 1 and 4 is another class than their neighbours' labels.
LABELS = np.array([2, -100, 0, 1, -100])
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25, 1.25])
TEMPERATURES = np.array([0.5, 1.0, 2.0, 4.0, 8.0])

logit_pairs = arrays(
    np.float64, (2, 5, 4), elements=st.floats(min_value=-30, max_value=30, width=32)
)


@pytest.fixture
def logits():
    """Student's and teacher's, five rows of four classes."""
    return np.random.default_rng(0).normal(scale=3, size=(2, 5, 4))


def rows_by_definition(student, teacher, labels, temperature):
    """TCKD and NCKD of each row, times its T^2; T may be one number or one per row."""
    temperature = np.broadcast_to(temperature, len(student))
    parts = []
    for s, t, label, T in zip(student, teacher, labels, temperature, strict=True):
        label = int(np.argmax(t)) if label == -100 else label
        q, p = np.exp(s / T) / np.exp(s / T).sum(), np.exp(t / T) / np.exp(t / T).sum()
        rest_q, rest_p = np.delete(q, label), np.delete(p, label)
        b_q = np.array([q[label], rest_q.sum()])
        b_p = np.array([p[label], rest_p.sum()])
        rest_q, rest_p = rest_q / rest_q.sum(), rest_p / rest_p.sum()
        tckd = np.sum(b_p * np.log(b_p / b_q))
        nckd = np.sum(rest_p * np.log(rest_p / rest_q))
        parts.append((T**2 * tckd, T**2 * nckd))
    return np.array(parts)


def by_definition(student, teacher, temperature, alpha, beta, weights=1.0):
    parts = rows_by_definition(student, teacher, LABELS, temperature)
    return float(np.mean(weights * (parts @ [alpha, beta])))


def value(student, teacher, temperature=2.0, alpha=1.0, beta=1.0, labels=LABELS):
    return decoupled_kd(
        torch.tensor(student),
        torch.tensor(teacher),
        torch.tensor(labels),
        temperature=temperature,
        alpha=alpha,
        beta=beta,
    ).item()


def gradient(student, teacher, temperature=2.0, alpha=1.0, beta=1.0):
    student = torch.tensor(student, requires_grad=True)
    decoupled_kd(
        student,
        torch.tensor(teacher),
        torch.tensor(LABELS),
        temperature=temperature,
        alpha=alpha,
        beta=beta,
    ).backward()
    return student.grad.numpy()


@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (0, 1), (1.0, 8.0), (0.5, 2.0)])
@pytest.mark.parametrize("temperature", [0.5, 1, 4.0])
def test_value_is_the_definition(logits, temperature, alpha, beta):
    """A part under the other's weight, or without T^2, falls as training goes on all the same."""
    expected = by_definition(*logits, temperature, alpha, beta)
    np.testing.assert_allclose(value(*logits, temperature, alpha, beta), expected, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (0, 1), (1.0, 8.0)])
def test_gradient_is_the_definition(logits, numeric_gradient, alpha, beta):
    """The right value with a wrong gradient trains a wrong student."""
    student, teacher = logits
    expected = numeric_gradient(
        lambda point: by_definition(point, teacher, 2.0, alpha, beta), student
    )
    found = gradient(*logits, 2.0, alpha, beta)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=4e-6)


def test_parts_are_scipys(logits):
    """Our own definition could be wrong in the same way as the code."""
    student, teacher = (softmax(side / 2, axis=1) for side in logits)
    labels = np.where(LABELS < 0, teacher.argmax(axis=1), LABELS)
    target = np.eye(4, dtype=bool)[labels]
    b_student, b_teacher = (
        np.stack([side[target], 1 - side[target]], axis=1) for side in (student, teacher)
    )
    tckd = rel_entr(b_teacher, b_student).sum(axis=1).mean()
    others = [np.where(target, -np.inf, side / 2) for side in logits]
    nckd = rel_entr(*(softmax(side, axis=1) for side in others[::-1])).sum(axis=1).mean()
    np.testing.assert_allclose(value(*logits, beta=0.0), 4 * tckd, rtol=1e-5)
    np.testing.assert_allclose(value(*logits, alpha=0.0), 4 * nckd, rtol=1e-5)


@pytest.mark.parametrize("row", range(5))
def test_the_parts_make_up_the_kl(logits, row):
    """The paper's identity: KL = TCKD + (1 - p_target) * NCKD."""
    student, teacher = (side[[row]] for side in logits)
    labels = LABELS[[row]]
    p = softmax(teacher / 2, axis=1)[0]
    target = p.max() if labels[0] == -100 else p[labels[0]]
    found = value(student, teacher, 2.0, 1.0, float(1 - target), labels=labels)
    expected = logit_kl(torch.tensor(student), torch.tensor(teacher), temperature=2.0)
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_with_two_classes_is_alpha_times_the_kl(logits):
    """What its page says, so that nobody tunes a beta that does nothing."""
    student, teacher = logits[:, :, :2]
    labels = np.array([0, 1, 1, 0, -100])
    expected = logit_kl(torch.tensor(student), torch.tensor(teacher), temperature=2.0).item()
    assert value(student, teacher, 2.0, 3.0, 8.0, labels=labels) == pytest.approx(3 * expected)
    assert value(student, teacher, 2.0, 0.0, 8.0, labels=labels) == 0


def test_without_a_label_the_teachers_first_choice_is_the_target(logits):
    """Read as a class, -100 would split off the last one or crash."""
    choice = np.where(LABELS < 0, logits[1].argmax(axis=1), LABELS)
    assert value(*logits, beta=8.0) == value(*logits, beta=8.0, labels=choice)


def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(logits):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = logits[1]
    assert value(teacher, teacher, beta=8.0) == 0
    np.testing.assert_allclose(gradient(teacher, teacher, beta=8.0), 0, atol=1e-5)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(pair=logit_pairs)
def test_is_never_negative(pair):
    """A divergence below 0 would reward a student for something other than agreement."""
    assert value(*pair, beta=8.0) >= -1e-4


def test_weights_and_temperatures_are_the_rows_own(logits, numeric_gradient):
    """Divided by their sum, or over the wrong dimension, rows count by the wrong measure."""
    student, teacher = logits
    given = torch.tensor(student, requires_grad=True)
    loss = decoupled_kd(
        given,
        torch.tensor(teacher),
        torch.tensor(LABELS),
        temperature=torch.tensor(TEMPERATURES),
        alpha=1.0,
        beta=2.0,
        weights=torch.tensor(WEIGHTS),
    )
    loss.backward()

    def expected(point):
        return by_definition(point, teacher, TEMPERATURES, 1.0, 2.0, WEIGHTS)

    np.testing.assert_allclose(loss.item(), expected(student), rtol=1e-5)
    np.testing.assert_allclose(
        given.grad, numeric_gradient(expected, student), rtol=1e-4, atol=1e-5
    )


def test_logits_of_a_thousand_stay_finite():
    """A teacher that leaves nothing for the other classes must not end a run in NaN."""
    student, teacher = np.array([[1e3, 0.0, -1e3]]), np.array([[-1e3, 0.0, 1e3]])
    for labels in ([0], [1], [2]):
        given = torch.tensor(student, requires_grad=True)
        loss = decoupled_kd(
            given,
            torch.tensor(teacher),
            torch.tensor(labels),
            temperature=1.0,
            alpha=1.0,
            beta=8.0,
        )
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(given.grad).all()


def test_gradients_flow_into_the_student_only(logits):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in logits)
    labels = torch.tensor(LABELS)
    decoupled_kd(student, teacher, labels, temperature=2.0, alpha=1.0, beta=8.0).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, dtype):
    """In bfloat16 a loss has three digits, and small improvements vanish."""
    student, teacher = torch.tensor(logits).to(dtype)
    settings = {"temperature": 2.0, "alpha": 1.0, "beta": 8.0}
    loss = decoupled_kd(student, teacher, torch.tensor(LABELS), **settings)
    assert loss.dtype == torch.float32
    assert loss == decoupled_kd(
        student.float(), teacher.float(), torch.tensor(LABELS, dtype=torch.int32), **settings
    )


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    jaxtyped(decoupled_kd, typechecker=beartype)(
        *torch.tensor(logits),
        torch.tensor(LABELS),
        temperature=torch.tensor(TEMPERATURES),
        alpha=1.0,
        beta=2.0,
        weights=torch.tensor(WEIGHTS),
    )


def call(
    student=(5, 4), teacher=None, labels=None, temperature=1.0, alpha=1.0, beta=1.0, weights=None
):
    decoupled_kd(
        torch.zeros(student),
        torch.zeros(teacher or student),
        torch.zeros(student[:1], dtype=torch.int64) if labels is None else torch.tensor(labels),
        temperature=temperature,
        alpha=alpha,
        beta=beta,
        weights=None if weights is None else torch.tensor(weights),
    )


@pytest.mark.parametrize("teacher", [(5, 1), (1, 4), (4,), (5, 3)])
def test_refuses_unequal_shapes(teacher):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    with pytest.raises(ValueError, match=r"decoupled_kd: student_logits .*nothing is broadcast"):
        call(teacher=teacher)


@pytest.mark.parametrize("student", [(4,), (2, 5, 4), (0, 4)])
def test_refuses_anything_but_rows_of_classes(student):
    """A token model's logits would bring its padding into the mean; of no rows it is NaN."""
    with pytest.raises(ValueError, match=r"decoupled_kd: .*\[batch classes\]"):
        call(student=student)


def test_refuses_a_single_class():
    """A regression head has no other classes: the term would be 0 whatever it says."""
    with pytest.raises(ValueError, match=r"decoupled_kd: .*at least 2 classes.*Use a classi"):
        call(student=(5, 1))


@pytest.mark.parametrize("labels", [[0, 1], [[0], [0], [0], [0], [0]], 0])
def test_refuses_anything_but_one_label_per_row(labels):
    """Labels that belong to other rows split off the wrong class."""
    with pytest.raises(ValueError, match=r"decoupled_kd: .*\[batch classes\] and \[batch\]. Pass"):
        call(labels=labels)


@pytest.mark.parametrize("label", [-1, 4, -101])
def test_refuses_labels_that_are_no_class(label):
    """Labels counted from 1 would split off the neighbouring class."""
    with pytest.raises(ValueError, match=rf"decoupled_kd: labels contains \[{label}\].*Count"):
        call(labels=[0, 1, label, -100, 3])


@pytest.mark.parametrize("temperature", [0.0, math.nan, torch.tensor([1.0, 1, 1, 1, -1])])
def test_refuses_a_temperature_that_is_not_positive_and_finite(temperature):
    """A negative one teaches the opposite order of the classes."""
    with pytest.raises(ValueError, match=r"decoupled_kd: temperature .*positive and finite"):
        call(temperature=temperature)


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
def test_refuses_a_negative_part(name, wrong):
    """It would drive the student away from the teacher."""
    with pytest.raises(ValueError, match=rf"decoupled_kd: {name} is {wrong}.*at least 0.*Use 0"):
        call(**{name: wrong})


@pytest.mark.parametrize("weights", [[1.0, 1, 1, 1, -1], [1.0, 1, 1, 1, math.nan], [1.0]])
def test_refuses_weights_that_are_no_factors_of_the_rows(weights):
    """A negative one drives the student away from the teacher."""
    with pytest.raises(ValueError, match=r"decoupled_kd: weights .* Pass"):
        call(weights=weights)
