"""Perplexity and agreement, by the token and not by the text."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from limbeck.metrics import agreement_counts, likelihood_sums, perplexity, share

MASK = np.array([[1, 1, 1], [1, 0, 0]])


def test_perplexity_is_exp_of_torchs_mean_loss():
    """A mean of texts' means would let a text of one token weigh like a long one."""
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(2, 3, 7)), generator.integers(0, 7, size=(2, 3))
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    nll = -np.take_along_axis(log_p, labels[..., None], axis=-1)[..., 0]
    wanted = np.where(MASK == 1, labels, -100)
    loss = functional.cross_entropy(
        torch.tensor(logits).flatten(0, 1), torch.tensor(wanted).ravel()
    )
    found = perplexity(likelihood_sums(nll, MASK).sum(axis=0))
    assert found == pytest.approx(loss.exp().item())


def test_perplexity_of_guessing_is_the_size_of_the_vocabulary():
    """Its meaning: among how many tokens the model wavers."""
    sums = likelihood_sums(np.full((2, 3), np.log(50)), MASK)
    assert perplexity(sums) == pytest.approx([50, 50])
    assert perplexity(sums.sum(axis=0)) == pytest.approx(50)


@pytest.mark.parametrize("padding", [1e9, np.inf, np.nan])
def test_padding_never_counts_whatever_stands_there(padding):
    """A mask by multiplication lets NaN through: 0 * NaN is NaN."""
    values = np.where(MASK == 1, 2.0, padding)
    assert likelihood_sums(values, MASK).tolist() == [[6, 3], [2, 1]]


def test_agreement_is_of_places():
    """Padding that agrees with padding would raise it to nearly 1."""
    counts = agreement_counts(
        np.array([[1, 2, 3], [4, 0, 0]]), np.array([[1, 9, 3], [5, 0, 0]]), MASK
    )
    assert counts.tolist() == [[2, 3], [0, 1]]
    assert share(counts.sum(axis=0)) == 0.5


def test_a_text_without_tokens_adds_nothing():
    """0 / 0 is NaN, and NaN in a row is NaN in the mean."""
    sums = likelihood_sums(np.ones((2, 3)), MASK * [[1], [0]])
    assert share(sums).tolist() == [1, 0]


def test_refuses_shapes_that_do_not_belong_together():
    """Broadcast ids would agree with another text's."""
    with pytest.raises(ValueError, match=r"agreement_counts: student_ids has shape \(2, 3\)"):
        agreement_counts(np.zeros((2, 3)), np.zeros((1, 3)), MASK)
    for mask in (MASK[:1], MASK[0], 0 * MASK):
        with pytest.raises(ValueError, match=r"likelihood_sums: values have shape \(2, 3\)"):
            likelihood_sums(np.zeros((2, 3)), mask)
        with pytest.raises(ValueError, match=r"agreement_counts: "):
            agreement_counts(np.zeros((2, 3)), np.zeros((2, 3)), mask)
