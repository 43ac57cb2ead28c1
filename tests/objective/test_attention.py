import math
from functools import partial

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import rel_entr, softmax
from torch.nn import functional

from limbeck.objective import (
    attention_distribution_kl,
    attention_kl,
    attention_score_mse,
    attention_scores,
    split_heads,
)

TERMS = [attention_score_mse, attention_kl, attention_distribution_kl]
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)
either_way = pytest.mark.parametrize("heads", ["each", "mean"])

# Rows of unlike length: a mean of the rows' means is another number than the mean over queries.
MASK = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]])
REAL = MASK == 1
PAIRS = REAL[:, None, :, None] & REAL[:, None, None, :]


@pytest.fixture
def scores():
    """Student's and teacher's: three rows, two heads, four queries, four keys."""
    return np.random.default_rng(0).normal(scale=2, size=(2, 3, 2, 4, 4))


def attention(row, query, scores):
    """Over the real keys of one row, every head's or their mean."""
    keys = scores[row][:, query][:, REAL[row]]
    return np.exp(keys) / np.exp(keys).sum(axis=-1, keepdims=True)


def by_definition(term, student, teacher, heads="each"):
    losses = []
    for row, query in np.argwhere(MASK):
        if term is attention_score_mse:
            s, t = (side[row][:, query][:, REAL[row]] for side in (student, teacher))
        else:
            s, t = attention(row, query, student), attention(row, query, teacher)
        if heads == "mean":
            s, t = s.mean(axis=0, keepdims=True), t.mean(axis=0, keepdims=True)
        if term is attention_score_mse:
            losses.extend(((s - t) ** 2).ravel())
        else:
            losses.extend((t * (np.log(t) - np.log(s))).sum(axis=-1))
    return float(np.mean(losses))


def teacher_side(term, teacher):
    """What the term asks for of the teacher: scores, or attention after a masked softmax."""
    if term is not attention_distribution_kl:
        return torch.tensor(teacher)
    masked = np.where(REAL[:, None, None, :], teacher, -1e4)
    return torch.tensor(softmax(masked, axis=-1))


def loss(term, student, teacher, mask=MASK, heads="each"):
    return term(
        torch.as_tensor(student),
        teacher_side(term, teacher),
        attention_mask=torch.as_tensor(mask),
        heads=heads,
    )


def gradient(term, student, teacher, heads="each"):
    student = torch.tensor(student, requires_grad=True)
    loss(term, student, teacher, heads=heads).backward()
    return student.grad.numpy()


@every_term
@either_way
def test_value_is_the_definition(scores, term, heads):
    """A mean with padding in it, or with sides swapped, falls as training goes on all the same."""
    expected = by_definition(term, *scores, heads)
    np.testing.assert_allclose(loss(term, *scores, heads=heads).item(), expected, rtol=1e-5)


@every_term
@either_way
def test_gradient_is_the_definition(scores, numeric_gradient, term, heads):
    """The right value with a wrong gradient trains a wrong student."""
    student, teacher = scores
    expected = numeric_gradient(lambda point: by_definition(term, point, teacher, heads), student)
    found = gradient(term, student, teacher, heads)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_kl_is_scipys(scores):
    """Our own definition could be wrong in the same way as the code."""
    student, teacher = (
        softmax(np.where(REAL[:, None, None, :], side, -np.inf), axis=-1) for side in scores
    )
    queries = rel_entr(teacher, student).sum(axis=-1).transpose(0, 2, 1)[REAL]
    for term in (attention_kl, attention_distribution_kl):
        np.testing.assert_allclose(loss(term, *scores).item(), queries.mean(), rtol=1e-5)


def test_kl_is_torchs_without_padding(scores):
    """The same, from the library that trains."""
    student, teacher = torch.tensor(scores)
    expected = functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="none"
    )
    mask = torch.ones(3, 4, dtype=torch.int64)
    found = attention_kl(student, teacher, attention_mask=mask)
    np.testing.assert_allclose(found.item(), expected.sum(-1).mean().item(), rtol=1e-5)


