import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.spatial.distance import cosine
from sklearn.metrics import mean_squared_error
from sklearn.preprocessing import normalize

from limbeck.objective import hidden_cosine, hidden_mse, hidden_normalized_mse

TERMS = [hidden_mse, hidden_cosine, hidden_normalized_mse]
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)

# Rows of unlike length: a mean of the rows' means is another number than the mean over tokens.
MASK = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]])
REAL = MASK == 1


@pytest.fixture
def hidden():
    """Student's and teacher's, three rows of four tokens of five units."""
    return np.random.default_rng(0).normal(size=(2, 3, 4, 5))


def by_definition(term, student, teacher):
    losses = []
    for row, token in np.argwhere(MASK):
        s, t = student[row, token], teacher[row, token]
        if term is hidden_mse:
            losses.append(np.mean((s - t) ** 2))
        elif term is hidden_normalized_mse:
            losses.append(np.sum((s / np.sqrt(s @ s) - t / np.sqrt(t @ t)) ** 2))
        else:
            losses.append(1 - np.sum(s * t) / np.sqrt(np.sum(s * s) * np.sum(t * t)))
    return float(np.mean(losses))


def by_scipy_or_scikit_learn(term, student, teacher):
    if term is hidden_mse:
        return mean_squared_error(teacher[REAL], student[REAL])
    if term is hidden_normalized_mse:
        student, teacher = normalize(student[REAL]), normalize(teacher[REAL])
        return student.shape[1] * mean_squared_error(teacher, student)
    return np.mean([cosine(s, t) for s, t in zip(student[REAL], teacher[REAL], strict=True)])


def value(term, student, teacher, mask=MASK):
    loss = term(torch.tensor(student), torch.tensor(teacher), attention_mask=torch.tensor(mask))
    return loss.item()


def gradient(term, student, teacher):
    student = torch.tensor(student, requires_grad=True)
    term(student, torch.tensor(teacher), attention_mask=torch.tensor(MASK)).backward()
    return student.grad.numpy()


@every_term
def test_value_is_the_definition(hidden, term):
    """A sum over units, or a mean with padding in it, falls as training goes on all the same."""
    np.testing.assert_allclose(value(term, *hidden), by_definition(term, *hidden), rtol=1e-5)


@every_term
def test_gradient_is_the_definition(hidden, numeric_gradient, term):
    """The right value with a wrong gradient trains a wrong student."""
    student, teacher = hidden
    expected = numeric_gradient(lambda point: by_definition(term, point, teacher), student)
    np.testing.assert_allclose(gradient(term, student, teacher), expected, rtol=1e-4, atol=1e-6)


@every_term
def test_value_is_scipys_or_scikit_learns(hidden, term):
    """Our own definition could be wrong in the same way as the code."""
    expected = by_scipy_or_scikit_learn(term, *hidden)
    np.testing.assert_allclose(value(term, *hidden), expected, rtol=1e-5)


@every_term
def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(hidden, term):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = hidden[1]
    assert value(term, teacher, teacher) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(term, teacher, teacher), 0, atol=1e-6)


@every_term
def test_masking_a_token_equals_removing_it(hidden, term):
    """Otherwise a text's loss depends on the length of its neighbours in the batch."""
    mask = np.ones((3, 4), dtype=np.int64)
    mask[:, 2:] = 0
    masked = value(term, *hidden, mask=mask)
    assert masked == pytest.approx(value(term, *hidden[:, :, :2], mask=mask[:, :2]), rel=1e-6)


@every_term
@pytest.mark.parametrize("padding", [1e30, np.inf, np.nan])
def test_padding_never_counts_whatever_stands_there(hidden, term, padding):
    """A mask by multiplication lets NaN through: 0 * NaN is NaN."""
    expected = value(term, *hidden), gradient(term, *hidden)
    hidden[:, ~REAL] = padding
    assert value(term, *hidden) == expected[0]
    np.testing.assert_array_equal(gradient(term, *hidden), expected[1])


@every_term
def test_a_boolean_mask_is_read_like_one_of_zeros_and_ones(hidden, term):
    """A model's own mask is often boolean; read as the wrong type it could pick rows 0 and 1."""
    assert value(term, *hidden, mask=REAL) == value(term, *hidden)


def test_cosine_leaves_the_scale_free_and_mse_does_not(hidden):
    """This is what one chooses between them for."""
    student, teacher = hidden
    cosines = value(hidden_cosine, student, teacher), value(hidden_cosine, 7 * student, teacher)
    assert cosines[0] == pytest.approx(cosines[1], rel=1e-5)
    assert value(hidden_mse, 7 * student, teacher) > 2 * value(hidden_mse, student, teacher)


