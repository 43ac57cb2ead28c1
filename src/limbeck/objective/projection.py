"""The learned map that lets states of different widths be compared."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


@final
class Projection(nn.Module):
    """student_hidden @ W.T, with W learned: from the student's width to the teacher's.

    For `hidden_mse` and `hidden_cosine` where the widths differ; where they are equal, compare
    the states themselves. Trained with the student and thrown away after: it is no part of the
    student's speed or size, but its weights must be among the optimizer's.

    W starts orthonormal, so that distances in the student are distances in its image from the
    first step, and the term does not begin by undoing a random distortion. There is no bias: a
    constant offset would be learned for all tokens at once and teach nothing about any.

    Args:
        student_hidden_size: Width of the student's hidden states.
        teacher_hidden_size: Width of the teacher's hidden states.
        generator: Source of the initial W, on the CPU. The same state gives the same W, and
            torch's global generator is left alone.

    Raises:
        ValueError: If a width is less than 1 (torch would build a map of nothing).

    Reference:
        W_h in equation 8 of Jiao et al. TinyBERT: Distilling BERT for Natural Language
        Understanding, 2020. https://arxiv.org/abs/1909.10351
        The orthonormal start is ours.
    """

    def __init__(
        self, student_hidden_size: int, teacher_hidden_size: int, *, generator: torch.Generator
    ) -> None:
        """Draw the initial W."""
        super().__init__()
        if student_hidden_size < 1 or teacher_hidden_size < 1:
            raise ValueError(
                f"Projection: student_hidden_size is {student_hidden_size}, teacher_hidden_size "
                f"is {teacher_hidden_size}. Both must be at least 1. "
                f"Pass hidden_size of the two models' configurations."
            )
        self.student_hidden_size = student_hidden_size
        self.teacher_hidden_size = teacher_hidden_size
        # Not nn.Linear: its constructor draws from torch's global generator.
        self.weight = nn.Parameter(
            torch.empty(teacher_hidden_size, student_hidden_size, dtype=torch.float32)
        )
        nn.init.orthogonal_(self.weight, generator=generator)

    def forward(
        self, hidden: Float[Tensor, "*rows student_hidden"]
    ) -> Float[Tensor, "*rows teacher_hidden"]:
        """The student's states at the teacher's width.

        Args:
            hidden: States of one layer, [batch tokens hidden], or pooled vectors.

        Returns:
            As many states, in the type of the weights. Zero for a state that is zero.

        Raises:
            ValueError: If the states do not have the student's width (those of another layer
                or of the teacher were passed).
        """
        if hidden.shape[-1] != self.student_hidden_size:
            raise ValueError(
                f"Projection: hidden has shape {tuple(hidden.shape)}. Its last dimension must be "
                f"the student's width, {self.student_hidden_size}. "
                f"Pass the student's states, or build the projection for this width."
            )
        return functional.linear(hidden.to(self.weight.dtype), self.weight)
