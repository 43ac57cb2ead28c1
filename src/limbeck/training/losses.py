"""What each term of a recipe computes. The one place where a term meets its function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from limbeck.config.terms import HardTerm, HiddenTerm, LogitsTerm, Term
from limbeck.errors import RecipeError
from limbeck.objective import (
    Projection,
    even_layer_map,
    hard_cross_entropy,
    hidden_cosine,
    hidden_mse,
    logit_jensen_shannon,
    logit_kl,
    logit_reverse_kl,
    soft_cross_entropy,
)
from limbeck.teacher.parts import Part, hidden_parts

if TYPE_CHECKING:
    from torch import Tensor, nn

LogitLoss = Callable[..., "Tensor"]
DIVERGENCES: dict[str, LogitLoss] = {
    "kl": logit_kl,
    "cross_entropy": soft_cross_entropy,
    "reverse_kl": logit_reverse_kl,
    "jensen_shannon": logit_jensen_shannon,
}
DISTANCES: dict[str, Callable[..., Tensor]] = {"mse": hidden_mse, "cosine": hidden_cosine}


@dataclass(frozen=True)
class Inputs:
    """All that a term can look at, for one part of a batch.

    Attributes:
        student_logits: [batch, classes].
        student_states: What `student_parts` names; hidden states are projected to the teacher's
            width where widths differ.
        labels: [batch], -100 where unlabelled.
        attention_mask: [batch, tokens].
        teacher_logits: [batch, classes], or None where no term needs them.
        teacher_states: What `teacher_parts` names.
    """

    student_logits: Tensor
    student_states: Mapping[Part, Tensor]
    labels: Tensor
    attention_mask: Tensor
    teacher_logits: Tensor | None
    teacher_states: Mapping[Part, Tensor]


@dataclass(frozen=True)
class Counted:
    """How much of a step a part holds: what its means must be weighted by."""

    rows: int
    labelled: int
    tokens: int


def term_name(term: Term) -> str:
    """A term's name in the log."""
    match term:
        case HardTerm():
            return "hard"
        case LogitsTerm():
            return f"logits_{term.divergence}"
        case HiddenTerm():
            return f"hidden_{term.distance}"
        case _:
            assert_never(term)


def term_value(term: Term, inputs: Inputs) -> Tensor:
    """The term's unweighted value over one part, a float32 scalar with gradients."""
    match term:
        case HardTerm():
            return hard_cross_entropy(inputs.student_logits, inputs.labels)
        case LogitsTerm():
            return DIVERGENCES[term.divergence](
                inputs.student_logits, inputs.teacher_logits, temperature=term.temperature
            )
        case HiddenTerm():
            assert term.layer_map is not None
            distance = DISTANCES[term.distance]
            values = [
                distance(
                    inputs.student_states[Part("hidden", student_layer)],
                    inputs.teacher_states[Part("hidden", teacher_layer)],
                    attention_mask=inputs.attention_mask,
                )
                for student_layer, teacher_layer in term.layer_map.items()
            ]
            return sum(values[1:], values[0]) / len(values)
        case _:
            assert_never(term)


def share(term: Term, part: Counted, whole: Counted) -> float:
    """The part's share of the step's mean, so that 2 x 8 rows train like 1 x 16."""
    match term:
        case HardTerm():
            return part.labelled / whole.labelled if whole.labelled else 0.0
        case LogitsTerm():
            return part.rows / whole.rows
        case HiddenTerm():
            return part.tokens / whole.tokens
        case _:
            assert_never(term)


def with_layer_maps(
    terms: Sequence[Term], student_layers: int, teacher_layers: int
) -> tuple[Term, ...]:
    """The terms with every layer map written out and checked.

    Raises:
        RecipeError: For a layer that a model does not have.
    """
    return tuple(
        _with_layer_map(term, place, student_layers, teacher_layers)
        for place, term in enumerate(terms)
    )


def _with_layer_map(term: Term, place: int, student_layers: int, teacher_layers: int) -> Term:
    if not isinstance(term, HiddenTerm):
        return term
    layer_map = term.layer_map or even_layer_map(student_layers, teacher_layers)
    for student_layer, teacher_layer in layer_map.items():
        for name, layer, most in (
            ("student", student_layer, student_layers),
            ("teacher", teacher_layer, teacher_layers),
        ):
            if not 0 <= layer <= most:
                raise RecipeError(
                    f"objective.terms[{place}].layer_map",
                    f"student layer {student_layer} is matched to teacher layer {teacher_layer}, "
                    f"but the {name} has {most} layers (0 is the embedding output, {most} the "
                    "last)",
                    f"Use a {name} layer from 0 to {most}, or delete layer_map to spread the "
                    "layers evenly.",
                )
    return term.model_copy(update={"layer_map": layer_map})


def needs_teacher(terms: Sequence[Term]) -> bool:
    """Whether any term looks at the teacher."""
    return any(not isinstance(term, HardTerm) for term in terms)


def student_parts(terms: Sequence[Term]) -> tuple[Part, ...]:
    """What the terms look at of the student's computation, rising."""
    return _parts(layer for one in _layer_maps(terms) for layer in one)


def teacher_parts(terms: Sequence[Term]) -> tuple[Part, ...]:
    """What the terms look at of the teacher's computation, rising."""
    return _parts(layer for one in _layer_maps(terms) for layer in one.values())


def _layer_maps(terms: Sequence[Term]) -> list[dict[int, int]]:
    return [term.layer_map or {} for term in terms if isinstance(term, HiddenTerm)]


def _parts(layers: Iterable[int]) -> tuple[Part, ...]:
    return hidden_parts(sorted(set(layers)))


def make_projections(
    terms: Sequence[Term], student_hidden: int, teacher_hidden: int, *, seed: int
) -> nn.ModuleDict | None:
    """A learned projection a matched student layer, or None where widths agree."""
    import torch
    from torch import nn

    layers = [part.layer for part in student_parts(terms) if part.what == "hidden"]
    if not layers or student_hidden == teacher_hidden:
        return None
    generator = torch.Generator().manual_seed(seed)
    return nn.ModuleDict(
        {
            str(layer): Projection(student_hidden, teacher_hidden, generator=generator)
            for layer in layers
        }
    )
