"""How well labels are learned that say which of a query's candidates answer it."""

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch.nn import functional

from limbeck.objective import listwise_cross_entropy, listwise_kl

MASK = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0]])
GRADES = np.array([
    [0, 1, 0, 0], [2, 9, 0, 1], [1, 0, 7, 7], [3, 3, 1, 3], [1, 1, 1, 5],
], dtype=np.float64)  # fmt: skip
"""The last two say nothing: one candidate, and grades that are all alike."""


@pytest.fixture
def scores():
    return np.random.default_rng(0).normal(scale=2, size=(5, 4))


def by_definition(scores, grades=GRADES, mask=MASK):
    rows = []
    for s, g, kept in zip(scores, grades, mask.astype(bool), strict=True):
        s, g = s[kept], g[kept]
        if len(set(g.tolist())) < 2:
            continue
        p = np.exp(s) / np.exp(s).sum()
        rows.append(-np.sum(g / g.sum() * np.log(p)))
    return float(np.mean(rows)) if rows else 0.0


def value(scores, grades=GRADES, mask=MASK):
    return listwise_cross_entropy(*map(torch.as_tensor, (scores, grades, mask)))


def gradient(scores, grades=GRADES, mask=MASK):
    student = torch.tensor(scores, requires_grad=True)
    value(student, grades, mask).backward()
    return student.grad.numpy()


def test_is_the_definition_in_value_and_gradient(scores, numeric_gradient):
    """Missing candidates in a softmax fall as training goes on all the same."""
    assert value(scores).item() == pytest.approx(by_definition(scores), rel=1e-5)
    expected = numeric_gradient(by_definition, scores)
    np.testing.assert_allclose(gradient(scores), expected, rtol=1e-4, atol=2e-6)


def test_of_one_relevant_candidate_it_is_torchs_cross_entropy(scores):
    """Gao et al.: the relevant passage is the class, the query's candidates are the classes."""
    right = torch.tensor([3, 0, 2, 1, 1])
    grades = functional.one_hot(right, 4).double().numpy()
    expected = functional.cross_entropy(torch.tensor(scores).float(), right)
    torch.testing.assert_close(value(scores, grades, np.ones_like(MASK)), expected)


def test_of_probabilities_its_gradient_is_that_of_listwise_kl(scores):
    """Cao et al.: KL and cross-entropy differ by the entropy of the target alone."""
    other = np.random.default_rng(1).normal(size=(5, 4))
    shares = np.exp(other) / np.exp(other).sum(axis=1, keepdims=True)
    student = torch.tensor(scores, requires_grad=True)
    listwise_kl(student, torch.tensor(other), torch.ones(5, 4).long(), temperature=1.0).backward()
    found = gradient(scores, shares, np.ones_like(MASK))
    np.testing.assert_allclose(found, student.grad.numpy(), atol=1e-6)


def test_a_query_that_says_nothing_does_not_dilute_the_others(scores):
    """A mean over all rows would weaken the labels of a batch by its unlabelled queries."""
    torch.testing.assert_close(value(scores), value(scores[:3], GRADES[:3], MASK[:3]))
    unknown = GRADES.copy()
    unknown[0] = np.nan
    torch.testing.assert_close(value(scores, unknown), value(scores[1:3], GRADES[1:3], MASK[1:3]))
    assert not gradient(scores, unknown)[[0, 3, 4]].any()


@pytest.mark.parametrize("grades", [np.zeros((2, 2)), np.ones((2, 2)), np.full((2, 2), np.nan)])
def test_nothing_learned_is_0_and_not_nan(grades):
    """NaN from a batch without labels would end the run."""
    scores = np.array([[1.0, 2.0], [3.0, -1.0]])
    assert value(scores, grades, np.ones((2, 2), dtype=int)).item() == 0
    assert not gradient(scores, grades, np.ones((2, 2), dtype=int)).any()


def test_twice_the_grades_are_the_same_labels(scores):
    """A set graded from 0 to 100 must not outweigh the teacher's term by its unit."""
    torch.testing.assert_close(value(scores, 100 * GRADES), value(scores))


@pytest.mark.parametrize("padding", [1e30, np.inf, np.nan, -3.0])
def test_padding_never_counts_whatever_stands_there(scores, padding):
    """A mask by multiplication lets NaN through: 0 * NaN is NaN."""
    spoiled, graded = (np.where(MASK == 1, side, padding) for side in (scores, GRADES))
    torch.testing.assert_close(value(spoiled, graded), value(scores))
    np.testing.assert_allclose(gradient(spoiled, graded), gradient(scores), atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_reduced_in_float32(scores, dtype):
    """bfloat16 has three digits, and a mean over many queries needs more."""
    student = torch.tensor(100 * scores).to(dtype)
    loss = listwise_cross_entropy(student, torch.tensor(GRADES), torch.tensor(MASK))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, value(student.double().numpy()))


def test_shapes_are_those_of_the_signature(scores):
    """The signature is what a reader believes."""
    checked = jaxtyped(typechecker=beartype)(listwise_cross_entropy)
    checked(torch.tensor(scores), torch.tensor(GRADES), torch.tensor(MASK))


def test_refuses_grades_of_another_shape(scores):
    """Broadcast, one query's labels would teach all."""
    with pytest.raises(ValueError, match=r"grades has shape \(1, 4\)"):
        value(scores, GRADES[:1])


def test_refuses_a_negative_grade(scores):
    """It would push the best candidate down."""
    with pytest.raises(ValueError, match="grades contains -1"):
        value(scores, GRADES - 1)


def test_refuses_a_mask_that_keeps_nothing(scores):
    """There is no distribution over nothing."""
    with pytest.raises(ValueError, match="keeps no place of row 2"):
        value(scores, mask=np.where(np.arange(5)[:, None] == 2, 0, MASK))


def test_refuses_no_candidates():
    """The mean of nothing is not a number."""
    with pytest.raises(ValueError, match="at least one entry"):
        value(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 4), dtype=int))
