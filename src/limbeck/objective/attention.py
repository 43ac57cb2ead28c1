"""How far the student looks elsewhere than the teacher: attention scores and distributions."""

import math
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from limbeck.objective.padding import real_tokens
from limbeck.objective.precision import without_autocast
from limbeck.objective.refusals import refuse_unpaired

Heads = Literal["each", "mean"]
_DIMENSIONS = ("batch", "heads", "tokens", "tokens")

# Not -inf: the difference of two of them is NaN, and 0 * NaN is NaN. Its exponential is 0.
_NEVER = torch.finfo(torch.float32).min


def split_heads(
    vectors: Float[Tensor, "batch tokens hidden"], heads: int
) -> Float[Tensor, "batch {heads} tokens hidden//{heads}"]:
    """Vectors cut into equal parts, one a head.

    Args:
        vectors: Queries, keys or values of one layer, as its linear map gives them.
        heads: Into how many parts; for attention the number of the layer's heads.

    Returns:
        A view of the same numbers.

    Raises:
        ValueError: If the width is no multiple of heads (the parts would mix units of several
            heads), or the shape is not [batch tokens hidden].
    """
    if vectors.ndim != 3 or heads < 1 or vectors.shape[-1] % heads:
        raise ValueError(
            f"split_heads: vectors has shape {tuple(vectors.shape)}, heads is {heads}. Vectors "
            f"must be [batch tokens hidden], with hidden a multiple of heads. "
            f"Pass the model's own number of heads, or one that divides both models' widths."
        )
    batch, tokens, hidden = vectors.shape
    return vectors.reshape(batch, tokens, heads, hidden // heads).transpose(1, 2)


def attention_scores(
    queries: Float[Tensor, "batch heads tokens head_hidden"],
    keys: Float[Tensor, "batch heads tokens head_hidden"],
) -> Float[Tensor, "batch heads tokens tokens"]:
    """Queries times keys over the square root of their width: attention before its softmax.

    For models that do not give their scores away: queries and keys can be caught where they are
    made, and `split_heads` brings them into shape. No position bias or mask is added: a model
    whose attention has more than this product is compared by the product alone.

    Args:
        queries: Of one layer; gradients flow through.
        keys: Of the same layer.

    Returns:
        Scores in float32, queries before keys, dimensionless. Padding must be finite: a NaN
        in one token's key is in every query's gradient.

    Raises:
        ValueError: If the shapes differ or are not [batch heads tokens head_hidden].
    """
    if queries.ndim != 4 or queries.shape != keys.shape:
        raise ValueError(
            f"attention_scores: queries has shape {tuple(queries.shape)}, keys has shape "
            f"{tuple(keys.shape)}. Both must be [batch heads tokens head_hidden]. "
            f"Pass one layer's queries and keys through split_heads."
        )
    with without_autocast(queries.device):
        # The queries are divided and not the scores, which are the larger by far.
        scaled = queries.float() / math.sqrt(queries.shape[-1])
        return scaled @ keys.float().transpose(-1, -2)


def attention_score_mse(
    student_scores: Float[Tensor, "batch student_heads tokens tokens"],
    teacher_scores: Float[Tensor, "batch teacher_heads tokens tokens"],
    *,
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    heads: Heads = "each",
) -> Float[Tensor, ""]:
    """Mean over heads and pairs of real tokens of (student - teacher)^2, before the softmax.

    Asks for the teacher's very scores, though a constant added to all of a query's changes no
    attention; TinyBERT found that it converges faster than the distributions. Where the student
    should be free in that, use `attention_kl`.

    Args:
        student_scores: Of one layer, as `attention_scores` gives them; gradients flow into these.
        teacher_scores: Of the matching layer, for the same tokens; treated as constants.
        attention_mask: 1 for a real token, 0 for padding. A pair counts where both are real;
            every such pair counts the same.
        heads: "each" compares head with head of the same number. "mean" compares the means over
            either model's heads, for models whose numbers of heads differ.

    Returns:
        Scalar >= 0, in squared units of the scores. Zero when they agree on every real pair.

    Raises:
        ValueError: If batch or tokens differ, or heads do where each is compared (broadcasting
            would train towards a wrong target at a plausible loss), a side is not
            [batch heads tokens tokens] or empty, the mask is not [batch tokens] or holds
            anything but 0 and 1, or no token is real (the mean is NaN).

    Reference:
        Jiao et al. TinyBERT: Distilling BERT for Natural Language Understanding, 2020,
        equation 7. https://arxiv.org/abs/1909.10351
        We leave padding out; the mean over heads is ours.
    """
    where = "attention_score_mse"
    real = _checked(
        student_scores, teacher_scores, attention_mask, heads, where=where, what="scores"
    )
    student, teacher = student_scores.float(), teacher_scores.detach().float()
    if heads == "mean":
        student, teacher = student.mean(dim=1, keepdim=True), teacher.mean(dim=1, keepdim=True)
    difference = (student - teacher).where(_pairs(real), 0.0)
    pairs = real.sum(dim=1).square().sum()
    return difference.square().sum() / (pairs * student.shape[1])


def attention_kl(
    student_scores: Float[Tensor, "batch student_heads tokens tokens"],
    teacher_scores: Float[Tensor, "batch teacher_heads tokens tokens"],
    *,
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    heads: Heads = "each",
) -> Float[Tensor, ""]:
    """Mean over heads and real queries of KL(softmax(teacher) || softmax(student)) over keys.

    Asks the student to look where the teacher looks. The keys of padding are masked here, so
    scores come as they are, without a mask. Where only the teacher's distributions were kept,
    use `attention_distribution_kl`.

    Args:
        student_scores: Of one layer, before the softmax; gradients flow into these only.
        teacher_scores: Of the matching layer, for the same tokens; treated as constants.
        attention_mask: 1 for a real token, 0 for padding. Every real query counts the same,
            whatever the length of its row. No other mask is applied: of a model that reads from
            left to right, scores of later keys count like the rest.
        heads: "each" compares head with head of the same number. "mean" compares the means over
            either model's heads of the distributions, for models whose numbers of heads differ.

    Returns:
        Scalar >= 0 in nats; rounding in float32 may put it below by some 1e-7. Zero exactly when
        the distributions of every real query agree.

    Raises:
        ValueError: If batch or tokens differ, or heads do where each is compared (broadcasting
            would train towards a wrong target at a plausible loss), a side is not
            [batch heads tokens tokens] or empty, the mask is not [batch tokens] or holds
            anything but 0 and 1, or no token is real (the mean is NaN).

    Reference:
        Wang et al. MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of
        Pre-Trained Transformers, 2020, section 3.1, L_AT. https://arxiv.org/abs/2002.10957
        Sun et al. MobileBERT: a Compact Task-Agnostic BERT for Resource-Limited Devices, 2020,
        attention transfer, L_AT.
        https://arxiv.org/abs/2004.02984
        The papers average within each text and then over texts, we over all real queries. The
        mean over heads is ours.
    """
    where = "attention_kl"
    real = _checked(
        student_scores, teacher_scores, attention_mask, heads, where=where, what="scores"
    )
    pairs = _pairs(real)
    student = _log_attention(student_scores, pairs, heads)
    teacher = _log_attention(teacher_scores.detach(), pairs, heads)
    # A padded query is uniform on both sides and adds 0.
    total = (teacher.exp() * (teacher - student)).sum()
    return total / (real.sum() * student.shape[1])


def attention_distribution_kl(
    student_scores: Float[Tensor, "batch student_heads tokens tokens"],
    teacher_attention: Float[Tensor, "batch teacher_heads tokens tokens"],
    *,
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    heads: Heads = "each",
) -> Float[Tensor, ""]:
    """`attention_kl` against distributions instead of scores of the teacher.

    For a teacher whose attention was recorded after its softmax. Each real query's distribution
    is taken over real keys and made to sum to 1, so that half precision on disk, or a teacher
    that was not given the mask, does no harm.

    Args:
        student_scores: Of one layer, before the softmax; gradients flow into these only.
        teacher_attention: Probabilities of the matching layer; treated as constants.
        attention_mask: 1 for a real token, 0 for padding, as in `attention_kl`.
        heads: "each" or "mean", as in `attention_kl`.

    Returns:
        Scalar >= 0 in nats; rounding in float32 may put it below by some 1e-7. Zero exactly when
        the distributions of every real query agree.

    Raises:
        ValueError: As `attention_kl`; and if teacher_attention holds anything but values from 0
            to 1 for real tokens, or nothing but 0 for a real query (scores were passed, or
            another text's attention). On an accelerator only shapes are checked.

    Reference:
        As `attention_kl`.
    """
    where = "attention_distribution_kl"
    real = _checked(
        student_scores, teacher_attention, attention_mask, heads, where=where, what="attention"
    )
    pairs = _pairs(real)
    teacher = teacher_attention.detach().float().where(pairs, 0.0)
    total = teacher.sum(dim=-1, keepdim=True)
    if teacher.device.type == "cpu":
        _refuse_probabilities(teacher, total, real, where=where)
    teacher = teacher / total.where(real[:, None, :, None], 1.0)
    if heads == "mean":
        teacher = teacher.mean(dim=1, keepdim=True)
    student = _log_attention(student_scores, pairs, heads)
    # Not teacher.log(): what the teacher never looks at is 0 here, and 0 * -inf is NaN.
    parts = torch.special.xlogy(teacher, teacher) - teacher * student
    return parts.sum() / (real.sum() * student.shape[1])


def _checked(
    student: Float[Tensor, "batch student_heads tokens tokens"],
    teacher: Float[Tensor, "batch teacher_heads tokens tokens"],
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    heads: Heads,
    *,
    where: str,
    what: str,
) -> Bool[Tensor, "batch tokens"]:
    """Which tokens are real, if the tensors can be compared."""
    match heads:
        case "each":
            free = ()
        case "mean":
            free = ("heads",)
        case _:
            assert_never(heads)
    refuse_unpaired(student, teacher, where=where, what=what, dimensions=_DIMENSIONS, free=free)
    batch, _, tokens, keys = student.shape
    if keys != tokens:
        raise ValueError(
            f"{where}: student_scores has shape {tuple(student.shape)}. It must be "
            f"[batch heads tokens tokens], with as many keys as queries. "
            f"Pass a layer's attention of a text to itself."
        )
    return real_tokens(
        attention_mask,
        batch=batch,
        tokens=tokens,
        where=where,
        beside=f"student_scores has shape {tuple(student.shape)}",
    )


def _pairs(real: Bool[Tensor, "batch tokens"]) -> Bool[Tensor, "batch 1 tokens tokens"]:
    """True where query and key are both real."""
    return real[:, None, :, None] & real[:, None, None, :]


def _log_attention(
    scores: Float[Tensor, "batch heads tokens tokens"],
    pairs: Bool[Tensor, "batch 1 tokens tokens"],
    heads: Heads,
) -> Float[Tensor, "batch compared_heads tokens tokens"]:
    """Log-probabilities over real keys in float32.

    Queries of padding are overwritten too, though they are not wanted: a NaN in one that is
    left out only at the end comes back in the gradient.
    """
    each = torch.log_softmax(scores.float().where(pairs, _NEVER), dim=-1)
    if heads == "each":
        return each
    return torch.logsumexp(each, dim=1, keepdim=True) - math.log(each.shape[1])


def _refuse_probabilities(
    teacher: Float[Tensor, "batch heads tokens tokens"],
    total: Float[Tensor, "batch heads tokens 1"],
    real: Bool[Tensor, "batch tokens"],
    *,
    where: str,
) -> None:
    wrong = teacher[~((teacher >= 0) & (teacher <= 1))]
    found = f"contains {wrong[0].item()}" if wrong.numel() else ""
    if not found and bool(((total == 0) & real[:, None, :, None]).any()):
        found = "is 0 for every real key of a real query"
    if found:
        raise ValueError(
            f"{where}: teacher_attention {found}. It must be probabilities over the keys. "
            f"Pass attention after the softmax, or scores to attention_kl."
        )
