import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import rel_entr, softmax
from sklearn.gaussian_process.kernels import DotProduct

from limbeck.objective import attention_kl, attention_scores, relation_kl, split_heads

MASK = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]])
REAL = MASK == 1
HEADS = 2


@pytest.fixture
def student():
    """Three rows of four tokens of six units: three a relation head."""
    return np.random.default_rng(0).normal(scale=1.5, size=(3, 4, 6))


@pytest.fixture
def teacher():
    """Wider: four units a relation head."""
    return np.random.default_rng(1).normal(scale=1.5, size=(3, 4, 8))


def relation(vectors, row, head):
    """Of one row's real tokens with each other, in one head."""
    width = vectors.shape[-1] // HEADS
    x = vectors[row, REAL[row], head * width : (head + 1) * width]
    scores = np.exp(x @ x.T / np.sqrt(width))
    return scores / scores.sum(axis=1, keepdims=True)


def by_definition(student, teacher):
    losses = []
    for row in range(3):
        for head in range(HEADS):
            s, t = relation(student, row, head), relation(teacher, row, head)
            losses.extend(np.sum(t * np.log(t / s), axis=1))
    return float(np.mean(losses))


def loss(student, teacher, mask=MASK, heads=HEADS):
    return relation_kl(
        torch.as_tensor(student),
        torch.as_tensor(teacher),
        attention_mask=torch.as_tensor(mask),
        heads=heads,
    )


def gradient(student, teacher):
    student = torch.tensor(student, requires_grad=True)
    loss(student, teacher).backward()
    return student.grad.numpy()


def test_value_is_the_definition(student, teacher):
    """A mean with padding in it, or with sides swapped, falls as training goes on all the same."""
    np.testing.assert_allclose(loss(student, teacher), by_definition(student, teacher), rtol=1e-5)


def test_gradient_is_the_definition(student, teacher, numeric_gradient):
    """The right value with a wrong gradient trains a wrong student: each vector is used twice."""
    expected = numeric_gradient(lambda point: by_definition(point, teacher), student)
    np.testing.assert_allclose(gradient(student, teacher), expected, rtol=1e-4, atol=1e-6)


def test_value_is_scipys_and_scikit_learns(student, teacher):
    """Our own definition could be wrong in the same way as the code."""
    kernel = DotProduct(sigma_0=0)
    losses = []
    for row in range(3):
        for head in range(HEADS):
            s, t = (
                softmax(kernel(part) / np.sqrt(part.shape[1]), axis=1)
                for part in (
                    np.split(side[row, REAL[row]], HEADS, axis=1)[head]
                    for side in (student, teacher)
                )
            )
            losses.extend(rel_entr(t, s).sum(axis=1))
    np.testing.assert_allclose(loss(student, teacher), np.mean(losses), rtol=1e-5)


def test_on_values_it_is_attention_of_the_values_to_themselves(student, teacher):
    """MiniLM's value relation: the paper writes it with attention's own product."""
    parts = [split_heads(torch.tensor(side), HEADS) for side in (student, teacher)]
    expected = attention_kl(
        *(attention_scores(part, part) for part in parts), attention_mask=torch.tensor(MASK)
    )
    torch.testing.assert_close(loss(student, teacher), expected)


def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(teacher):
    """A term that is not 0 at the goal pulls the student away from it."""
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(teacher, teacher), 0, atol=1e-6)


def test_turning_a_heads_space_changes_nothing(student, teacher):
    """What it is chosen for: the student need not have the teacher's axes."""
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turned = np.concatenate([student[..., :3] @ turn, student[..., 3:]], axis=-1)
    torch.testing.assert_close(loss(turned, teacher), loss(student, teacher), rtol=1e-5, atol=1e-6)


def test_other_heads_relate_other_parts(student, teacher):
    """A number of heads that is not looked at would be a setting without effect."""
    assert loss(student, teacher, heads=1).item() != pytest.approx(
        loss(student, teacher).item(), rel=0.01
    )


def test_masking_a_token_equals_removing_it(student, teacher):
    """Otherwise a text's loss depends on the length of its neighbours in the batch."""
    mask = np.ones((3, 4), dtype=np.int64)
    mask[:, 2:] = 0
    torch.testing.assert_close(
        loss(student, teacher, mask=mask),
        loss(student[:, :2], teacher[:, :2], mask=mask[:, :2]),
    )


