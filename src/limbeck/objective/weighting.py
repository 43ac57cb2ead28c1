"""How much each row, or each teacher, should count: weights that follow the models' answers."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from limbeck.objective.refusals import UNLABELED, refuse_labels


def entropy_weights(
    teacher_logits: Float[Tensor, "batch classes"],
) -> Float[Tensor, "batch"]:
    """1 - H(softmax(teacher)) / ln classes of each row, over its mean.

    Rows of which the teacher is sure count more. For teachers whose doubt is ignorance: on texts
    unlike its training's, or noisy ones. Where doubt is what it has to teach, leave weights out.

    Args:
        teacher_logits: Unnormalized scores; treated as constants.

    Returns:
        One weight a row, at least 0, with a mean of 1. 1 for all where the teacher is sure of
        none.

    Raises:
        ValueError: If the logits are not [batch classes], with a row and at least two classes
            (of one class everything is sure).

    Reference:
        Shannon. A Mathematical Theory of Communication, 1948, section 7: 1 - H / ln classes is
        the redundancy. https://doi.org/10.1002/j.1538-7305.1948.tb01338.x
        To weight rows by it is ours.
    """
    log_p = _log_probabilities(teacher_logits, where="entropy_weights", what="teacher_logits")
    certainty = 1 - _entropy(log_p) / math.log(log_p.shape[-1])
    # Rounding may put the surest doubt below 0 by some 1e-7, and terms refuse such a weight.
    return _with_mean_one(certainty.clamp(min=0))


def correctness_weights(
    teacher_logits: Float[Tensor, "batch classes"],
    labels: Int[Tensor, "batch"],
) -> Float[Tensor, "batch"]:
    """1 where the teacher's first choice is the label, 0 where it is not.

    Keeps a teacher from teaching its mistakes; `hard_cross_entropy` still teaches the label of
    such a row. A row without a label counts, as nothing speaks against the teacher there.

    Args:
        teacher_logits: Unnormalized scores; treated as constants.
        labels: The right class of each row, from 0 to classes - 1; -100 if it is not known.

    Returns:
        One weight a row. Their mean is the teacher's accuracy and is left so: brought to 1, the
        one right row of a hard batch would count as much as a whole batch.

    Raises:
        ValueError: If the logits are not [batch classes], with a row and at least two classes,
            or labels is not [batch] or holds what is neither a class nor -100 (rows would be
            left out at random). On an accelerator only shapes are checked.

    Reference:
        Meng, Li, Zhao, Gong. Conditional Teacher-Student Learning, 2019.
        https://arxiv.org/abs/1904.12399
        The paper trains on the label where the teacher is wrong, in the same loss.
    """
    where = "correctness_weights"
    log_p = _log_probabilities(teacher_logits, where=where, what="teacher_logits")
    _refuse_label_shape(labels, log_p.shape[0], where=where)
    refuse_labels(labels, where=where, classes=log_p.shape[1])
    right = (log_p.argmax(dim=-1) == labels) | (labels == UNLABELED)
    return right.float()


def uncertainty_weights(
    student_logits: Float[Tensor, "batch classes"],
) -> Float[Tensor, "batch"]:
    """H(softmax(student)) of each row, over its mean.

    Rows of which the student is unsure count more: time is not spent on what it knows. No
    gradient flows through the weights, or the student would lower its loss by looking sure.

    Args:
        student_logits: Unnormalized scores; treated as constants.

    Returns:
        One weight a row, at least 0, with a mean of 1. 1 for all where the student is sure of
        every row.

    Raises:
        ValueError: If the logits are not [batch classes], with a row and at least two classes
            (of one class everything is sure).

    Reference:
        Li, Lin, Ren, Li, Zhou, Sun. Dynamic Knowledge Distillation for Pre-trained Language
        Models, 2021, uncertainty-based selection of data. https://arxiv.org/abs/2109.11295
        The paper trains on the most uncertain rows alone; we weight all by the same measure.
    """
    log_p = _log_probabilities(student_logits, where="uncertainty_weights", what="student_logits")
    return _with_mean_one(_entropy(log_p))


def confidence_mixture(
    teacher_logits: Float[Tensor, "teachers batch classes"],
    labels: Int[Tensor, "batch"] | None,
) -> Float[Tensor, "teachers batch"]:
    """(1 - softmax_k(c)) / (teachers - 1): each teacher's share in teaching each row.

    c is a teacher's cross entropy with the row's label, or its own entropy where there is no
    label. A teacher that is wrong about a row, or lost in it, is heard less on that row, however
    good it is elsewhere; a plain mean would let it spoil what the others say.

    Args:
        teacher_logits: Unnormalized scores of several teachers; treated as constants.
        labels: The right class of each row, from 0 to classes - 1; -100 if it is not known.
            None if none is.

    Returns:
        Shares from 0 to 1 / (teachers - 1), with a sum of 1 over the teachers for every row;
        equal for teachers that do equally well. 1 for a single teacher.

    Raises:
        ValueError: If the logits are not [teachers batch classes], with a teacher, a row and at
            least two classes, or labels is not [batch] or holds what is neither a class nor -100
            (the wrong teachers would be heard). On an accelerator only shapes are checked.

    Reference:
        Zhang, Chen, Wang. Confidence-Aware Multi-Teacher Knowledge Distillation, 2022,
        weights of the loss on predictions. https://arxiv.org/abs/2201.00007
        The paper has a label for every row; the entropy, and the single teacher, are ours.
    """
    where = "confidence_mixture"
    if teacher_logits.ndim != 3 or 0 in teacher_logits.shape or teacher_logits.shape[-1] < 2:
        raise ValueError(
            f"{where}: teacher_logits has shape {tuple(teacher_logits.shape)}. It must be "
            f"[teachers batch classes], with at least one teacher, one row and 2 classes. "
            f"Stack the teachers' logits for the same rows."
        )
    teachers, batch, classes = teacher_logits.shape
    log_p = torch.log_softmax(teacher_logits.detach().float(), dim=-1)
    cost = _entropy(log_p)
    if labels is not None:
        _refuse_label_shape(labels, batch, where=where)
        refuse_labels(labels, where=where, classes=classes)
        labeled = labels != UNLABELED
        places = labels.long().where(labeled, 0).expand(teachers, batch)
        cross_entropy = -log_p.gather(-1, places[..., None])[..., 0]
        cost = cross_entropy.where(labeled, cost)
    if teachers == 1:
        return torch.ones_like(cost)
    return (1 - torch.softmax(cost, dim=0)) / (teachers - 1)


def _log_probabilities(
    logits: Float[Tensor, "batch classes"], *, where: str, what: str
) -> Float[Tensor, "batch classes"]:
    """In float32, cut off from the gradient."""
    if logits.ndim != 2 or logits.shape[0] == 0 or logits.shape[1] < 2:
        raise ValueError(
            f"{where}: {what} has shape {tuple(logits.shape)}. It must be [batch classes], with "
            f"at least one row and 2 classes. Leave weights out for a regression head."
        )
    return torch.log_softmax(logits.detach().float(), dim=-1)


def _entropy(log_p: Float[Tensor, "*rows classes"]) -> Float[Tensor, "*rows"]:
    """In nats."""
    return -(log_p.exp() * log_p).sum(dim=-1)


def _with_mean_one(values: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """Values over their mean; 1 where all are 0."""
    mean = values.mean()
    return (values / mean).where(mean > 0, 1.0)


def _refuse_label_shape(labels: Int[Tensor, "batch"], batch: int, *, where: str) -> None:
    if labels.shape != (batch,):
        raise ValueError(
            f"{where}: labels has shape {tuple(labels.shape)}. It must be [batch], which is "
            f"({batch},). Pass one class index per row."
        )
