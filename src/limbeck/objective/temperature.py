"""A temperature for each row, that follows how far the student is from the teacher."""

from jaxtyping import Float
from torch import Tensor

from limbeck.objective.directions import unit_vectors
from limbeck.objective.refusals import refuse_temperature, refuse_unmatched


def gap_temperature(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float,
    spread: float,
    focus: float,
) -> Float[Tensor, "batch"]:
    """T + spread * (mean of w - w) of each row, with w = (1 - cos(student, teacher))^focus.

    A row on which the student's logits point elsewhere than the teacher's gets a lower
    temperature, so that the teacher's answer is put to it plainly; one that it has understood
    gets a higher one, and with it what the teacher thinks of the other classes.

    Args:
        student_logits: Unnormalized scores; treated as constants.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T about which the rows' temperatures lie; their mean.
        spread: How far they may lie from it, at least 0. With 0 all are equal.
        focus: Positive. The greater, the more only the worst rows are told apart.

    Returns:
        One temperature a row, positive and within spread * 2^focus of T. Softened by it, a
        row's loss carries its own T^2. Logits that are all zero have no direction: their cosine
        is 0.

    Raises:
        ValueError: If the shapes differ or are not [batch classes] or are empty, T is not
            positive and finite, focus is not positive, or spread is negative or so great that a
            row's temperature could reach 0 (spread * 2^focus must stay below T).

    Reference:
        Wen, Lai, Qian. Preparing Lessons: Improve Knowledge Distillation with Better
        Supervision, 2019, dynamic temperature distillation with FLSW.
        https://arxiv.org/abs/1911.07471
        That a temperature cannot reach 0 is checked by us.
    """
    where = "gap_temperature"
    refuse_unmatched(
        student_logits,
        teacher_logits,
        where=where,
        what="logits",
        dimensions=("batch", "classes"),
    )
    refuse_temperature(temperature, where=where)
    if not (focus > 0 and spread >= 0 and spread * 2**focus < temperature):
        raise ValueError(
            f"{where}: temperature is {temperature}, spread is {spread}, focus is {focus}. Focus "
            f"must be positive, spread at least 0, and spread * 2^focus below temperature, or a "
            f"row's temperature could reach 0. Lower spread, or raise temperature."
        )
    student = unit_vectors(student_logits.detach().float())
    teacher = unit_vectors(teacher_logits.detach().float())
    # Rounding may put a cosine above 1, and a root of less than 0 is NaN.
    gap = (1 - (student * teacher).sum(dim=-1)).clamp(min=0) ** focus
    return temperature + spread * (gap.mean() - gap)
