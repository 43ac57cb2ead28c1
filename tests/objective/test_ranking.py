from itertools import permutations

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import rel_entr, softmax
from torch.nn import functional

from limbeck.objective import listwise_kl, logit_kl, margin_mse

MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0]])


def listwise(student, teacher, mask):
    return listwise_kl(student, teacher, mask, temperature=2.0)


TERMS = [margin_mse, listwise]
every_term = pytest.mark.parametrize("term", TERMS, ids=lambda term: term.__name__)


@pytest.fixture
def scores():
    """Student's and teacher's, four queries of up to four candidates."""
    return np.random.default_rng(0).normal(scale=2, size=(2, 4, 4))


def by_definition(term, student, teacher, mask=MASK):
    rows = []
    for s, t, kept in zip(student, teacher, mask.astype(bool), strict=True):
        s, t = s[kept], t[kept]
        if term is margin_mse:
            pairs = list(permutations(range(len(s)), 2))
            rows.append(np.mean([(s[i] - s[j] - t[i] + t[j]) ** 2 for i, j in pairs] or [0.0]))
        else:
            p, q = np.exp(t / 2) / np.exp(t / 2).sum(), np.exp(s / 2) / np.exp(s / 2).sum()
            rows.append(4 * np.sum(p * np.log(p / q)))
    return float(np.mean(rows))


def value(term, student, teacher, mask=MASK):
    return term(torch.as_tensor(student), torch.as_tensor(teacher), torch.as_tensor(mask))


def gradient(term, student, teacher, mask=MASK):
    student = torch.tensor(student, requires_grad=True)
    value(term, student, teacher, mask).backward()
    return student.grad.numpy()


@every_term
def test_is_the_definition_in_value_and_gradient(scores, numeric_gradient, term):
    """Missing candidates in a mean or softmax fall as training goes on all the same."""
    expected = by_definition(term, *scores)
    assert value(term, *scores).item() == pytest.approx(expected, rel=1e-5)
    expected = numeric_gradient(lambda x: by_definition(term, x, scores[1]), scores[0])
    np.testing.assert_allclose(gradient(term, *scores), expected, rtol=1e-4, atol=2e-6)


def test_margins_of_two_candidates_are_the_papers(scores):
    """Hofstätter et al.: torch's MSE between the margins of a relevant and another passage."""
    student, teacher = torch.tensor(scores[:, :, :2])
    expected = functional.mse_loss(student[:, 0] - student[:, 1], teacher[:, 0] - teacher[:, 1])
    found = margin_mse(student, teacher, torch.ones(4, 2, dtype=torch.int64))
    torch.testing.assert_close(found, expected.float())


def test_margins_are_numpys_variance(scores):
    """Our own definition could be wrong in the same way as the code."""
    expected = 2 * np.var(scores[0] - scores[1], axis=1, ddof=1).mean()
    assert value(margin_mse, *scores, np.ones_like(MASK)).item() == pytest.approx(expected)


def test_listwise_is_scipys(scores):
    """Our own definition could be wrong in the same way as the code."""
    q, p = softmax(np.where(MASK == 1, scores / 2, -np.inf), axis=2)
    expected = 4 * rel_entr(p, q).sum(axis=1).mean()
    assert value(listwise, *scores).item() == pytest.approx(expected, rel=1e-5)


def test_listwise_of_full_lists_is_logit_kl(scores):
    """Two measures of one thing would make runs incomparable."""
    expected = logit_kl(*torch.tensor(scores), temperature=2.0)
    torch.testing.assert_close(value(listwise, *scores, np.ones_like(MASK)), expected)


@every_term
def test_masking_a_candidate_equals_removing_it(scores, term):
    """Otherwise a query's loss depends on how many candidates the batch's other queries have."""
    mask = np.array([[1, 0, 1, 1]] * 4)
    alone = value(term, *scores[:, :, [0, 2, 3]], np.ones((4, 3), dtype=int))
    torch.testing.assert_close(value(term, *scores, mask), alone)


