"""Tensors that torch would accept and train towards a wrong target, refused by every term."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

UNLABELED = -100


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


def refuse_unpaired(
    student: Tensor,
    teacher: Tensor,
    *,
    where: str,
    what: str,
    dimensions: tuple[str, ...],
    free: Sequence[str],
) -> None:
    """Nothing, if both have these dimensions, equal but for the free ones, and are not empty.

    For terms that compare relations within each model, whose widths need not agree.

    Args:
        student: What the term was given of the student.
        teacher: What it is to be compared with.
        where: The function that was called, for the message.
        what: What the tensors are, as in the parameters' names.
        dimensions: Names of the dimensions that both tensors must have.
        free: Those of them in which the two may differ.

    Raises:
        ValueError: If they are not so shaped (rows of one would be compared with other rows of
            the other), or a dimension is empty (its mean is NaN).
    """
    found = (
        f"{where}: student_{what} has shape {tuple(student.shape)}, "
        f"teacher_{what} has shape {tuple(teacher.shape)}."
    )
    allowed = f"Both must be [{' '.join(dimensions)}]"
    if student.ndim != len(dimensions) or teacher.ndim != len(dimensions):
        raise ValueError(f"{found} {allowed}, which is {len(dimensions)} dimensions. Reshape both.")
    for place, name in enumerate(dimensions):
        if name not in free and student.shape[place] != teacher.shape[place]:
            raise ValueError(
                f"{found} {allowed}, equal in {name}: nothing is broadcast. "
                f"Pass both models' {what} for the same rows."
            )
    if student.numel() == 0 or teacher.numel() == 0:
        raise ValueError(
            f"{found} {allowed}, with at least one entry, as the mean of nothing is not a number. "
            f"Skip empty batches."
        )


def refuse_temperature(temperature: float | Tensor, *, where: str, rows: int | None = None) -> None:
    """Nothing, if the temperature is positive and finite.

    Args:
        temperature: T as the term was given it: one number, or one per row. Values of a tensor
            are looked at on a CPU alone.
        where: The function that was called, for the message.
        rows: How many rows the batch has, where one temperature per row is allowed.

    Raises:
        ValueError: If it is not (a negative one teaches the opposite order of the classes), or a
            tensor is not [batch] (another shape would soften classes and not rows).
    """
    if isinstance(temperature, Tensor):
        _refuse_row_values(temperature, where=where, what="temperature", rows=rows)
        wrong = _on_cpu(temperature, ~(torch.isfinite(temperature) & (temperature > 0)))
        found = f"contains {wrong[0].item()}" if wrong.numel() else ""
    else:
        valid = math.isfinite(temperature) and temperature > 0
        found = "" if valid else f"is {temperature}"
    if found:
        raise ValueError(
            f"{where}: temperature {found}. It must be positive and finite. "
            f"Use 1 for the models' own probabilities, more than 1 to soften them."
        )


def refuse_weights(weights: Tensor, *, where: str, rows: int) -> None:
    """Nothing, if there is one finite weight per row, none below 0.

    Args:
        weights: As the term was given them. Values are looked at on a CPU alone.
        where: The function that was called, for the message.
        rows: How many rows the batch has.

    Raises:
        ValueError: If the shape is not [batch] (torch would broadcast), or a weight is negative
            (the student would be driven away from the teacher), infinite or NaN.
    """
    _refuse_row_values(weights, where=where, what="weights", rows=rows)
    wrong = _on_cpu(weights, ~(torch.isfinite(weights) & (weights >= 0)))
    if wrong.numel() > 0:
        raise ValueError(
            f"{where}: weights contains {wrong[0].item()}. Every row's weight must be finite and "
            f"at least 0. Pass weights with a mean of 1, or None where all rows count the same."
        )


def refuse_labels(labels: Tensor, *, where: str, classes: int) -> None:
    """Nothing, if every label is a class or -100. Values are looked at on a CPU alone.

    Args:
        labels: As the term was given them.
        where: The function that was called, for the message.
        classes: How many classes the logits have.

    Raises:
        ValueError: If one is not (labels counted from 1 would train towards the neighbour).
    """
    outside = (labels != UNLABELED) & ((labels < 0) | (labels >= classes))
    wrong = _on_cpu(labels, outside)
    if wrong.numel() > 0:
        raise ValueError(
            f"{where}: labels contains {torch.unique(wrong)[:5].tolist()}. Labels must "
            f"be from 0 to {classes - 1}, or {UNLABELED} where there is none. "
            f"Count classes from 0 and compare the data's label names with the model's."
        )


def _refuse_row_values(values: Tensor, *, where: str, what: str, rows: int | None) -> None:
    if rows is None or values.shape != (rows,):
        allowed = "one number" if rows is None else f"[batch], which is ({rows},)"
        advice = "Pass a float." if rows is None else "Pass one value per row of the logits."
        raise ValueError(
            f"{where}: {what} has shape {tuple(values.shape)}. It must be {allowed}. {advice}"
        )


def _on_cpu(values: Tensor, wrong: Tensor) -> Tensor:
    """The wrong values; none on an accelerator, which would have to be waited for."""
    return values[wrong] if values.device.type == "cpu" else values[:0]
