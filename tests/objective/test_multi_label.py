import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import expit, rel_entr
from sklearn.metrics import log_loss

from limbeck.objective import binary_cross_entropy, binary_kl, logit_kl

every_temperature = pytest.mark.parametrize("temperature", [0.5, 1, 2, 8.0])
TARGETS = np.array([[1, 0, 1], [0, 0, 0], [1, 1, -100], [-100, -100, -100.0]])


@pytest.fixture
def logits():
    """Student's and teacher's, four rows of three labels."""
    return np.random.default_rng(0).normal(scale=3, size=(2, 4, 3))


def kl_by_definition(student, teacher, temperature):
    q, p = 1 / (1 + np.exp(-student / temperature)), 1 / (1 + np.exp(-teacher / temperature))
    cells = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return float(temperature**2 * cells.mean())


def cross_entropy_by_definition(student, targets):
    cells = []
    for logit, target in zip(student.ravel(), targets.ravel(), strict=True):
        if target != -100:
            p = 1 / (1 + np.exp(-logit))
            cells.append(-np.log(p if target == 1 else 1 - p))
    return float(np.mean(cells))


def kl(student, teacher, temperature):
    return binary_kl(torch.tensor(student), torch.tensor(teacher), temperature=temperature)


def gradient(function, student):
    student = torch.tensor(student, requires_grad=True)
    function(student).backward()
    return student.grad.numpy()


@every_temperature
def test_kl_is_the_definition_in_value_and_gradient(logits, numeric_gradient, temperature):
    """A sum over labels, sides swapped or no T^2 falls as training goes on all the same."""
    student, teacher = logits
    expected = kl_by_definition(student, teacher, temperature)
    np.testing.assert_allclose(kl(student, teacher, temperature).item(), expected, rtol=1e-5)
    found = gradient(
        lambda point: binary_kl(point, torch.tensor(teacher), temperature=temperature), student
    )
    expected = numeric_gradient(lambda x: kl_by_definition(x, teacher, temperature), student)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


@every_temperature
def test_kl_is_scipys_of_two_answers(logits, temperature):
    """Our own definition could be wrong in the same way as the code."""
    q, p = (expit(side / temperature) for side in logits)
    expected = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).mean()
    np.testing.assert_allclose(
        kl(*logits, temperature).item(), temperature**2 * expected, rtol=1e-5
    )


@every_temperature
def test_kl_is_that_of_two_classes_of_which_one_has_logit_0(logits, temperature):
    """The sigmoid is a softmax of two; a softmax over labels would be another loss."""
    student, teacher = (torch.tensor(side).reshape(-1, 1) for side in logits)
    zero = torch.zeros_like(student)
    pairs = [torch.cat([side, zero], dim=1) for side in (student, teacher)]
    expected = logit_kl(*pairs, temperature=temperature)
    torch.testing.assert_close(kl(*logits, temperature), expected, rtol=1e-5, atol=1e-6)


def test_kl_at_high_temperature_matches_logits(logits):
    """Without T^2 the term vanishes as T grows, and its weight means another thing at each T."""
    student, teacher = logits
    expected = np.mean((student - teacher) ** 2) / 8
    np.testing.assert_allclose(kl(student, teacher, 300.0).item(), expected, rtol=1e-3)


def test_kl_is_zero_with_zero_gradient_when_student_and_teacher_agree(logits):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = torch.tensor(logits[1])
    assert kl(logits[1], logits[1], 2.0) == 0
    found = gradient(lambda point: binary_kl(point, teacher, temperature=2.0), logits[1])
    np.testing.assert_allclose(found, 0, atol=1e-7)


def test_kl_stays_finite_for_very_sure_logits():
    """log(sigmoid(-200)) taken in two steps is minus infinity."""
    loss = kl(np.array([[200.0, -200.0]]), np.array([[-200.0, 200.0]]), 1.0)
    assert loss.item() == pytest.approx(200)


def test_a_softmax_would_not_see_what_this_sees():
    """Two labels that apply together must not compete: equal logits are not equal answers."""
    student, teacher = torch.tensor([[-5.0, -5.0]]), torch.tensor([[5.0, 5.0]])
    assert logit_kl(student, teacher, temperature=1.0) == 0
    assert binary_kl(student, teacher, temperature=1.0) > 4


