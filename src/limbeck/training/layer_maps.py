"""Which layers a term compares, and so which parts of teacher and student it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

from limbeck.config.terms import (
    AttentionTerm,
    ExitsTerm,
    HardTerm,
    HiddenTerm,
    LayerMap,
    LogitsTerm,
    RelationsTerm,
    SimilarityTerm,
    Term,
    VectorsTerm,
)
from limbeck.errors import RecipeError
from limbeck.objective import even_layer_map, first_layer_map, last_layer_map, random_layer_map
from limbeck.teacher.parts import Part, What

Matched = HiddenTerm | AttentionTerm | RelationsTerm | SimilarityTerm
"""The terms that compare layers."""


@dataclass(frozen=True)
class Depths:
    """How deep both models are, the embeddings not counted."""

    student: int
    teacher: int


def with_layer_maps(
    terms: Sequence[Term], depths: Depths, *, where: str = "objective.terms"
) -> tuple[Term, ...]:
    """The terms with every layer map checked, and written out where it stays the same.

    Raises:
        RecipeError: For a layer that a model does not have.
    """
    return tuple(
        _with_layer_map(term, f"{where}[{place}]", depths) for place, term in enumerate(terms)
    )


def _with_layer_map(term: Term, where: str, depths: Depths) -> Term:
    match term:
        case HardTerm() | LogitsTerm() | VectorsTerm():
            return term
        case ExitsTerm():
            return _with_exits(term, where, depths)
        case HiddenTerm() | AttentionTerm() | RelationsTerm() | SimilarityTerm():
            rule = term.layer_map
        case _:
            assert_never(term)
    lowest = 0 if isinstance(term, HiddenTerm | SimilarityTerm) else 1
    layer_map = _written_out(rule, where, depths)
    if isinstance(layer_map, dict):
        _refuse_outside(layer_map, f"{where}.layer_map", depths, lowest)
    return term.model_copy(update={"layer_map": layer_map})


def _written_out(rule: LayerMap, where: str, depths: Depths) -> LayerMap:
    """The map of a rule; a rule that is another in every step stays as it is."""
    student, teacher = depths.student, depths.teacher
    if isinstance(rule, dict) or rule in ("learned", "random"):
        return rule
    if rule == "last_alone":
        return {student: teacher}
    if student > teacher:
        raise RecipeError(
            f"{where}.layer_map",
            f"it is {rule}, but the student has {student} layers and the teacher {teacher}",
            "Write the map out, student layer to teacher layer, or use learned or last_alone.",
        )
    match rule:
        case "uniform":
            return even_layer_map(student, teacher)
        case "uniform_and_embeddings":
            return {0: 0} | even_layer_map(student, teacher)
        case "skip":
            return _without_last(even_layer_map(student, teacher), where)
        case "first":
            return first_layer_map(student, teacher)
        case "last":
            return last_layer_map(student, teacher)
        case _:
            assert_never(rule)


def _without_last(layer_map: dict[int, int], where: str) -> dict[int, int]:
    if len(layer_map) == 1:
        raise RecipeError(
            f"{where}.layer_map",
            "it is skip, which leaves the last layer out, but the student has only 1",
            "Use uniform, or a student of 2 layers or more.",
        )
    return {layer: layer_map[layer] for layer in list(layer_map)[:-1]}


def _with_exits(term: ExitsTerm, where: str, depths: Depths) -> ExitsTerm:
    layers = term.layers or tuple(range(1, depths.student))
    wrong = [layer for layer in layers if layer >= depths.student]
    if wrong or not layers:
        raise RecipeError(
            f"{where}.layers",
            f"an exit is wanted after layer {wrong[0] if wrong else 1}, but the student has "
            f"{depths.student}, and its last layer is no exit",
            f"Use layers from 1 to {depths.student - 1}."
            if depths.student > 1
            else "Use a student of 2 layers or more.",
        )
    return term.model_copy(update={"layers": layers})


def _refuse_outside(layer_map: dict[int, int], where: str, depths: Depths, lowest: int) -> None:
    for student_layer, teacher_layer in layer_map.items():
        for name, layer, most in (
            ("student", student_layer, depths.student),
            ("teacher", teacher_layer, depths.teacher),
        ):
            if not lowest <= layer <= most:
                counted = f"0 is the embedding output, {most} the last"
                if lowest:
                    counted = f"1 is the first, {most} the last; embeddings attend to nothing"
                raise RecipeError(
                    where,
                    f"student layer {student_layer} is matched to teacher layer {teacher_layer}, "
                    f"but the {name} has {most} layers ({counted})",
                    f"Use a {name} layer from {lowest} to {most}, or delete layer_map for the "
                    "default.",
                )


def map_in_step(term: Matched, depths: Depths, *, seed: int, number: int) -> dict[int, int]:
    """The term's map in one step: drawn anew for `random`, with the same seed the same.

    For `learned` there is none: every layer is compared with every other.
    """
    import torch

    if isinstance(term.layer_map, dict):
        return term.layer_map
    if term.layer_map == "random":
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        return random_layer_map(depths.student, depths.teacher, generator=generator)
    return {}


def whats(term: Term, *, distributions: bool = False) -> tuple[What, ...]:
    """The tensors of a matched layer that a term looks at.

    Args:
        term: Any.
        distributions: Whether attention is given as distributions, not as queries and keys.
    """
    match term:
        case HiddenTerm() | SimilarityTerm():
            return ("hidden",)
        case AttentionTerm():
            after_softmax = distributions and term.distance == "kl"
            return ("attention",) if after_softmax else ("queries", "keys")
        case RelationsTerm():
            return term.of
        case HardTerm() | LogitsTerm() | VectorsTerm() | ExitsTerm():
            return ()
        case _:
            assert_never(term)


def student_layers(term: Term, depths: Depths) -> tuple[int, ...]:
    """The student's layers that a term can need, rising."""
    match term:
        case ExitsTerm():
            return term.layers or ()
        case HardTerm() | LogitsTerm() | VectorsTerm():
            return ()
        case _:
            if isinstance(term.layer_map, dict):
                return tuple(sorted(term.layer_map))
            return tuple(range(1, depths.student + 1))


