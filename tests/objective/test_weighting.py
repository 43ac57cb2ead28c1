import math

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import accuracy_score

from limbeck.objective import (
    confidence_mixture,
    correctness_weights,
    entropy_weights,
    hard_cross_entropy,
    logit_kl,
    uncertainty_weights,
)

by_row = pytest.mark.parametrize(
    "weights_of", [entropy_weights, uncertainty_weights], ids=lambda function: function.__name__
)


@pytest.fixture
def logits():
    """Five rows of four classes."""
    return np.random.default_rng(0).normal(scale=2, size=(5, 4))


@pytest.fixture
def teachers():
    """Three teachers' logits of five rows of four classes."""
    return np.random.default_rng(1).normal(scale=2, size=(3, 5, 4))


LABELS = np.array([2, -100, 0, 1, -100])


def entropy_of(row):
    p = np.exp(row) / np.exp(row).sum()
    return -np.sum(p * np.log(p))


def by_definition(weights_of, logits):
    values = np.array([entropy_of(row) for row in logits])
    if weights_of is entropy_weights:
        values = 1 - values / np.log(logits.shape[1])
    return values / values.mean()


@by_row
def test_value_is_the_definition(logits, weights_of):
    """Weights the wrong way round train on what is to be left out."""
    found = weights_of(torch.tensor(logits))
    np.testing.assert_allclose(found, by_definition(weights_of, logits), rtol=1e-5)


@by_row
def test_value_is_scipys_entropy(logits, weights_of):
    """Our own definition could be wrong in the same way as the code."""
    values = entropy(softmax(logits, axis=1), axis=1, base=4)
    values = 1 - values if weights_of is entropy_weights else values
    np.testing.assert_allclose(weights_of(torch.tensor(logits)), values / values.mean(), rtol=1e-5)


@by_row
def test_mean_is_one_and_terms_take_the_weights(logits, weights_of):
    """Weights of another mean change the term's weight, from batch to batch."""
    weights = weights_of(torch.tensor(logits))
    assert weights.mean().item() == pytest.approx(1, abs=1e-6)
    student, teacher = torch.tensor(logits), torch.tensor(logits[::-1].copy())
    assert logit_kl(student, teacher, temperature=2.0, weights=weights) > 0


