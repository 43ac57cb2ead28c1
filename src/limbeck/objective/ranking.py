"""How the student scores a query's candidates against each other."""

import math

from jaxtyping import Bool, Float, Int
from torch import Tensor

from limbeck.objective.chosen import chosen_places, log_probabilities
from limbeck.objective.refusals import refuse_temperature, refuse_unmatched


def margin_mse(
    student_scores: Float[Tensor, "batch candidates"],
    teacher_scores: Float[Tensor, "batch candidates"],
    mask: Bool[Tensor, "batch candidates"] | Int[Tensor, "batch candidates"],
) -> Float[Tensor, ""]:
    """Mean over queries and their pairs i, j of (student_i - student_j - teacher_i + teacher_j)^2.

    Asks for the teacher's margins and leaves the level of the scores free, which differs from
    query to query and means nothing in a ranking. All pairs of a query's candidates are compared,
    so that it need not be known which one is right. It binds the scale of the scores; where only
    the shares matter, use `listwise_kl`.

    Args:
        student_scores: A query a row; gradients flow into these only.
        teacher_scores: Of the same candidates, in the unit that the student should have; treated
            as constants.
        mask: 1 for a candidate, 0 where a query has fewer.

    Returns:
        Scalar >= 0, in squared units of the scores. Zero exactly when all margins agree. A query
        with one candidate has no margin and counts as 0. Computed as twice the variance of
        student - teacher over a query's candidates, which is the same.

    Raises:
        ValueError: If the shapes differ (other candidates would be compared), are not
            [batch candidates] or are empty, the mask is not of their shape, holds anything but 0
            and 1 or leaves a query without a candidate. On an accelerator only shapes are
            checked.

    Reference:
        Hofstätter, Althammer, Schröder, Sertkan, Hanbury. Improving Efficient Neural Ranking
        Models with Cross-Architecture Knowledge Distillation, 2020, section 3.2, Margin-MSE.
        https://arxiv.org/abs/2010.02666
        The paper has one relevant and one other passage a query, where this is the same.
    """
    where = "margin_mse"
    kept = _checked(student_scores, teacher_scores, mask, where=where)
    gap = (student_scores.float() - teacher_scores.detach().float()).where(kept, 0.0)
    count = kept.sum(dim=1, keepdim=True)
    centered = (gap - gap.sum(dim=1, keepdim=True) / count).where(kept, 0.0)
    rows = 2 * centered.square().sum(dim=1) / (count[:, 0] - 1).clamp(min=1)
    return rows.mean()


