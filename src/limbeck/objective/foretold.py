"""Tokens that a language model foretells: log-probabilities of those that a loss looks at."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

ABSENT = -1e4
"""The log-probability of a class that is not there: 0 in float32 at any sensible temperature."""
_LEAST_REST = torch.finfo(torch.float32).eps


def foretold(
    logits: Float[Tensor, "places vocabulary"],
    tokens: Int[Tensor, "places"],
    likely: Int[Tensor, "places k"],
) -> Float[Tensor, "places columns"]:
    """Columns: log p of the token that stands there, of k others, of all the rest as one class.

    A loss needs no more of a vocabulary, so a head may be asked for some places at a time, and its
    logits forgotten. The last k + 1 columns are `coarse_log_probabilities`' student.

    Args:
        logits: Unnormalized scores of the whole vocabulary; gradients flow into them.
        tokens: The token that stands there; -1 where nobody knows.
        likely: Tokens that the teacher finds likely, none twice at a place; -1 for one that this
            vocabulary does not have.

    Returns:
        Float32 [places, k + 2]: the token's (0 where nobody knows it), that of each likely one
        (`ABSENT` where there is none) and the rest's (`ABSENT` where nothing is left).

    Raises:
        ValueError: If the places differ in number (a loss would compare other places).
    """
    _refuse_other_places(logits, tokens, likely)
    logits, likely = logits.float(), likely.long()
    whole = logits.logsumexp(dim=1, keepdim=True)
    known = likely >= 0
    named = torch.zeros(len(logits), logits.shape[1] + 1, dtype=torch.bool, device=logits.device)
    named = named.scatter(1, likely.where(known, logits.shape[1]), True)[:, :-1]
    some_left = ~named.all(dim=1, keepdim=True)
    rest = logits.masked_fill(named & some_left, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat(
        [
            _of_tokens(logits, tokens) - whole.where(tokens[:, None] >= 0, 0.0),
            (logits.gather(1, likely.clamp(min=0)) - whole).where(known, ABSENT),
            (rest - whole).where(some_left, ABSENT),
        ],
        dim=1,
    )


def all_foretold(
    logits: Float[Tensor, "places vocabulary"], tokens: Int[Tensor, "places"]
) -> Float[Tensor, "places columns"]:
    """Columns: log p of the token that stands there, then of every token.

    Args:
        logits: As of `foretold`.
        tokens: Likewise.

    Returns:
        Float32 [places, vocabulary + 1].
    """
    _refuse_other_places(logits, tokens, tokens)
    said = torch.log_softmax(logits.float(), dim=1)
    return torch.cat([_of_tokens(said, tokens), said], dim=1)


def likeliest(
    logits: Float[Tensor, "places vocabulary"], tokens: Int[Tensor, "places"], *, k: int
) -> Float[Tensor, "places columns"]:
    """Columns: log p of the token that stands there, the k likeliest tokens, log p of these.

    Args:
        logits: As of `foretold`.
        tokens: Likewise.
        k: At least 1; the vocabulary's size at most.

    Returns:
        Float32 [places, 2k + 1], the likeliest first: log p of the token, k ids (whole numbers,
        exact below 2^24), k log-probabilities of the softmax over the whole vocabulary.
    """
    _refuse_other_places(logits, tokens, tokens)
    logits = logits.float()
    whole = logits.logsumexp(dim=1, keepdim=True)
    values, ids = logits.topk(k, dim=1)
    own = _of_tokens(logits, tokens) - whole.where(tokens[:, None] >= 0, 0.0)
    return torch.cat([own, ids.float(), values - whole], dim=1)


def teacher_classes(
    log_probabilities: Float[Tensor, "places k"],
    known: Bool[Tensor, "places k"],
    *,
    vocabulary: int,
) -> Float[Tensor, "places classes"]:
    """The teacher's log-probabilities of its k likeliest tokens and of all others as one.

    Args:
        log_probabilities: Of its softmax over its whole vocabulary at temperature 1.
        known: Which of them the student has; the mass of the others goes to the rest.
        vocabulary: Of the student: where it has no others, neither side has a rest.

    Returns:
        Float32 [places, k + 1], the classes of `foretold` but its first column; each place's sum
        to 1. The rest is not below 1.2e-7, the rounding of 1 minus the others.
    """
    told = log_probabilities.detach().float()
    rest = 1 - told.exp().where(known, 0.0).sum(dim=1, keepdim=True)
    some_left = known.sum(dim=1, keepdim=True) < vocabulary
    rest = rest.clamp(min=_LEAST_REST).log().where(some_left, ABSENT)
    classes = torch.cat([told.where(known, ABSENT), rest], dim=1)
    return torch.log_softmax(classes, dim=1)


def token_cross_entropy(
    log_probabilities: Float[Tensor, "places"], tokens: Int[Tensor, "places"]
) -> Float[Tensor, ""]:
    """Mean of -log p(token) over the places whose token is known; 0 without any.

    Args:
        log_probabilities: Of the token that stands there.
        tokens: It; below 0 where nobody knows, or nothing is to be learned of it.

    Raises:
        ValueError: If they differ in number.
    """
    if log_probabilities.shape != tokens.shape:
        raise ValueError(
            f"token_cross_entropy: log_probabilities has shape {tuple(log_probabilities.shape)}, "
            f"tokens has shape {tuple(tokens.shape)}. Both must be [places]. Pass those of the "
            f"same places."
        )
    known = tokens >= 0
    total = log_probabilities.float().where(known, 0.0).sum()
    return -total / known.sum().clamp(min=1)


def _of_tokens(values: Tensor, tokens: Tensor) -> Tensor:
    """Each place's value of its token [places, 1]; 0 where nobody knows it."""
    own = values.gather(1, tokens.long().clamp(min=0)[:, None])
    return own.where(tokens[:, None] >= 0, 0.0)


def _refuse_other_places(logits: Tensor, tokens: Tensor, likely: Tensor) -> None:
    if not len(logits) == len(tokens) == len(likely):
        raise ValueError(
            f"foretold: logits are of {len(logits)} places, tokens of {len(tokens)}, likely tokens "
            f"of {len(likely)}. All must be of the same places. Pass answers at the same places of "
            f"the texts, padding left out."
        )
