import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from scipy.special import log_softmax

from limbeck.objective import (
    all_foretold,
    coarse_log_probabilities,
    foretold,
    likeliest,
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    logit_skewed_kl,
    teacher_classes,
    token_cross_entropy,
)
from limbeck.objective.foretold import ABSENT

TOKENS = torch.tensor([3, 0, -1, 7])


@pytest.fixture
def logits():
    """Student's and teacher's, four places of a vocabulary of eight."""
    return np.random.default_rng(0).normal(scale=2, size=(2, 4, 8))


def _told(teacher, k):
    """What a teacher says: ids and log-probabilities of its k likeliest."""
    said = likeliest(torch.tensor(teacher), TOKENS, k=k).double()
    return said[:, 1 : 1 + k].long(), said[:, 1 + k :]


def _by_definition(logits, likely):
    log_p = log_softmax(logits, axis=1)
    rows = []
    for place, named in enumerate(likely):
        own = log_p[place, TOKENS[place]] if TOKENS[place] >= 0 else 0.0
        rest = [i for i in range(8) if i not in named]
        rows.append([own, *log_p[place, named], np.log(np.exp(log_p[place, rest]).sum())])
    return np.array(rows)


def test_is_the_definition_in_value_and_gradient(logits, numeric_gradient):
    """A rest that counts a named token twice has another mass, and training goes on."""
    likely = _told(logits[1], 3)[0]
    weights = np.random.default_rng(1).normal(size=(4, 5))
    student = torch.tensor(logits[0], requires_grad=True)
    found = foretold(student, TOKENS, likely)
    (found.double() * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(found.detach(), _by_definition(logits[0], likely.numpy()), atol=1e-5)
    expected = numeric_gradient(
        lambda point: float((_by_definition(point, likely.numpy()) * weights).sum()), logits[0]
    )
    np.testing.assert_allclose(student.grad, expected, atol=1e-5)


def test_its_classes_are_those_of_coarse_log_probabilities(logits):
    """Two ways to the same classes must not differ: recorded knowledge is read by both."""
    student, (ids, values) = torch.tensor(logits[0]), _told(logits[1], 3)
    own, other = coarse_log_probabilities(student, ids, values, tail=True)
    torch.testing.assert_close(foretold(student, TOKENS, ids)[:, 1:], own)
    known = torch.ones_like(ids, dtype=torch.bool)
    torch.testing.assert_close(teacher_classes(values, known, vocabulary=8), other)


def test_all_tokens_named_leave_no_rest_on_either_side(logits):
    """A rest of 1e-7 against none would cost 0.001 nats a place, and teach nothing."""
    student, (ids, values) = torch.tensor(logits[0], requires_grad=True), _told(logits[1], 8)
    own = foretold(student, TOKENS, ids)[:, 1:]
    other = teacher_classes(values, torch.ones_like(ids, dtype=torch.bool), vocabulary=8)
    assert (own[:, -1] == ABSENT).all()
    whole = logit_kl(student.detach(), torch.tensor(logits[1]), temperature=1.0)
    value = logit_kl(own, other, temperature=1.0)
    assert value.item() == pytest.approx(whole.item(), abs=1e-6)
    value.backward()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(
    "divergence",
    [
        logit_kl,
        logit_reverse_kl,
        logit_jensen_shannon,
        lambda s, t, temperature: logit_skewed_kl(s, t, temperature=temperature, skew=0.1),
    ],
)
def test_a_token_that_the_student_lacks_is_as_if_it_were_not_named(logits, divergence, temperature):
    """Its mass is the rest's; a class of its own would be one that the student never meets."""
    ids, values = _told(logits[1], 4)
    student = torch.tensor(logits[0], requires_grad=True)
    lacking = ids.clone()
    lacking[:, 2] = -1
    left = [0, 1, 3]
    own = foretold(student, TOKENS, lacking)[:, 1:]
    other = teacher_classes(values, lacking >= 0, vocabulary=8)
    fewer = foretold(student, TOKENS, ids[:, left])[:, 1:]
    known = torch.ones(4, 3, dtype=torch.bool)
    expected = divergence(
        fewer, teacher_classes(values[:, left], known, vocabulary=8), temperature=temperature
    )
    value = divergence(own, other, temperature=temperature)
    assert value.item() == pytest.approx(expected.item(), abs=1e-6)
    value.backward()
    assert student.grad.isfinite().all()


def test_the_likeliest_are_numpys(logits):
    """Exports are read by the other of the two."""
    from limbeck.data.likely import ids, likeliest_of, log_probabilities

    ours = likeliest(torch.tensor(logits[0]), TOKENS, k=3).numpy()
    theirs = likeliest_of(logits[0].astype(np.float32), TOKENS.numpy(), k=3)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_array_equal(ids(ours), np.argsort(-logits[0], axis=1)[:, :3])
    assert log_probabilities(ours)[2] == 0


def test_the_whole_vocabulary_is_its_log_softmax(logits):
    """In its order, behind the token's own."""
    found = all_foretold(torch.tensor(logits[0]), TOKENS)
    np.testing.assert_allclose(found[:, 1:], log_softmax(logits[0], axis=1), atol=1e-5)
    assert found[2, 0] == 0
    assert found[3, 0] == found[3, 8]


def test_the_supervised_loss_is_that_of_torch(logits):
    """The control arm learns by it."""
    student = torch.tensor(logits[0])
    own = foretold(student, TOKENS, torch.zeros(4, 0, dtype=torch.int64))
    expected = torch.nn.functional.cross_entropy(student, TOKENS, ignore_index=-1)
    assert token_cross_entropy(own[:, 0], TOKENS).item() == pytest.approx(expected.item(), abs=1e-6)
    assert token_cross_entropy(own[:, 0], torch.full((4,), -100)).item() == 0
    assert own[:, 1].abs().max() < 1e-6  # all others are everything


def test_refuses_other_places(logits):
    """A loss would compare other places, and fall."""
    student = torch.tensor(logits[0])
    with pytest.raises(ValueError, match="4 places, tokens of 3"):
        foretold(student, TOKENS[:3], torch.zeros(4, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match="Both must be"):
        token_cross_entropy(torch.zeros(4), TOKENS[:3])


def test_signatures_tell_the_shapes(logits):
    """Shapes in a signature that nobody checks are wishes."""
    checked = jaxtyped(typechecker=beartype)(foretold)
    student = torch.tensor(logits[0], dtype=torch.float32)
    assert checked(student, TOKENS, torch.zeros(4, 2, dtype=torch.int64)).shape == (4, 4)