def listwise_kl(
    student_scores: Float[Tensor, "batch candidates"],
    teacher_scores: Float[Tensor, "batch candidates"],
    mask: Bool[Tensor, "batch candidates"] | Int[Tensor, "batch candidates"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over queries of T^2 * KL(softmax(teacher / T) || softmax(student / T)) over candidates.

    `logit_kl` with a query's candidates for classes: what is likely to be the best of them. The
    top of the list counts most; `margin_mse` weighs all pairs alike.

    Args:
        student_scores: A query a row; gradients flow into these only.
        teacher_scores: Of the same candidates; treated as constants.
        mask: 1 for a candidate, 0 where a query has fewer.
        temperature: T > 0, dimensionless. Larger T gives candidates further down more say.

    Returns:
        Scalar >= 0 in nats, times T^2; rounding in float32 may put it below by some 1e-7 T^2.
        Zero exactly when the distributions agree; a query with one candidate counts as 0.

    Raises:
        ValueError: If the shapes differ (other candidates would be compared), are not
            [batch candidates] or are empty, the mask is not of their shape, holds anything but 0
            and 1 or leaves a query without a candidate, or T is not positive and finite. On an
            accelerator only shapes are checked.

    Reference:
        Cao, Qin, Liu, Tsai, Li. Learning to Rank: From Pairwise Approach to Listwise Approach,
        2007, section 4. https://doi.org/10.1145/1273496.1273513
        The paper has the cross entropy of relevance judgments' distribution, whose gradient is
        the same; T and the T^2 factor are ours, as in `logit_kl`.
    """
    where = "listwise_kl"
    kept = _checked(student_scores, teacher_scores, mask, where=where)
    refuse_temperature(temperature, where=where)
    student = log_probabilities(student_scores.float() / temperature, kept, dim=1)
    teacher = log_probabilities(teacher_scores.detach().float() / temperature, kept, dim=1)
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(dim=1).mean()


def listwise_cross_entropy(
    student_scores: Float[Tensor, "batch candidates"],
    grades: Float[Tensor, "batch candidates"],
    mask: Bool[Tensor, "batch candidates"] | Int[Tensor, "batch candidates"],
) -> Float[Tensor, ""]:
    """Mean over queries of -sum(p * log softmax(student)) over candidates, p = grades / their sum.

    With one relevant candidate this is the cross-entropy of choosing it out of its query's. What
    the labels say of one query; where a teacher has scored the candidates, `listwise_kl`.

    Args:
        student_scores: A query a row; gradients flow into these only.
        grades: Relevance >= 0 of the same candidates, 0 for one that does not answer; NaN
            throughout a query whose labels are not known. Labels that are all alike say nothing of
            the order of candidates, and such a query is left out too.
        mask: 1 for a candidate, 0 where a query has fewer.

    Returns:
        Scalar >= 0 in nats. Zero, with zero gradient, when no query has grades that differ.

    Raises:
        ValueError: If the shapes differ, are not [batch candidates] or are empty, the mask is not
            of their shape, holds anything but 0 and 1 or leaves a query without a candidate, or a
            grade is negative (the best candidate would be pushed down). On an accelerator only
            shapes are checked.

    Reference:
        Gao, Dai, Callan. Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline,
        2021, localized contrastive loss (one relevant candidate).
        https://arxiv.org/abs/2101.08751
        Zhuang et al. RankT5: Fine-Tuning T5 for Text Ranking with Ranking Losses, 2022, listwise
        softmax cross-entropy (graded candidates). https://arxiv.org/abs/2210.10634
        RankT5 sums grades as they are; we bring each query's to a sum of 1, so that one with many
        relevant candidates does not weigh more.
    """
    where = "listwise_cross_entropy"
    if grades.shape != student_scores.shape:
        raise ValueError(
            f"{where}: student_scores has shape {tuple(student_scores.shape)}, grades has shape "
            f"{tuple(grades.shape)}. Both must be [batch candidates]. Pass one grade a candidate."
        )
    kept = _checked(student_scores, student_scores, mask, where=where)
    grades = grades.detach().float().where(kept, 0.0)  # what stands at padding means nothing
    if grades.device.type == "cpu" and (grades < 0).any():
        raise ValueError(
            f"{where}: grades contains {float(grades[grades < 0][0])}. Relevance is 0 where a "
            f"candidate does not answer and more where it does. Shift the labels."
        )
    low = grades.where(kept, math.inf).amin(dim=1)
    counted = grades.amax(dim=1) > low  # NaN is not above NaN
    shares = grades / grades.sum(dim=1, keepdim=True)
    shares = shares.where(counted[:, None], 0.0)
    rows = -(shares * log_probabilities(student_scores, kept, dim=1).where(kept, 0.0)).sum(dim=1)
    return rows.sum() / counted.sum().clamp(min=1)


def _checked(
    student_scores: Tensor, teacher_scores: Tensor, mask: Tensor, *, where: str
) -> Bool[Tensor, "batch candidates"]:
    """Which candidates are there, if the scores can be compared."""
    refuse_unmatched(
        student_scores,
        teacher_scores,
        where=where,
        what="scores",
        dimensions=("batch", "candidates"),
    )
    batch, candidates = student_scores.shape
    return chosen_places(mask, shape=(batch, candidates), where=where, what="mask")