def test_cosine_is_two_for_opposite_states_and_one_for_zero_states(hidden):
    """Ends of the range that its page states; a zero vector must not give NaN."""
    teacher = hidden[1]
    assert value(hidden_cosine, -teacher, teacher) == pytest.approx(2, abs=1e-6)
    assert value(hidden_cosine, 0 * teacher, teacher) == 1


def test_normalized_mse_is_twice_the_cosine(hidden):
    """|u - v|^2 = 2 - 2 cos: its page says so, and sends the reader to the neighbour."""
    expected = 2 * value(hidden_cosine, *hidden)
    assert value(hidden_normalized_mse, *hidden) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("zero", ["student", "teacher", "both"])
def test_normalized_mse_takes_a_zero_state_as_it_is(hidden, zero):
    """Divided by a tiny number instead of its length, its gradient would undo the training."""
    student, teacher = hidden
    student = 0 * student if zero in ("student", "both") else student
    teacher = 0 * teacher if zero in ("teacher", "both") else teacher
    expected = 0 if zero == "both" else 1
    assert value(hidden_normalized_mse, student, teacher) == pytest.approx(expected)
    assert np.abs(gradient(hidden_normalized_mse, student, teacher)).max() < 10


@every_term
def test_gradients_flow_into_the_student_only(hidden, term):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in hidden)
    term(student, teacher, attention_mask=torch.tensor(MASK)).backward()
    assert student.grad.any()
    assert teacher.grad is None


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_states_are_reduced_in_float32(hidden, term, dtype):
    """BERT has units beyond 256, whose squares overflow float16."""
    student, teacher = torch.tensor(300 * hidden).to(dtype)
    mask = torch.tensor(MASK)
    loss = term(student, teacher, attention_mask=mask)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert loss == term(student.float(), teacher.float(), attention_mask=mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss == term(student, teacher, attention_mask=mask)


@every_term
def test_shapes_are_those_of_the_signature(hidden, term):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(term, typechecker=beartype)
    checked(*torch.tensor(hidden), attention_mask=torch.tensor(MASK))
    checked(*torch.tensor(hidden), attention_mask=torch.tensor(REAL))


@every_term
@pytest.mark.parametrize("teacher_shape", [(3, 4, 1), (3, 1, 5), (1, 4, 5), (4, 5), (3, 4, 8)])
def test_refuses_unequal_shapes(term, teacher_shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    message = rf"{term.__name__}: student_hidden has shape \(3, 4, 5\), .*nothing is broadcast"
    with pytest.raises(ValueError, match=message):
        term(torch.zeros(3, 4, 5), torch.zeros(teacher_shape), attention_mask=torch.tensor(MASK))


@every_term
def test_refuses_anything_but_rows_of_tokens(term):
    """Pooled vectors [batch hidden] would be read as tokens of one unit each."""
    states = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*\[batch tokens hidden\].*Reshape"):
        term(states, states, attention_mask=torch.tensor(MASK))


@every_term
def test_refuses_an_empty_batch(term):
    """The mean of no tokens is NaN, and so would be every weight after the step."""
    states = torch.zeros(0, 4, 5)
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*at least one entry.*Skip"):
        term(states, states, attention_mask=torch.ones(0, 4))


@every_term
@pytest.mark.parametrize("mask_shape", [(3, 1), (3,), (3, 5), (3, 1, 1, 4)])
def test_refuses_a_mask_of_another_shape(term, mask_shape):
    """A broadcast mask would mask other tokens than the padded ones."""
    states = torch.zeros(3, 4, 5)
    message = rf"{term.__name__}: attention_mask has shape .*\[batch tokens\].*Pass the mask"
    with pytest.raises(ValueError, match=message):
        term(states, states, attention_mask=torch.ones(mask_shape, dtype=torch.int64))


@every_term
@pytest.mark.parametrize("mask", [(1.0 - MASK) * -1e4, MASK * 2, -MASK])
def test_refuses_a_mask_of_anything_but_zeros_and_ones(term, mask):
    """An additive mask is 0 where a token is real: training would see padding alone."""
    states = torch.zeros(3, 4, 5)
    with pytest.raises(ValueError, match=rf"{term.__name__}: attention_mask contains .*tokenizer"):
        term(states, states, attention_mask=torch.tensor(mask))


@every_term
def test_refuses_a_batch_of_padding(term):
    """The mean of no tokens is NaN, and so would be every weight after the step."""
    states = torch.zeros(3, 4, 5)
    with pytest.raises(ValueError, match=rf"{term.__name__}: attention_mask marks none of 12"):
        term(states, states, attention_mask=torch.zeros(3, 4, dtype=torch.int64))
