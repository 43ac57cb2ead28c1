"""Multi-label scores against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from limbeck.metrics import (
    drawn_mean_average_precision,
    f1,
    label_counts,
    macro_f1,
    mean_average_precision,
    micro_f1,
    precision,
    recall,
)


@pytest.fixture
def answers():
    """Logits and targets of 50 rows and 4 classes."""
    generator = np.random.default_rng(0)
    targets = (generator.random((50, 4)) < [0.5, 0.3, 0.1, 0.2]).astype(int)
    return (2 * targets - 1 + generator.normal(scale=1.5, size=(50, 4))), targets


def test_f1_is_scikit_learns(answers):
    """A score of our own making could be compared with nobody's."""
    logits, targets = answers
    counts = label_counts(logits, targets, threshold=0.3).sum(axis=0)
    given = logits > 0.3
    assert micro_f1(counts) == pytest.approx(f1_score(targets, given, average="micro"))
    assert macro_f1(counts) == pytest.approx(f1_score(targets, given, average="macro"))
    for ours, theirs in [(f1, f1_score), (precision, precision_score), (recall, recall_score)]:
        np.testing.assert_allclose(ours(counts), theirs(targets, given, average=None))


def test_counts_are_of_rows(answers):
    """Summed over rows too early there is nothing left to resample."""
    counts = label_counts(*answers, threshold=0.0)
    assert counts.shape == (50, 4, 3)
    few = label_counts(answers[0][:7], answers[1][:7], threshold=0.0)
    np.testing.assert_array_equal(counts[:7], few)


def test_unlabelled_cells_count_nowhere(answers):
    """A missing label taken for a no makes a right answer wrong."""
    logits, targets = answers
    targets[5:20, 1] = -100
    counts = label_counts(logits, targets, threshold=0.0)
    assert not counts[5:20, 1].any()
    known = targets[:, 1] != -100
    expected = f1_score(targets[known, 1], logits[known, 1] > 0)
    assert f1(counts.sum(axis=0))[1] == pytest.approx(expected)
    values = [
        average_precision_score(targets[rows, one], logits[rows, one])
        for one in range(4)
        for rows in [targets[:, one] != -100]
    ]
    assert mean_average_precision(logits, targets) == pytest.approx(np.mean(values))


def test_mean_average_precision_is_scikit_learns(answers):
    """Of all rows, and of drawn ones."""
    logits, targets = answers
    expected = average_precision_score(targets, logits, average="macro")
    assert mean_average_precision(logits, targets) == pytest.approx(expected)
    drawn = np.random.default_rng(1).integers(0, 4, size=(50, 3)).astype(float)
    found = drawn_mean_average_precision(np.stack([logits, targets], axis=-1), drawn)
    for value, times in zip(found, drawn.T, strict=True):
        one, other = (np.repeat(side, times.astype(int), axis=0) for side in (targets, logits))
        assert value == pytest.approx(average_precision_score(one, other, average="macro"))


def test_classes_that_do_not_occur_are_left_out(answers):
    """A rare class drawn in no row would cost the mean what no model can answer."""
    logits, targets = answers
    targets[:, 3] = 0
    expected = average_precision_score(targets[:, :3], logits[:, :3], average="macro")
    assert mean_average_precision(logits, targets) == pytest.approx(expected)
    counts = label_counts(logits, targets, threshold=0.0).sum(axis=0)
    assert macro_f1(counts) == pytest.approx(f1(counts)[:3].mean())
    assert micro_f1(counts) < micro_f1(counts[:3])


def test_nothing_said_of_nothing_is_0():
    """0 / 0 is NaN, and NaN in a resample is NaN in the interval."""
    empty = np.zeros((2, 4, 3))
    for score in (micro_f1, macro_f1):
        assert score(empty).tolist() == [0, 0]


@pytest.mark.parametrize(
    "function", [lambda *x: label_counts(*x, threshold=0), mean_average_precision]
)
def test_refuses_what_cannot_be_counted(answers, function):
    """Broadcast targets would be other rows'; a NaN is above no threshold."""
    logits, targets = answers
    with pytest.raises(ValueError, match=r"\[rows classes\]"):
        function(logits, targets[:, :1])
    logits[3, 1] = np.nan
    with pytest.raises(ValueError, match="logits has NaN in row 3"):
        function(logits, targets)


def test_refuses_targets_without_any_label():
    """The mean over no class is not 0."""
    with pytest.raises(ValueError, match="mean_average_precision: targets holds no 1"):
        mean_average_precision(np.zeros((2, 2)), np.zeros((2, 2)))
