import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import rel_entr, softmax
from torch.nn import functional

from limbeck.objective import logit_kl, span_cross_entropy, span_kl

every_temperature = pytest.mark.parametrize("temperature", [0.5, 1, 2, 8.0])
MASK = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 1, 1, 0]])
STARTS, ENDS = np.array([2, -100, 2]), np.array([3, -100, 2])


@pytest.fixture
def logits():
    """Student's and teacher's, three rows of five tokens."""
    return np.random.default_rng(0).normal(scale=2, size=(2, 3, 5, 2))


def probabilities(logits, temperature):
    powers = np.exp(logits / temperature)
    return powers / powers.sum()


def kl_by_definition(student, teacher, temperature):
    losses = []
    for row, kept in enumerate(MASK.astype(bool)):
        for side in (0, 1):
            p = probabilities(teacher[row, kept, side], temperature)
            q = probabilities(student[row, kept, side], temperature)
            losses.append(np.sum(p * np.log(p / q)))
    return float(temperature**2 * np.mean(losses))


def cross_entropy_by_definition(student):
    rows = []
    for row, kept in enumerate(MASK.astype(bool)):
        if STARTS[row] == -100:
            continue
        total = 0.0
        for side, place in ((0, STARTS[row]), (1, ENDS[row])):
            scores = student[row, :, side]
            total -= np.log(np.exp(scores[place]) / np.exp(scores[kept]).sum())
        rows.append(total / 2)
    return float(np.mean(rows))


def kl(student, teacher, temperature=2.0, mask=MASK):
    return span_kl(
        torch.as_tensor(student),
        torch.as_tensor(teacher),
        torch.as_tensor(mask),
        temperature=temperature,
    )


def hard(student, starts=STARTS, ends=ENDS, mask=MASK):
    return span_cross_entropy(
        torch.as_tensor(student),
        torch.as_tensor(starts),
        torch.as_tensor(ends),
        torch.as_tensor(mask),
    )


def gradient(function, student):
    student = torch.tensor(student, requires_grad=True)
    function(student).backward()
    return student.grad.numpy()


@every_temperature
def test_kl_is_the_definition_in_value_and_gradient(logits, numeric_gradient, temperature):
    """Padding in the softmax, or a sum of both ends, falls as training goes on all the same."""
    student, teacher = logits
    expected = kl_by_definition(student, teacher, temperature)
    assert kl(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-5)
    found = gradient(lambda x: kl(x, teacher, temperature), student)
    expected = numeric_gradient(lambda x: kl_by_definition(x, teacher, temperature), student)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


def test_kl_is_scipys(logits):
    """Our own definition could be wrong in the same way as the code."""
    masked = np.where(MASK[None, ..., None] == 1, logits / 2, -np.inf)
    q, p = softmax(masked, axis=2)
    expected = 4 * rel_entr(p, q).sum(axis=1).mean()
    assert kl(*logits).item() == pytest.approx(expected, rel=1e-5)


def test_kl_without_a_mask_is_logit_kl_of_starts_and_ends(logits):
    """Two measures of one thing would make runs incomparable."""
    student, teacher = (torch.tensor(side).transpose(1, 2).reshape(6, 5) for side in logits)
    expected = logit_kl(student, teacher, temperature=2.0)
    torch.testing.assert_close(kl(*logits, mask=np.ones((3, 5), dtype=int)), expected)


def test_masking_a_token_equals_removing_it(logits):
    """Otherwise a text's loss depends on the length of its neighbours in the batch."""
    mask = np.array([[0, 1, 1, 1, 0]] * 3)
    cut = logits[:, :, 1:4]
    ones = np.ones((3, 3), dtype=int)
    torch.testing.assert_close(kl(*logits, mask=mask), kl(*cut, mask=ones))
    starts, ends = np.array([1, 2, 3]), np.array([3, 2, 3])
    torch.testing.assert_close(
        hard(logits[0], starts, ends, mask), hard(cut[0], starts - 1, ends - 1, ones)
    )


@pytest.mark.parametrize("padding", [1e30, -1e4, np.inf, -np.inf, np.nan])
def test_padding_never_counts_whatever_stands_there(logits, padding):
    """A mask by multiplication lets NaN through: 0 * NaN is NaN."""
    expected, hard_expected = kl(*logits), hard(logits[0])
    spoiled = np.where(MASK[None, ..., None] == 1, logits, padding)
    torch.testing.assert_close(kl(*spoiled), expected)
    torch.testing.assert_close(hard(spoiled[0]), hard_expected)
    found = gradient(lambda x: kl(x, spoiled[1]) + hard(x), spoiled[0])
    assert np.isfinite(found).all()
    assert not found[MASK == 0].any()


def test_kl_is_zero_with_zero_gradient_when_student_and_teacher_agree(logits):
    """A term that is not 0 at the goal pulls the student away from it."""
    assert kl(logits[1], logits[1]) == 0
    np.testing.assert_allclose(gradient(lambda x: kl(x, logits[1]), logits[1]), 0, atol=1e-6)