def test_cross_entropy_is_the_definition_in_value_and_gradient(logits, numeric_gradient):
    """Unlabelled cells in the divisor would dilute the labels."""
    student = logits[0]
    loss = binary_cross_entropy(torch.tensor(student), torch.tensor(TARGETS))
    assert loss.item() == pytest.approx(cross_entropy_by_definition(student, TARGETS), rel=1e-5)
    found = gradient(lambda x: binary_cross_entropy(x, torch.tensor(TARGETS)), student)
    expected = numeric_gradient(lambda x: cross_entropy_by_definition(x, TARGETS), student)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert (found[TARGETS == -100] == 0).all()


def test_cross_entropy_is_scikit_learns(logits):
    """The same, from a library that shares no code with torch."""
    labeled = TARGETS != -100
    expected = log_loss(TARGETS[labeled], expit(logits[0][labeled]))
    loss = binary_cross_entropy(torch.tensor(logits[0]), torch.tensor(TARGETS))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_takes_targets_of_whole_numbers(logits):
    """A data reader gives integers; a -100 among them must not become a target."""
    student = torch.tensor(logits[0])
    of_ints = binary_cross_entropy(student, torch.tensor(TARGETS).long())
    assert of_ints == binary_cross_entropy(student, torch.tensor(TARGETS))


def test_cross_entropy_without_a_label_is_zero_with_zero_gradient(logits):
    """A batch of unlabelled rows alone must not turn the weights into NaN."""
    targets = torch.full((4, 3), -100.0)
    assert binary_cross_entropy(torch.tensor(logits[0]), targets) == 0
    assert not gradient(lambda x: binary_cross_entropy(x, targets), logits[0]).any()


def test_gradients_flow_into_the_student_only(logits):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in logits)
    binary_kl(student, teacher, temperature=2.0).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, dtype):
    """A loss in bfloat16 has three digits, and stops falling early."""
    student, teacher = torch.tensor(logits).to(dtype)
    loss = binary_kl(student, teacher, temperature=2.0)
    assert loss.dtype == torch.float32
    assert loss == binary_kl(student.float(), teacher.float(), temperature=2.0)
    hard = binary_cross_entropy(student, torch.tensor(TARGETS))
    assert hard.dtype == torch.float32
    assert hard == binary_cross_entropy(student.float(), torch.tensor(TARGETS))


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    student, teacher = torch.tensor(logits)
    jaxtyped(binary_kl, typechecker=beartype)(student, teacher, temperature=2.0)
    jaxtyped(binary_cross_entropy, typechecker=beartype)(student, torch.tensor(TARGETS))


@pytest.mark.parametrize("shape", [(4, 1), (1, 3), (4,)])
def test_refuses_unequal_shapes(shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    with pytest.raises(ValueError, match=r"binary_kl: .*nothing is broadcast"):
        binary_kl(torch.zeros(4, 3), torch.zeros(shape), temperature=1.0)
    with pytest.raises(ValueError, match=r"binary_cross_entropy: .*\[batch classes\]"):
        binary_cross_entropy(torch.zeros(4, 3), torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 4, 3)])
def test_refuses_anything_but_rows_of_classes(shape):
    """Padded tokens would enter the mean; the mean of nothing is NaN."""
    with pytest.raises(ValueError, match=r"binary_kl: .*\[batch classes\]"):
        binary_kl(torch.zeros(shape), torch.zeros(shape), temperature=1.0)
    with pytest.raises(ValueError, match=r"binary_cross_entropy: .*\[batch classes\]"):
        binary_cross_entropy(torch.zeros(shape), torch.zeros(shape))


@pytest.mark.parametrize("target", [2.0, -1.0, 0.3, np.nan])
def test_refuses_targets_that_are_no_answer(target):
    """A class index would be taken for a very sure label."""
    targets = torch.tensor([[1.0, target]])
    with pytest.raises(ValueError, match=r"binary_cross_entropy: targets contains .*0, 1 or -100"):
        binary_cross_entropy(torch.zeros(1, 2), targets)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(temperature):
    """A negative one teaches the opposite answers."""
    with pytest.raises(ValueError, match="binary_kl: temperature is"):
        binary_kl(torch.zeros(1, 2), torch.zeros(1, 2), temperature=temperature)
