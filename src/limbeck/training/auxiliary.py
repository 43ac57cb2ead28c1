"""What is trained along with a student and thrown away after: projections and exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from limbeck.config.terms import ExitsTerm, HiddenTerm, SimilarityTerm, Term
from limbeck.errors import RecipeError
from limbeck.objective import Projection
from limbeck.teacher.parts import Part
from limbeck.training.layer_maps import Depths, student_layers

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


def projected_layers(terms: Sequence[Term], depths: Depths) -> tuple[int, ...]:
    """The student layers whose states are compared number by number with the teacher's."""
    found: set[int] = set()
    for term in terms:
        contrastive = isinstance(term, SimilarityTerm) and term.of == "contrastive"
        if (isinstance(term, HiddenTerm) and term.projection) or contrastive:
            found |= set(student_layers(term, depths))
    return tuple(sorted(found))


def refuse_unprojected(
    terms: Sequence[Term], student_width: int, teacher_width: int, *, where: str = "objective.terms"
) -> None:
    """Refuse hidden states of different widths that may not be projected.

    Raises:
        RecipeError: Naming the term.
    """
    for place, term in enumerate(terms):
        if isinstance(term, HiddenTerm) and not term.projection and student_width != teacher_width:
            raise RecipeError(
                f"{where}[{place}].projection",
                f"hidden states are {student_width} wide in the student and {teacher_width} in "
                "the teacher, and projection is false",
                "Set projection: true, or give the student the teacher's width.",
            )


def make_projections(
    student_width: Mapping[int, int], teacher_width: Mapping[int, int], generator: Generator
) -> nn.ModuleDict:
    """A learned projection for each layer whose width is not the teacher's.

    Args:
        student_width: Of each student layer's states; 0 is the embedding output.
        teacher_width: Of the teacher's states that they are compared with.
        generator: Of the first weights.
    """
    from torch import nn

    return nn.ModuleDict(
        {
            str(layer): Projection(width, teacher_width[layer], generator=generator)
            for layer, width in student_width.items()
            if width != teacher_width[layer]
        }
    )


def make_exits(
    terms: Sequence[Term], width: int, classes: int, generator: Generator
) -> nn.ModuleDict:
    """A linear classifier for each layer that an exits term names, its weights small.

    Args:
        terms: The objective.
        width: Of the student's hidden states.
        classes: Of the student's head.
        generator: Of the first weights.
    """
    import torch
    from torch import nn

    exits = nn.ModuleDict()
    for term in terms:
        for layer in term.layers or () if isinstance(term, ExitsTerm) else ():
            # skip_init: the constructor draws from torch's global generator
            head: nn.Linear = nn.utils.skip_init(nn.Linear, width, classes)  # pyright: ignore[reportAssignmentType]
            with torch.no_grad():
                nn.init.normal_(head.weight, std=0.02, generator=generator)
                head.bias.zero_()
            exits[str(layer)] = head
    return exits


def exit_logits(
    exits: nn.ModuleDict, states: Mapping[Part, Tensor], attention_mask: Tensor
) -> dict[int, Tensor]:
    """Each exit's logits [batch, classes] from the mean of its layer's real tokens."""
    real = attention_mask[..., None]
    found = {}
    for name, head in exits.items():
        state = states[Part("hidden", int(name))].float()
        found[int(name)] = head((state * real).sum(1) / real.sum(1))
    return found