def teacher_layers(term: Term, depths: Depths) -> tuple[int, ...]:
    """The teacher's layers that a term can need in any step, rising."""
    match term:
        case HardTerm() | LogitsTerm() | VectorsTerm() | ExitsTerm():
            return ()
        case _:
            if isinstance(term.layer_map, dict):
                return tuple(sorted(set(term.layer_map.values())))
            return tuple(range(1, depths.teacher + 1))


def student_parts(
    terms: Sequence[Term], depths: Depths, *, distributions: bool
) -> tuple[Part, ...]:
    """All that the terms can need of the student, rising."""
    found = {
        Part(what, layer)
        for term in terms
        for what in whats(term, distributions=distributions)
        for layer in student_layers(term, depths)
    }
    exits = [term for term in terms if isinstance(term, ExitsTerm)]
    found |= {Part("hidden", layer) for term in exits for layer in term.layers or ()}
    return tuple(sorted(found))


def teacher_parts(terms: Sequence[Term], depths: Depths) -> tuple[Part, ...]:
    """All that the terms can need of the teacher in any step, rising."""
    found = {
        Part(what, layer)
        for term in terms
        for what in whats(term, distributions=True)
        for layer in teacher_layers(term, depths)
    }
    return tuple(sorted(found))


def teacher_parts_in_step(
    terms: Sequence[Term], depths: Depths, *, seed: int, number: int
) -> tuple[Part, ...]:
    """What the terms look at in one step: fewer than all where a map is drawn anew."""
    found: set[Part] = set()
    for term in terms:
        layers: Iterable[int] = teacher_layers(term, depths)
        matched = not isinstance(term, HardTerm | LogitsTerm | VectorsTerm | ExitsTerm)
        if matched and term.layer_map == "random":
            layers = map_in_step(term, depths, seed=seed, number=number).values()
        found |= {Part(w, n) for w in whats(term, distributions=True) for n in layers}
    return tuple(sorted(found))


def needs_teacher(terms: Sequence[Term]) -> bool:
    """Whether any term looks at the teacher."""
    return any(not isinstance(term, HardTerm | ExitsTerm) for term in terms)