def test_a_sure_teacher_counts_more_and_a_sure_student_less():
    """The two read the same entropy in opposite ways."""
    logits = torch.tensor([[9.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
    assert entropy_weights(logits).diff().item() < -1.9
    assert uncertainty_weights(logits).diff().item() > 1.9


@by_row
@pytest.mark.parametrize("scale", [0.0, 1e3])
def test_rows_that_are_all_alike_count_the_same(weights_of, scale):
    """0 / 0 for a teacher that is sure of nothing, or a student of everything, is NaN."""
    logits = torch.tensor([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
    torch.testing.assert_close(weights_of(logits), torch.ones(2))


@by_row
def test_no_weight_is_negative_by_rounding(weights_of):
    """The terms refuse a weight of -1e-8, in the middle of a night's training."""
    for classes in range(2, 100):
        logits = torch.zeros(2, classes)
        logits[1, 0] = 9
        assert (weights_of(logits) >= 0).all()


@by_row
def test_no_gradient_flows_through_weights(logits, weights_of):
    """A student could lower the loss by looking sure, instead of by learning."""
    given = torch.tensor(logits, requires_grad=True)
    assert not weights_of(given).requires_grad


@by_row
def test_half_precision_is_reduced_in_float32(logits, weights_of):
    """In bfloat16 a certainty has three digits."""
    half = torch.tensor(logits).bfloat16()
    assert weights_of(half).dtype == torch.float32
    assert torch.equal(weights_of(half), weights_of(half.float()))


def test_correctness_is_one_where_the_teacher_is_right(logits):
    """Inverted, it would teach the mistakes alone."""
    labels = logits.argmax(axis=1)
    labels[[1, 3]] = (labels[[1, 3]] + 1) % 4
    found = correctness_weights(torch.tensor(logits), torch.tensor(labels))
    assert found.tolist() == [1, 0, 1, 0, 1]
    assert found.dtype == torch.float32
    expected = accuracy_score(labels, logits.argmax(axis=1))
    assert found.mean().item() == pytest.approx(expected)


def test_a_row_without_a_label_counts_for_correctness(logits):
    """Unlabelled texts are taught by the teacher alone: left out, they would teach nothing."""
    labels = torch.full((5,), -100)
    assert correctness_weights(torch.tensor(logits), labels).tolist() == [1] * 5


def mixture_by_definition(teachers, labels):
    costs = np.zeros(teachers.shape[:2])
    for k, row in np.ndindex(costs.shape):
        logits, label = teachers[k, row], labels[row]
        costs[k, row] = (
            entropy_of(logits) if label == -100 else np.log(np.exp(logits).sum()) - logits[label]
        )
    return (1 - np.exp(costs) / np.exp(costs).sum(axis=0)) / (len(teachers) - 1)


def test_mixture_is_the_definition(teachers):
    """Weights the wrong way round hear the worst teacher most."""
    found = confidence_mixture(torch.tensor(teachers), torch.tensor(LABELS))
    np.testing.assert_allclose(found, mixture_by_definition(teachers, LABELS), rtol=1e-5)


def test_mixture_of_labelled_rows_is_the_papers_by_torchs_cross_entropy(teachers):
    """Our own definition could be wrong in the same way as the code."""
    labels = torch.tensor([2, 3, 0, 1, 1])
    costs = torch.stack(
        [
            torch.nn.functional.cross_entropy(torch.tensor(one), labels, reduction="none")
            for one in teachers
        ]
    )
    expected = (1 - costs.softmax(dim=0)) / 2
    found = confidence_mixture(torch.tensor(teachers), labels)
    torch.testing.assert_close(found, expected.float())


def test_mixture_without_labels_is_that_of_unlabelled_rows(teachers):
    """Where no label is known the teachers' own doubt decides."""
    found = confidence_mixture(torch.tensor(teachers), None)
    unlabelled = torch.full((5,), -100)
    assert torch.equal(found, confidence_mixture(torch.tensor(teachers), unlabelled))


def test_mixture_sums_to_one_over_the_teachers(teachers):
    """Another sum would scale the mixed answer, row by row."""
    found = confidence_mixture(torch.tensor(teachers), torch.tensor(LABELS))
    torch.testing.assert_close(found.sum(dim=0), torch.ones(5))
    assert found.min() >= 0
    assert found.max() <= 1 / 2


def test_mixture_hears_the_teacher_that_is_right():
    """What it is for."""
    right, wrong = [8.0, 0.0, 0.0], [0.0, 8.0, 0.0]
    logits = torch.tensor([[right], [wrong]])
    found = confidence_mixture(logits, torch.tensor([0]))
    assert found[:, 0].tolist() == pytest.approx([1, 0], abs=1e-3)


def test_mixture_of_one_teacher_is_that_teacher(teachers):
    """The formula divides by teachers - 1."""
    found = confidence_mixture(torch.tensor(teachers[:1]), torch.tensor(LABELS))
    assert torch.equal(found, torch.ones(1, 5))


def test_mixture_of_equal_teachers_is_their_mean(teachers):
    """No order of the teachers may matter."""
    same = torch.tensor(np.stack([teachers[0]] * 4))
    found = confidence_mixture(same, torch.tensor(LABELS))
    torch.testing.assert_close(found, torch.full((4, 5), 0.25))


def test_mixture_is_computed_in_float32_without_a_gradient(teachers):
    """No gradient may flow into a teacher."""
    given = torch.tensor(teachers, requires_grad=True)
    assert not confidence_mixture(given, torch.tensor(LABELS)).requires_grad
    half = torch.tensor(teachers).half()
    assert confidence_mixture(half, None).dtype == torch.float32


def test_correct_rows_teach_with_the_labels_beside_them(logits):
    """The two functions are meant for one batch: both take its labels as they are."""
    labels = torch.tensor(LABELS)
    weights = correctness_weights(torch.tensor(logits), labels)
    assert hard_cross_entropy(torch.tensor(logits), labels, weights=weights) >= 0


def test_shapes_are_those_of_the_signatures(logits, teachers):
    """A signature that does not hold misleads everyone who builds on it."""
    for function in (entropy_weights, uncertainty_weights):
        jaxtyped(function, typechecker=beartype)(torch.tensor(logits))
    labels = torch.tensor(LABELS)
    jaxtyped(correctness_weights, typechecker=beartype)(torch.tensor(logits), labels)
    mixture = jaxtyped(confidence_mixture, typechecker=beartype)
    mixture(torch.tensor(teachers), labels)
    mixture(torch.tensor(teachers), None)


@by_row
@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4), (5, 1)])
def test_refuses_anything_but_rows_of_classes(weights_of, shape):
    """Of one class everything is sure; of tokens padding would be weighted."""
    with pytest.raises(ValueError, match=rf"{weights_of.__name__}: \w+_logits .*2 classes. Leave"):
        weights_of(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(4,), (2, 5, 4), (0, 4), (5, 1)])
def test_correctness_refuses_anything_but_rows_of_classes(shape):
    """A regression head is never right."""
    with pytest.raises(ValueError, match=r"correctness_weights: teacher_logits .*2 classes"):
        correctness_weights(torch.zeros(shape), torch.zeros(5, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(5, 4), (0, 5, 4), (3, 0, 4), (3, 5, 1)])
def test_mixture_refuses_anything_but_several_teachers_rows(shape):
    """One teacher's rows would be read as teachers."""
    with pytest.raises(ValueError, match=r"confidence_mixture: teacher_logits .*Stack"):
        confidence_mixture(torch.zeros(shape), None)


@pytest.mark.parametrize("function", [correctness_weights, confidence_mixture])
@pytest.mark.parametrize("shape", [(4,), (5, 1), ()])
def test_refuses_labels_of_other_rows(function, shape):
    """Broadcasting would judge the teacher by another row's label."""
    logits = torch.zeros(5, 4) if function is correctness_weights else torch.zeros(3, 5, 4)
    message = rf"{function.__name__}: labels has shape .*\[batch\], which is \(5,\). Pass"
    with pytest.raises(ValueError, match=message):
        function(logits, torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("function", [correctness_weights, confidence_mixture])
@pytest.mark.parametrize("label", [-1, 4])
def test_refuses_labels_that_are_no_class(function, label):
    """Labels counted from 1 would call every right answer wrong."""
    logits = torch.zeros(5, 4) if function is correctness_weights else torch.zeros(3, 5, 4)
    message = rf"{function.__name__}: labels contains \[{label}\].*Count"
    with pytest.raises(ValueError, match=message):
        function(logits, torch.tensor([0, 1, label, -100, 3]))


def test_certainty_is_measured_against_all_classes():
    """Over ln of another number of classes a coin's toss among four would look sure."""
    even = torch.tensor([[0.0, 0.0, -1e3, -1e3], [1e3, 0.0, 0.0, 0.0]])
    ratio = entropy_weights(even)
    assert (ratio[0] / ratio[1]).item() == pytest.approx(1 - math.log(2) / math.log(4))
