"""A big vocabulary's distribution of which only the k likeliest tokens were kept."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limbeck.objective.soft import logit_kl

_ROUNDING = 0.01
_LEAST_TAIL = torch.finfo(torch.float32).eps


def top_k_kl(
    student_logits: Float[Tensor, "places vocabulary"],
    top_ids: Int[Tensor, "places k"],
    top_log_probabilities: Float[Tensor, "places k"],
    *,
    temperature: float,
    tail: bool,
) -> Float[Tensor, ""]:
    """Mean over places of T^2 * KL(teacher || student), over its top k tokens and the rest.

    `logit_kl` for a language model whose answers would not fit on disk whole. For its
    neighbours, hand what `coarse_log_probabilities` returns to `logit_reverse_kl`,
    `logit_jensen_shannon`, `logit_skewed_kl` or any other function of logits: this function is
    `logit_kl` of it.

    Args:
        student_logits: Unnormalized scores of the whole vocabulary at each place of a text, no
            padding; gradients flow into these only.
        top_ids: The teacher's likeliest tokens at the same places.
        top_log_probabilities: Theirs, of the teacher's softmax over its whole vocabulary at
            temperature 1; in float32, as float16 is wrong by some 0.001 on the rest.
        temperature: T > 0, dimensionless. It softens the k + 1 classes, as the rest cannot be
            taken apart.
        tail: Whether all other tokens are one more class. Without it the student learns shares
            among the top k and may give other tokens what it likes.

    Returns:
        Scalar >= 0 in nats, times T^2; rounding in float32 may put it below by some 1e-7 T^2.
        Zero when the classes' probabilities agree. With k the size of the vocabulary it is
        `logit_kl`; with T = 1 and the rest as a class never more than it.

    Raises:
        ValueError: As `coarse_log_probabilities`; or if T is not positive and finite.

    Reference:
        Anshumann et al. Sparse Logit Sampling: Accelerating Knowledge Distillation in LLMs, 2025,
        which shows that a student of the top k alone becomes too sure: use tail=True.
        https://arxiv.org/abs/2503.16870
        The paper then draws tokens at random; the rest as one class, and T on classes, are ours.
    """
    student, teacher = coarse_log_probabilities(
        student_logits, top_ids, top_log_probabilities, tail=tail
    )
    return logit_kl(student, teacher, temperature=temperature)


def coarse_log_probabilities(
    student_logits: Float[Tensor, "places vocabulary"],
    top_ids: Int[Tensor, "places k"],
    top_log_probabilities: Float[Tensor, "places k"],
    *,
    tail: bool,
) -> tuple[Float[Tensor, "places classes"], Float[Tensor, "places classes"]]:
    """Student's and teacher's log-probabilities of the top k tokens and of all others as one.

    Log-probabilities are logits: every function of logits can compare the two, at any
    temperature, and weigh the places.

    Args:
        student_logits: As in `top_k_kl`.
        top_ids: As in `top_k_kl`, in any order, none twice at a place.
        top_log_probabilities: As in `top_k_kl`.
        tail: Whether all other tokens are one more class, the last. Without it, or where k is
            the whole vocabulary, classes are the k tokens, made to sum to 1 on either side.

    Returns:
        Two float32 tensors, each summing to 1 over the classes at every place. The student's
        rest is the sum of just those tokens, so it is exact however small. The teacher's is 1
        minus the top k, and not below 1.2e-7, the rounding of that difference; a divergence that
        divides by it would otherwise be infinite. Gradients flow into the student's only.

    Raises:
        ValueError: If shapes are not [places vocabulary], [places k] and [places k] with the same
            places and k from 1 to the vocabulary; with no rest, k is 1 (one class teaches
            nothing); an id is outside the vocabulary or twice at a place (it would be counted
            twice); or log-probabilities are NaN, above 0 or sum to more than 1 (logits were
            passed). On an accelerator only shapes are checked.
    """
    _refuse_shapes(student_logits, top_ids, top_log_probabilities, tail=tail)
    if top_ids.device.type == "cpu":
        _refuse_ids(top_ids, vocabulary=student_logits.shape[1])
        _refuse_log_probabilities(top_log_probabilities)
    ids = top_ids.long()
    logits = student_logits.float()
    student = logits.gather(1, ids)
    teacher = top_log_probabilities.detach().float()
    if tail and ids.shape[1] < logits.shape[1]:
        others = logits.scatter(1, ids, -torch.inf).logsumexp(dim=1, keepdim=True)
        student = torch.cat([student, others], dim=1)
        rest = 1 - teacher.exp().sum(dim=1, keepdim=True)
        teacher = torch.cat([teacher, rest.clamp(min=_LEAST_TAIL).log()], dim=1)
    return torch.log_softmax(student, dim=1), torch.log_softmax(teacher, dim=1)


def _refuse_shapes(
    student_logits: Tensor, top_ids: Tensor, top_log_probabilities: Tensor, *, tail: bool
) -> None:
    student, ids = tuple(student_logits.shape), tuple(top_ids.shape)
    fits = (
        len(student) == len(ids) == 2
        and ids == tuple(top_log_probabilities.shape)
        and ids[0] == student[0] > 0
        and 1 <= ids[1] <= student[1]
    )
    found = (
        f"coarse_log_probabilities: student_logits has shape {student}, top_ids has shape {ids}, "
        f"top_log_probabilities has shape {tuple(top_log_probabilities.shape)}."
    )
    if not fits:
        raise ValueError(
            f"{found} They must be [places vocabulary], [places k] and [places k], with at least "
            f"one place and k from 1 to the vocabulary. Pass both models' answers at the same "
            f"places of the texts, padding left out."
        )
    if ids[1] == 1 and not (tail and student[1] > 1):
        raise ValueError(
            f"{found} With k = 1 and no tail there is one class, whose probability is always 1. "
            f"Pass tail=True, or keep more tokens."
        )


def _refuse_ids(top_ids: Tensor, *, vocabulary: int) -> None:
    outside = top_ids[(top_ids < 0) | (top_ids >= vocabulary)]
    if outside.numel() > 0:
        raise ValueError(
            f"coarse_log_probabilities: top_ids contains {int(outside[0])}. Ids must be from 0 to "
            f"{vocabulary - 1}, the student's vocabulary. Check that both models share their "
            f"tokenizer, or map the ids to the student's."
        )
    ordered = top_ids.sort(dim=1).values
    twice = ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]]
    if twice.numel() > 0:
        raise ValueError(
            f"coarse_log_probabilities: top_ids contains {int(twice[0])} twice at one place. Every "
            f"token must be there once. Pass what topk returned, without padding."
        )


def _refuse_log_probabilities(top_log_probabilities: Tensor) -> None:
    total = top_log_probabilities.float().exp().sum(dim=1)
    wrong = total[~(total <= 1 + _ROUNDING)]
    if wrong.numel() > 0:
        raise ValueError(
            f"coarse_log_probabilities: top_log_probabilities sums to a probability of "
            f"{wrong[0].item():.4g} at one place. It must be at most 1. Pass log-probabilities "
            f"over the teacher's whole vocabulary at temperature 1, and not its logits."
        )