def test_score_mse_is_torchs_without_padding(scores):
    """TinyBERT's equation 7 is the mean squared error of the two matrices."""
    student, teacher = torch.tensor(scores)
    mask = torch.ones(3, 4, dtype=torch.int64)
    found = attention_score_mse(student, teacher, attention_mask=mask)
    np.testing.assert_allclose(found, functional.mse_loss(student, teacher), rtol=1e-5)


def test_scores_are_those_of_torchs_attention(scores):
    """Wrongly scaled, they would be compared at another temperature than the model's own."""
    generator = np.random.default_rng(1)
    queries, keys, values = torch.tensor(generator.normal(size=(3, 2, 3, 4, 8)))
    expected = functional.scaled_dot_product_attention(queries, keys, values)
    found = attention_scores(queries, keys).double().softmax(-1) @ values
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gradient_of_scores_is_the_definition(numeric_gradient):
    """The right value with a wrong gradient trains a wrong student."""
    queries, keys = np.random.default_rng(1).normal(size=(2, 1, 2, 3, 4))
    weights = np.random.default_rng(2).normal(size=(1, 2, 3, 3))

    def weighted(q, k):
        return float((weights * (q @ k.transpose(0, 1, 3, 2)) / math.sqrt(4)).sum())

    given = [torch.tensor(side, requires_grad=True) for side in (queries, keys)]
    (attention_scores(*given) * torch.tensor(weights)).sum().backward()
    for side, expected in zip(
        given,
        (
            numeric_gradient(lambda point: weighted(point, keys), queries),
            numeric_gradient(lambda point: weighted(queries, point), keys),
        ),
        strict=True,
    ):
        np.testing.assert_allclose(side.grad, expected, rtol=1e-4, atol=1e-6)


def test_split_heads_are_those_of_the_model():
    """Units cut in another order belong to no head at all."""
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertSelfAttention

    layer = BertSelfAttention(BertConfig(hidden_size=8, num_attention_heads=2)).eval()
    hidden = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0))
    queries = split_heads(layer.query(hidden), 2)
    keys = split_heads(layer.key(hidden), 2)
    values = split_heads(layer.value(hidden), 2)
    mixed = attention_scores(queries, keys).softmax(-1) @ values
    expected = layer(hidden)[0]
    torch.testing.assert_close(mixed.transpose(1, 2).reshape(1, 3, 8), expected)


@every_term
@either_way
def test_is_zero_with_zero_gradient_when_student_and_teacher_agree(scores, term, heads):
    """A term that is not 0 at the goal pulls the student away from it."""
    teacher = scores[1]
    assert loss(term, teacher, teacher, heads=heads).item() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(term, teacher, teacher, heads), 0, atol=1e-6)


def test_kl_leaves_a_constant_in_a_querys_scores_free_and_mse_does_not(scores):
    """This is what one chooses between them for."""
    student, teacher = scores
    shifted = student + np.arange(4.0)[None, None, :, None]
    plain = loss(attention_kl, student, teacher).item()
    assert loss(attention_kl, shifted, teacher).item() == pytest.approx(plain, rel=1e-5)
    assert loss(attention_score_mse, shifted, teacher) > loss(attention_score_mse, *scores)


@either_way
def test_distributions_and_scores_of_the_teacher_give_the_same(scores, heads):
    """What was recorded must not change the student."""
    one, other = (
        loss(term, *scores, heads=heads) for term in (attention_kl, attention_distribution_kl)
    )
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_attention_of_a_teacher_without_a_mask_is_taken_over_real_keys(scores):
    """Its share on padding would be asked of a student that never looks there."""
    student, teacher = torch.tensor(scores)
    found = attention_distribution_kl(
        student, teacher.softmax(-1), attention_mask=torch.tensor(MASK)
    )
    torch.testing.assert_close(found, loss(attention_kl, *scores), rtol=1e-5, atol=1e-6)


def test_attention_recorded_in_half_precision_agrees_with_itself(scores):
    """Rows that sum to 0.999 would leave a loss that nothing can bring to 0."""
    teacher = torch.tensor(scores[1]).softmax(-1).half()
    found = attention_distribution_kl(
        teacher.double().log(), teacher, attention_mask=torch.ones(3, 4, dtype=torch.int64)
    )
    assert found.item() == pytest.approx(0, abs=1e-6)