@pytest.mark.parametrize("padding", [1e30, np.inf, np.nan])
def test_padding_never_counts_whatever_stands_there(student, teacher, padding):
    """A NaN in a masked key's vector comes back in every query's gradient."""
    expected = loss(student, teacher).item(), gradient(student, teacher)
    student[~REAL] = padding
    teacher[~REAL] = padding
    assert loss(student, teacher).item() == expected[0]
    np.testing.assert_array_equal(gradient(student, teacher), expected[1])


def test_order_of_the_rows_does_not_matter(student, teacher):
    """A mask that is not the row's own would show here."""
    order = [2, 0, 1]
    found = loss(student[order], teacher[order], mask=MASK[order])
    torch.testing.assert_close(found, loss(student, teacher))


def test_gradients_flow_into_the_student_only(student, teacher):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    sides = [torch.tensor(side, requires_grad=True) for side in (student, teacher)]
    loss(*sides).backward()
    assert sides[0].grad.any()
    assert sides[1].grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_vectors_are_reduced_in_float32(student, teacher, dtype):
    """Products of vectors beyond 256 overflow float16, and autocast would make them."""
    sides = [torch.tensor(side).to(dtype) for side in (student, teacher)]
    found = loss(*sides)
    assert found.dtype == torch.float32
    assert found == loss(*(side.float() for side in sides))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert found == loss(*sides)
        assert found == loss(*(side.float() for side in sides))


def test_keeps_no_more_than_two_matrices_for_the_gradient(student, teacher):
    """At 512 tokens each is half a gigabyte; a third one can be what does not fit."""
    kept = []
    long = torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def keep(tensor):
        if tensor.numel() == 2 * HEADS * 16 * 16 and tensor.is_floating_point():
            kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss(long, torch.randn(2, 16, 8), mask=np.ones((2, 16), dtype=np.int64))
    assert 0 < len(set(kept)) <= 2


def test_shapes_are_those_of_the_signature(student, teacher):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(relation_kl, typechecker=beartype)
    for mask in (MASK, REAL):
        checked(
            torch.tensor(student),
            torch.tensor(teacher),
            attention_mask=torch.tensor(mask),
            heads=HEADS,
        )


@pytest.mark.parametrize("teacher_shape", [(1, 4, 8), (3, 1, 8), (3, 5, 8)])
def test_refuses_other_rows_or_tokens(student, teacher_shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    with pytest.raises(ValueError, match=r"relation_kl: student_vectors has shape .*broadcast"):
        loss(student, np.zeros(teacher_shape))


@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 4, 4)])
def test_refuses_anything_but_rows_of_tokens(shape):
    """Vectors already split would be split once more, across heads."""
    with pytest.raises(ValueError, match=r"relation_kl: .*\[batch tokens hidden\].*Reshape"):
        loss(np.zeros(shape), np.zeros(shape))


def test_refuses_an_empty_batch():
    """The mean of no tokens is NaN, and so would be every weight after the step."""
    with pytest.raises(ValueError, match=r"relation_kl: .*at least one entry.*Skip"):
        loss(np.zeros((0, 4, 6)), np.zeros((0, 4, 8)), mask=np.ones((0, 4)))


@pytest.mark.parametrize("heads", [0, -1, 3, 4])
def test_refuses_heads_that_do_not_divide_both_widths(student, teacher, heads):
    """A head would mix units, or the two sides would relate unlike parts."""
    message = rf"relation_kl: heads is {heads}, .*widths 6 and 8. Heads must divide both. Use"
    with pytest.raises(ValueError, match=message):
        loss(student, teacher, heads=heads)


@pytest.mark.parametrize("mask", [(1.0 - MASK) * -1e4, np.zeros_like(MASK), MASK[:, :1]])
def test_refuses_a_mask_that_does_not_say_which_tokens_are_real(student, teacher, mask):
    """Training would see padding alone, or nothing."""
    with pytest.raises(ValueError, match="relation_kl: attention_mask"):
        loss(student, teacher, mask=mask)
