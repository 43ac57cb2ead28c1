"""Tensors that torch would accept and train towards a wrong target, refused by every term."""

import math

from torch import Tensor


def refuse_unmatched(
    student: Tensor, teacher: Tensor, *, where: str, what: str, dimensions: tuple[str, ...]
) -> None:
    """Nothing, if student and teacher have the same non-empty shape of these dimensions.

    Args:
        student: What the term was given of the student.
        teacher: What it is to be compared with.
        where: The function that was called, for the message.
        what: What the tensors are, "logits" or "hidden", as in the parameters' names.
        dimensions: Names of the dimensions that both tensors must have.

    Raises:
        ValueError: If the shapes differ (torch would broadcast and give a plausible loss), the
            number of dimensions is another one (a mean would run over the wrong dimension, and
            over padding), or a dimension is empty (its mean is NaN).
    """
    found = (
        f"{where}: student_{what} has shape {tuple(student.shape)}, "
        f"teacher_{what} has shape {tuple(teacher.shape)}."
    )
    allowed = f"Both must be [{' '.join(dimensions)}]"
    if student.shape != teacher.shape:
        raise ValueError(
            f"{found} {allowed}, equal in every dimension: nothing is broadcast. "
            f"Pass both models' {what} for the same rows, projected to one width if they differ."
        )
    if student.ndim != len(dimensions):
        raise ValueError(
            f"{found} {allowed}, which is {len(dimensions)} dimensions. "
            f"Reshape both, leaving padded positions out."
        )
    if student.numel() == 0:
        raise ValueError(
            f"{found} {allowed}, with at least one entry, as the mean of nothing is not a number. "
            f"Skip empty batches."
        )


def refuse_temperature(temperature: float, *, where: str) -> None:
    """Nothing, if the temperature is positive and finite.

    Args:
        temperature: T as the term was given it.
        where: The function that was called, for the message.

    Raises:
        ValueError: If it is not (a negative one teaches the opposite order of the classes).
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(
            f"{where}: temperature is {temperature}. It must be positive and finite. "
            f"Use 1 for the models' own probabilities, more than 1 to soften them."
        )