@every_term
def test_heads_that_differ_in_number_are_compared_by_their_mean(scores, term):
    """The mean over more of the same heads is the same mean."""
    student, teacher = scores
    doubled = np.concatenate([teacher, teacher], axis=1)
    expected = loss(term, student, teacher, heads="mean")
    torch.testing.assert_close(loss(term, student, doubled, heads="mean"), expected)


@every_term
def test_order_of_heads_counts_only_where_each_is_compared(scores, term):
    """A mean that kept heads apart would refuse what it is there for."""
    student, teacher = scores
    turned = teacher[:, ::-1].copy()
    mean = loss(term, student, teacher, heads="mean").item()
    assert loss(term, student, turned, heads="mean").item() == pytest.approx(mean, rel=1e-5)
    assert loss(term, student, turned).item() != pytest.approx(loss(term, *scores).item(), rel=0.01)


@every_term
@either_way
def test_masking_a_token_equals_removing_it(scores, term, heads):
    """Otherwise a text's loss depends on the length of its neighbours in the batch."""
    student, teacher = torch.tensor(scores[0]), torch.tensor(scores[1])
    if term is attention_distribution_kl:
        cut = teacher[..., :2, :2].softmax(-1)
        teacher = functional.pad(cut, (0, 2, 0, 2))
    else:
        cut = teacher[..., :2, :2]
    mask = torch.zeros(3, 4, dtype=torch.int64)
    mask[:, :2] = 1
    masked = term(student, teacher, attention_mask=mask, heads=heads)
    alone = term(student[..., :2, :2], cut, attention_mask=mask[:, :2], heads=heads)
    torch.testing.assert_close(masked, alone)


@every_term
@either_way
@pytest.mark.parametrize("padding", [1e30, -1e4, np.inf, -np.inf, np.nan])
def test_padding_never_counts_whatever_stands_there(scores, term, heads, padding):
    """A mask by multiplication lets NaN through: 0 * NaN is NaN."""
    student, teacher = (np.where(PAIRS, side, 0) for side in scores)
    given = torch.where(torch.tensor(PAIRS), teacher_side(term, teacher), 0.0)
    dirty = torch.where(torch.tensor(PAIRS), given, padding)
    results = []
    for student_fill, target in ((0.0, given), (padding, dirty)):
        side = torch.tensor(np.where(PAIRS, student, student_fill), requires_grad=True)
        value = term(side, target, attention_mask=torch.tensor(MASK), heads=heads)
        value.backward()
        results.append((value.item(), side.grad))
    assert results[0][0] == results[1][0]
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=0)
    assert not results[1][1][torch.tensor(~PAIRS).expand(3, 2, 4, 4)].any()


@every_term
def test_a_row_of_padding_alone_changes_nothing(scores, term):
    """A batch filled up to a fixed size has such rows; a softmax over no key is NaN."""
    expected = loss(term, *scores).item()
    student, teacher = torch.tensor(scores[0]), teacher_side(term, scores[1])
    student, teacher = (torch.cat([side, side[:1]]) for side in (student, teacher))
    mask = torch.tensor(np.concatenate([MASK, np.zeros((1, 4), dtype=np.int64)]))
    student.requires_grad_()
    found = term(student, teacher, attention_mask=mask)
    found.backward()
    assert found.item() == pytest.approx(expected, rel=1e-6)
    assert torch.isfinite(student.grad).all()


@every_term
def test_order_of_the_rows_does_not_matter(scores, term):
    """A mask that is not the row's own would show here."""
    student, teacher = scores
    order = [2, 0, 1]
    found = term(
        torch.tensor(student[order]),
        teacher_side(term, teacher)[order],
        attention_mask=torch.tensor(MASK[order]),
    )
    torch.testing.assert_close(found, loss(term, *scores))


@every_term
def test_a_boolean_mask_is_read_like_one_of_zeros_and_ones(scores, term):
    """A model's own mask is often boolean; read as the wrong type it could pick rows 0 and 1."""
    assert loss(term, *scores, mask=REAL) == loss(term, *scores)