@every_term
@pytest.mark.parametrize("padding", [1e30, np.inf, -np.inf, np.nan])
def test_padding_never_counts_whatever_stands_there(scores, term, padding):
    """A mask by multiplication lets NaN through: 0 * NaN is NaN."""
    spoiled = np.where(MASK == 1, scores, padding)
    torch.testing.assert_close(value(term, *spoiled), value(term, *scores))
    found = gradient(term, *spoiled)
    np.testing.assert_allclose(found, gradient(term, *scores), atol=1e-7)
    assert not found[MASK == 0].any()


@every_term
def test_a_level_of_its_own_for_each_query_changes_nothing(scores, term):
    """A query's level means nothing in a ranking, and a student must not spend itself on it."""
    level = np.array([[3.0], [-2.0], [10.0], [0.5]])
    found = value(term, scores[0] + level, scores[1]).item()
    assert found == pytest.approx(value(term, *scores).item(), rel=1e-5)
    assert value(term, scores[1] + level, scores[1]).item() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(gradient(term, scores[1] + level, scores[1]), 0, atol=1e-6)


def test_margins_are_exact_far_from_zero(scores):
    """The difference of two sums of squares would lose a margin of 1 at a level of 10,000."""
    far = np.array(scores[:, :, :2]).round() + 10000
    found = margin_mse(*torch.tensor(far), torch.ones(4, 2, dtype=torch.int64)).item()
    assert found == by_definition(margin_mse, *far, np.ones((4, 2)))


def test_margins_bind_the_scale_and_shares_only_its_effect(scores):
    """The page says which of the two to take by this."""
    student = np.array([[0.0, 10.0]])
    teacher = np.array([[0.0, 40.0]])
    mask = np.ones((1, 2), dtype=int)
    assert value(margin_mse, student, teacher, mask).item() == pytest.approx(900)
    assert value(listwise, student, teacher, mask).item() < 0.1


@every_term
def test_gradients_flow_into_the_student_only(scores, term):
    """A teacher that learns meets the student half-way, and the loss falls all the faster."""
    student, teacher = (torch.tensor(side, requires_grad=True) for side in scores)
    value(term, student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@every_term
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_reduced_in_float32(scores, term, dtype):
    """A margin of 300 has a square beyond float16."""
    student, teacher = torch.tensor(100 * scores).to(dtype)
    loss = value(term, student, teacher)
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert loss == value(term, student.float(), teacher.float())


def test_shapes_are_those_of_the_signature(scores):
    """A signature that does not hold misleads everyone who builds on it."""
    student, teacher = torch.tensor(scores)
    mask = torch.tensor(MASK)
    jaxtyped(margin_mse, typechecker=beartype)(student, teacher, mask)
    jaxtyped(listwise_kl, typechecker=beartype)(student, teacher, mask.bool(), temperature=1.0)


@every_term
@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (4,)])
def test_refuses_unequal_shapes(scores, term, shape):
    """Broadcasting would train towards a wrong target at a plausible loss."""
    with pytest.raises(ValueError, match=r"(margin_mse|listwise_kl): .*nothing is broadcast"):
        value(term, scores[0], np.zeros(shape))


@every_term
@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 4, 4)])
def test_refuses_anything_but_queries_of_candidates(term, shape):
    """Queries would be ranked against each other; the mean of nothing is NaN."""
    with pytest.raises(ValueError, match=r"(margin_mse|listwise_kl): .*\[batch candidates\]"):
        value(term, np.zeros(shape), np.zeros(shape))


@every_term
@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (MASK[:, :1], r"mask has shape \(4, 1\)"),
        (2 * MASK, "mask contains 2"),
        (MASK * [[1], [1], [0], [1]], "mask keeps no place of row 2"),
    ],
)
def test_refuses_masks_that_hide_other_candidates(scores, term, mask, found):
    """A broadcast or additive mask would rank what is not there."""
    with pytest.raises(ValueError, match=f"(margin_mse|listwise_kl): {found}"):
        value(term, *scores, mask)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.inf, np.nan])
def test_refuses_a_temperature_that_is_not_positive_and_finite(temperature):
    """A negative one teaches the opposite order of the candidates."""
    ones = torch.ones(1, 2)
    with pytest.raises(ValueError, match="listwise_kl: temperature is"):
        listwise_kl(ones, ones, ones.bool(), temperature=temperature)
