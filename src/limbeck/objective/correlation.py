"""How well the student's probabilities rise and fall with the teacher's."""

from jaxtyping import Float
from torch import Tensor

from limbeck.objective.directions import unit_vectors
from limbeck.objective.refusals import refuse_temperature
from limbeck.objective.softening import softened

# Differences among equal probabilities are rounding, some 1e-8; what they correlate with is chance.
_ROUNDING = 1e-6


def logit_correlation(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    *,
    temperature: float,
    beta: float,
    gamma: float,
) -> Float[Tensor, ""]:
    """T^2 * (beta * mean over rows of (1 - r) + gamma * mean over classes of (1 - r)).

    r is Pearson's correlation of student's and teacher's probabilities at temperature T: across
    the classes of one row (inter-class), and across the rows of the batch for one class
    (intra-class). Asks for the teacher's ranking and its proportions and leaves shift and scale
    of the probabilities free, which a student much smaller than its teacher cannot match. Where
    it can, `logit_kl` asks for more.

    With two classes the probabilities of a row always correlate by 1 or by -1: the inter-class
    part then says whether the first choice is the teacher's, but has no gradient, and all that
    is learned comes from gamma.

    Args:
        student_logits: Unnormalized scores; gradients flow into these only.
        teacher_logits: Same class order as the student's; treated as constants.
        temperature: T > 0, dimensionless. Larger T gives small logits more say.
        beta: Weight of the inter-class part, at least 0. The paper uses 1 or 2.
        gamma: Weight of the intra-class part, at least 0. The paper uses 1 or 2.

    Returns:
        Scalar from 0 to 2 * T^2 * (beta + gamma), dimensionless; rounding in float32 may put it
        outside by some 1e-6. Zero when the distributions agree. A row, or a class, whose
        probabilities are all equal on a side correlates with nothing: it counts as 1. In a batch
        of one row there is nothing to correlate across rows, and the intra-class part is 0.

    Raises:
        ValueError: If the shapes differ (broadcasting would train towards a wrong target at
            a plausible loss), are not [batch classes] (padded tokens would enter the mean) or
            are empty (the mean is NaN), T is not positive and finite, or beta or gamma is
            negative or not finite.

    Reference:
        Huang, You, Wang, Qian, Xu. Knowledge Distillation from A Stronger Teacher, 2022, DIST,
        L_inter and L_intra. https://arxiv.org/abs/2205.10536
        The T^2 factor is that of the authors' published code. A batch of one row and equal
        probabilities are left open there.
    """
    where = "logit_correlation"
    refuse_temperature(temperature, where=where)
    for name, weight in (("beta", beta), ("gamma", gamma)):
        if not 0 <= weight < float("inf"):
            raise ValueError(
                f"{where}: {name} is {weight}. It must be finite and at least 0, as a negative "
                f"one drives the student away from the teacher. Use 0 to leave that part out."
            )
    student, teacher = (
        side.exp() for side in softened(student_logits, teacher_logits, temperature, where=where)
    )
    total = beta * _uncorrelated(student, teacher)
    if student.shape[0] > 1:
        total = total + gamma * _uncorrelated(student.T, teacher.T)
    return temperature**2 * total


def _uncorrelated(
    student: Float[Tensor, "rows columns"], teacher: Float[Tensor, "rows columns"]
) -> Float[Tensor, ""]:
    """Mean over rows of 1 - r."""
    student, teacher = (
        unit_vectors(side - side.mean(dim=-1, keepdim=True), least=_ROUNDING)
        for side in (student, teacher)
    )
    return 1 - (student * teacher).sum(dim=-1).mean()