@every_term
@either_way
def test_gradients_flow_into_the_student_only(scores, term, heads):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student = torch.tensor(scores[0], requires_grad=True)
    teacher = teacher_side(term, scores[1]).requires_grad_()
    term(student, teacher, attention_mask=torch.tensor(MASK), heads=heads).backward()
    assert student.grad.any()
    assert teacher.grad is None


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_reduced_in_float32(scores, term, dtype):
    """In bfloat16 a loss has three digits, and small improvements vanish."""
    mask = torch.tensor(MASK)
    student, teacher = torch.tensor(scores[0]).to(dtype), teacher_side(term, scores[1]).to(dtype)
    found = term(student, teacher, attention_mask=mask)
    assert found.dtype == torch.float32
    assert found == term(student.float(), teacher.float(), attention_mask=mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert found == term(student, teacher, attention_mask=mask)


def test_scores_are_float32_under_mixed_precision():
    """Autocast would make the product bfloat16, though the loss after it is float32."""
    queries, keys = torch.randn(2, 1, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    expected = attention_scores(queries, keys)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attention_scores(queries, keys), expected)
    assert attention_scores(queries.bfloat16(), keys.bfloat16()).dtype == torch.float32


@every_term
def test_keeps_no_more_than_two_matrices_for_the_gradient(scores, term):
    """At 512 tokens each is half a gigabyte; a third one can be what does not fit."""
    kept = []
    student = torch.tensor(scores[0], dtype=torch.float32, requires_grad=True)
    teacher = teacher_side(term, scores[1]).float()

    def keep(tensor):
        if tensor.numel() == student.numel() and tensor.is_floating_point():
            kept.append(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        term(student, teacher, attention_mask=torch.tensor(MASK))
    assert len(set(kept)) <= 2


@every_term
@either_way
def test_shapes_are_those_of_the_signature(scores, term, heads):
    """A signature that does not hold misleads everyone who builds on it."""
    checked = jaxtyped(term, typechecker=beartype)
    student, teacher = torch.tensor(scores[0]), teacher_side(term, scores[1])
    checked(student, teacher, attention_mask=torch.tensor(MASK), heads=heads)
    checked(student, teacher, attention_mask=torch.tensor(REAL), heads=heads)


def test_shapes_of_scores_and_heads_are_those_of_the_signature():
    """A signature that does not hold misleads everyone who builds on it."""
    heads = jaxtyped(split_heads, typechecker=beartype)(torch.zeros(2, 3, 8), 4)
    scores = jaxtyped(attention_scores, typechecker=beartype)(heads, heads)
    assert scores.shape == (2, 4, 3, 3)


@every_term
@pytest.mark.parametrize("teacher_shape", [(3, 1, 4, 4), (3, 2, 1, 4), (1, 2, 4, 4), (3, 3, 4, 4)])
def test_refuses_unequal_shapes(term, teacher_shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    message = rf"{term.__name__}: student_\w+ has shape \(3, 2, 4, 4\), .*nothing is broadcast"
    with pytest.raises(ValueError, match=message):
        term(
            torch.zeros(3, 2, 4, 4),
            torch.zeros(teacher_shape),
            attention_mask=torch.tensor(MASK),
        )


@every_term
@pytest.mark.parametrize("teacher_shape", [(3, 2, 1, 4), (3, 2, 4, 1), (1, 2, 4, 4), (3, 2, 5, 5)])
def test_refuses_unequal_batch_or_tokens_whatever_the_heads(term, teacher_shape):
    """Other texts' attention would be asked for."""
    call = partial(term, torch.zeros(3, 2, 4, 4), torch.zeros(teacher_shape), heads="mean")
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*nothing is broadcast"):
        call(attention_mask=torch.tensor(MASK))


@every_term
def test_refuses_queries_and_keys_of_unlike_number(term):
    """Attention to another text than its own is not what the mask describes."""
    scores = torch.zeros(3, 2, 4, 5)
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*as many keys as queries"):
        term(scores, scores, attention_mask=torch.tensor(MASK))


@every_term
def test_refuses_anything_but_four_dimensions(term):
    """Attention without heads would be read as of other rows."""
    scores = torch.zeros(3, 4, 4)
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*4 dimensions. Reshape"):
        term(scores, scores, attention_mask=torch.tensor(MASK))


@every_term
def test_refuses_an_empty_batch(term):
    """The mean of no queries is NaN, and so would be every weight after the step."""
    scores = torch.zeros(0, 2, 4, 4)
    with pytest.raises(ValueError, match=rf"{term.__name__}: .*at least one entry.*Skip"):
        term(scores, scores, attention_mask=torch.ones(0, 4))


@every_term
@pytest.mark.parametrize("mask_shape", [(3, 1), (3,), (3, 5), (3, 1, 1, 4)])
def test_refuses_a_mask_of_another_shape(term, mask_shape):
    """A broadcast mask would mask other tokens than the padded ones."""
    scores = torch.zeros(3, 2, 4, 4)
    message = rf"{term.__name__}: attention_mask has shape .*\[batch tokens\].*Pass the mask"
    with pytest.raises(ValueError, match=message):
        term(scores, scores, attention_mask=torch.ones(mask_shape, dtype=torch.int64))


@every_term
@pytest.mark.parametrize("mask", [(1.0 - MASK) * -1e4, MASK * 2, -MASK])
def test_refuses_a_mask_of_anything_but_zeros_and_ones(term, mask):
    """An additive mask is 0 where a token is real: training would see padding alone."""
    scores = torch.zeros(3, 2, 4, 4)
    with pytest.raises(ValueError, match=rf"{term.__name__}: attention_mask contains .*tokenizer"):
        term(scores, scores, attention_mask=torch.tensor(mask))


@every_term
def test_refuses_a_batch_of_padding(term):
    """The mean of no queries is NaN, and so would be every weight after the step."""
    scores = torch.zeros(3, 2, 4, 4)
    with pytest.raises(ValueError, match=rf"{term.__name__}: attention_mask marks none of 12"):
        term(scores, scores, attention_mask=torch.zeros(3, 4, dtype=torch.int64))


@pytest.mark.parametrize("wrong", [-0.5, 1.5, np.nan])
def test_refuses_scores_where_distributions_are_due(wrong):
    """Scores read as probabilities ask for attention that no softmax can give."""
    teacher = torch.full((3, 2, 4, 4), 0.25)
    teacher[0, 1, 2, 3] = wrong
    message = rf"attention_distribution_kl: teacher_attention contains {wrong}.*after the softmax"
    with pytest.raises(ValueError, match=message):
        attention_distribution_kl(
            torch.zeros(3, 2, 4, 4), teacher, attention_mask=torch.tensor(MASK)
        )


def test_refuses_a_real_query_that_looks_at_no_real_key():
    """Divided by its sum, which is 0, it would end the run in NaN."""
    teacher = torch.full((3, 2, 4, 4), 0.25)
    teacher[0, 1, 2] = 0
    with pytest.raises(ValueError, match="teacher_attention is 0 for every real key"):
        attention_distribution_kl(
            torch.zeros(3, 2, 4, 4), teacher, attention_mask=torch.tensor(MASK)
        )


@pytest.mark.parametrize(("shape", "heads"), [((2, 3, 8), 3), ((2, 3, 8), 0), ((3, 8), 2)])
def test_refuses_heads_that_do_not_divide_the_width(shape, heads):
    """The parts would mix units of several heads."""
    with pytest.raises(ValueError, match=r"split_heads: vectors has shape .*multiple of heads"):
        split_heads(torch.zeros(shape), heads)


@pytest.mark.parametrize(
    ("queries", "keys"), [((2, 2, 3, 4), (2, 1, 3, 4)), ((2, 3, 4), (2, 3, 4))]
)
def test_refuses_queries_and_keys_of_other_shapes(queries, keys):
    """Broadcasting would compare all queries with one head's keys."""
    with pytest.raises(ValueError, match=r"attention_scores: queries has shape .*through split"):
        attention_scores(torch.zeros(queries), torch.zeros(keys))
