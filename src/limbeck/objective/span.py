"""Answers that are spans of a text: where they start and where they end."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from limbeck.objective.chosen import chosen_places, log_probabilities
from limbeck.objective.refusals import UNLABELED, refuse_temperature, refuse_unmatched

_DIMENSIONS = ("batch", "tokens", "2")


def span_kl(
    student_logits: Float[Tensor, "batch tokens 2"],
    teacher_logits: Float[Tensor, "batch tokens 2"],
    token_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Mean over batch, start and end of T^2 * KL(teacher || student) over the tokens.

    `logit_kl` with a text's tokens for classes, once for where the answer starts and once for
    where it ends. Both distributions are taken over the tokens that may be an answer alone, so
    that neither padding nor the question has a share.

    Args:
        student_logits: A span head's outputs, start first; gradients flow into these only.
        teacher_logits: For the same tokens; treated as constants.
        token_mask: 1 where an answer may start or end: the text, and the first token where that
            stands for no answer. 0 for the question, separators and padding.
        temperature: T > 0, dimensionless. Larger T gives unlikely places more say.

    Returns:
        Scalar >= 0 in nats, times T^2; rounding in float32 may put it below by some 1e-7 T^2.
        Zero exactly when both distributions agree in every row.

    Raises:
        ValueError: If the shapes differ (other tokens would be compared), are not
            [batch tokens 2] or are empty, the mask is not [batch tokens], holds anything but 0
            and 1 or leaves a row without a token, or T is not positive and finite. On an
            accelerator only shapes are checked.

    Reference:
        Sanh, Debut, Chaumond, Wolf. DistilBERT, a distilled version of BERT, 2019, section 4.1,
        the second distillation on SQuAD. https://arxiv.org/abs/1910.01108
        The paper gives no formula; that start and end count alike follows its supervised loss.
    """
    where = "span_kl"
    refuse_unmatched(
        student_logits, teacher_logits, where=where, what="logits", dimensions=_DIMENSIONS
    )
    _refuse_width(student_logits, where=where)
    refuse_temperature(temperature, where=where)
    batch, tokens, _ = student_logits.shape
    kept = chosen_places(token_mask, shape=(batch, tokens), where=where, what="token_mask")
    student = log_probabilities(student_logits.float() / temperature, kept[..., None], dim=1)
    teacher = log_probabilities(
        teacher_logits.detach().float() / temperature, kept[..., None], dim=1
    )
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(dim=1).mean()


def span_cross_entropy(
    student_logits: Float[Tensor, "batch tokens 2"],
    starts: Int[Tensor, "batch"],
    ends: Int[Tensor, "batch"],
    token_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
) -> Float[Tensor, ""]:
    """Mean over the labelled rows of -(log p_start[start] + log p_end[end]) / 2.

    The supervised term of extractive question answering, over the tokens that may be an answer.
    A row without a label teaches through `span_kl` and does not dilute this term.

    Args:
        student_logits: A span head's outputs, start first.
        starts: Index of the answer's first token, or of the token that stands for no answer;
            -100 if it is not known.
        ends: Index of the answer's last token, likewise.
        token_mask: 1 where an answer may start or end, as in `span_kl`.

    Returns:
        Scalar >= 0 in nats. Zero, with zero gradient, when no row is labelled.

    Raises:
        ValueError: If the logits are not [batch tokens 2], labels are not [batch] or the mask is
            not [batch tokens]; a label lies outside the row or on a token that may not be an
            answer (it can never be reached), one of a row's two is -100 and the other not, or an
            end comes before its start (they were swapped). On an accelerator only shapes are
            checked.

    Reference:
        Devlin, Chang, Lee, Toutanova. BERT, 2019, section 4.2. https://arxiv.org/abs/1810.04805
        Half the paper's sum of log-likelihoods, so that `span_kl` and this have one scale.
    """
    where = "span_cross_entropy"
    _refuse_width(student_logits, where=where)
    batch, tokens, _ = student_logits.shape
    for name, labels in (("starts", starts), ("ends", ends)):
        if labels.shape != (batch,):
            raise ValueError(
                f"{where}: {name} has shape {tuple(labels.shape)}. It must be [batch], which is "
                f"({batch},). Pass one token index a row."
            )
    kept = chosen_places(token_mask, shape=(batch, tokens), where=where, what="token_mask")
    if starts.device.type == "cpu":
        _refuse_spans(starts, ends, kept, where=where)
    labeled = (starts != UNLABELED) & (ends != UNLABELED)
    log_p = log_probabilities(student_logits, kept[..., None], dim=1)
    places = torch.stack([starts, ends], dim=1).long().where(labeled[:, None], 0)
    rows = -log_p.gather(1, places[:, None])[:, 0].mean(dim=1)
    return rows.where(labeled, 0.0).sum() / labeled.sum().clamp(min=1)


def _refuse_width(student_logits: Tensor, *, where: str) -> None:
    shape = tuple(student_logits.shape)
    if len(shape) != 3 or shape[2] != 2 or 0 in shape:
        raise ValueError(
            f"{where}: student_logits has shape {shape}. It must be [batch tokens 2], start and "
            f"end, with at least one row and token. Stack a model's start and end logits last."
        )


def _refuse_spans(starts: Tensor, ends: Tensor, kept: Tensor, *, where: str) -> None:
    """Nothing, if every row has a span of allowed tokens or none."""
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if start == end == UNLABELED:
            continue
        if not 0 <= start <= end < kept.shape[1]:
            raise ValueError(
                f"{where}: row {row} starts at {start} and ends at {end}. Both must be token "
                f"indices from 0 to {kept.shape[1] - 1}, the end not before the start, or both "
                f"{UNLABELED}. Pass starts first, ends second, the last token included."
            )
        if not (kept[row, start] and kept[row, end]):
            raise ValueError(
                f"{where}: row {row} starts at {start} and ends at {end}, where token_mask is 0. "
                f"An answer must lie on tokens that may be one. Point at the token that stands "
                f"for no answer where the answer was cut off."
            )