def test_kl_keeps_starts_from_ends(logits):
    """A model whose two outputs were swapped answers backwards."""
    assert kl(logits[1][..., ::-1].copy(), logits[1]) > 0.1


def test_cross_entropy_is_the_definition_in_value_and_gradient(logits, numeric_gradient):
    """An unlabelled row in the divisor would dilute the labels."""
    student = logits[0]
    assert hard(student).item() == pytest.approx(cross_entropy_by_definition(student), rel=1e-5)
    expected = numeric_gradient(cross_entropy_by_definition, student)
    found = gradient(hard, student)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)
    assert not found[1].any()


def test_cross_entropy_is_torchs_mean_of_two(logits):
    """What transformers trains a question-answering head by, where no token is masked."""
    student = torch.tensor(logits[0]).float()
    starts, ends = torch.tensor([0, 4, 2]), torch.tensor([0, 4, 3])
    expected = functional.cross_entropy(student[..., 0], starts) / 2
    expected += functional.cross_entropy(student[..., 1], ends) / 2
    torch.testing.assert_close(hard(logits[0], starts, ends, np.ones((3, 5), dtype=int)), expected)


def test_cross_entropy_without_a_label_is_zero_with_zero_gradient(logits):
    """A batch of unlabelled rows alone must not turn the weights into NaN."""
    none = np.full(3, -100)
    assert hard(logits[0], none, none) == 0
    assert not gradient(lambda x: hard(x, none, none), logits[0]).any()


def test_gradients_flow_into_the_student_only(logits):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in logits)
    kl(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_reduced_in_float32(logits, dtype):
    """A loss in bfloat16 has three digits, and stops falling early."""
    student, teacher = torch.tensor(logits).to(dtype)
    assert kl(student, teacher).dtype == hard(student).dtype == torch.float32
    assert kl(student, teacher) == kl(student.float(), teacher.float())
    assert hard(student) == hard(student.float())


def test_shapes_are_those_of_the_signature(logits):
    """A signature that does not hold misleads everyone who builds on it."""
    student, teacher = torch.tensor(logits)
    mask = torch.tensor(MASK)
    jaxtyped(span_kl, typechecker=beartype)(student, teacher, mask, temperature=2.0)
    jaxtyped(span_kl, typechecker=beartype)(student, teacher, mask.bool(), temperature=2.0)
    jaxtyped(span_cross_entropy, typechecker=beartype)(
        student, torch.tensor(STARTS), torch.tensor(ENDS), mask
    )


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 2, 5), (0, 5, 2)])
def test_refuses_logits_that_are_not_starts_and_ends(shape):
    """One output twice, or tokens taken for ends, would train at a plausible loss."""
    mask = torch.ones(3, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"span_kl: .*\[batch tokens 2\]"):
        span_kl(torch.zeros(shape), torch.zeros(shape), mask, temperature=1.0)
    labels = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"span_cross_entropy: .*\[batch tokens 2\]"):
        span_cross_entropy(torch.zeros(shape), labels, labels, mask)


def test_refuses_unequal_shapes(logits):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    with pytest.raises(ValueError, match=r"span_kl: .*nothing is broadcast"):
        kl(logits[0], logits[1][:, :1])


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (np.ones((3, 1), dtype=int), r"token_mask has shape \(3, 1\)"),
        (np.ones((1, 5), dtype=int), r"token_mask has shape \(1, 5\)"),
        (np.where(MASK == 1, 0, -10000), "token_mask contains -10000"),
        (MASK * [[1], [0], [1]], "token_mask keeps no place of row 1"),
    ],
)
def test_refuses_masks_that_hide_other_tokens(logits, mask, found):
    """A broadcast, additive or inverted mask would train on padding."""
    with pytest.raises(ValueError, match=f"span_kl: {found}"):
        kl(*logits, mask=mask)
    with pytest.raises(ValueError, match=f"span_cross_entropy: {found}"):
        hard(logits[0], mask=mask)


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (3, 2, "row 0 starts at 3 and ends at 2"),
        (2, 5, "from 0 to 4"),
        (-1, 2, "starts at -1"),
        (-100, 2, "starts at -100"),
        (2, -100, "ends at -100"),
        (1, 2, "where token_mask is 0"),
        (2, 4, "where token_mask is 0"),
    ],
)
def test_refuses_labels_that_are_no_answer(logits, start, end, found):
    """Nothing can reach a masked token: the loss would be some 1e38."""
    with pytest.raises(ValueError, match=f"span_cross_entropy: .*{found}"):
        hard(logits[0], np.array([start, 0, 2]), np.array([end, 0, 2]))


@pytest.mark.parametrize("name", ["starts", "ends"])
def test_refuses_labels_of_another_shape(logits, name):
    """[batch 1] would be broadcast to every row."""
    labels = {"starts": STARTS, "ends": ENDS, name: STARTS[:, None]}
    with pytest.raises(ValueError, match=rf"span_cross_entropy: {name} has shape \(3, 1\)"):
        hard(logits[0], **labels)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(logits, temperature):
    """A negative one teaches the opposite order of the tokens."""
    with pytest.raises(ValueError, match="span_kl: temperature is"):
        kl(*logits, temperature=temperature)
