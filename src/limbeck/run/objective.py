"""The objective of a run and of its stages: layer maps written out, everything checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.config.recipe import Recipe, TrainingConfig
from limbeck.config.schedule import Adaptive
from limbeck.config.stages import Stage
from limbeck.config.terms import (
    AttentionTerm,
    ExitsTerm,
    HardTerm,
    LogitsTerm,
    RelationsTerm,
    Term,
    VectorsTerm,
)
from limbeck.errors import RecipeError
from limbeck.student.plan import StudentPlan
from limbeck.tasks.task import Task
from limbeck.teacher.attention import check_parts, check_scores, part_width
from limbeck.teacher.family import head_count, layer_count
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.parts import Part
from limbeck.teacher.pooling import vector_width, vectors_of
from limbeck.training.auxiliary import refuse_unprojected
from limbeck.training.layer_maps import (
    Depths,
    needs_teacher,
    student_parts,
    teacher_parts,
    with_layer_maps,
)


@dataclass(frozen=True)
class Objective:
    """What a student learns from, in stages.

    Attributes:
        terms: Of the last training, with layer maps.
        stages: The trainings before it, with layer maps.
        parts: All that any of them needs of the teacher beside its logits.
    """

    terms: tuple[Term, ...]
    stages: tuple[Stage, ...]
    parts: tuple[Part, ...]

    @property
    def needs_teacher(self) -> bool:
        """Whether any of the trainings looks at the teacher's answers."""
        return needs_teacher([*self.terms, *(t for stage in self.stages for t in stage.terms)])


def plan_objective(
    recipe: Recipe, student: StudentPlan, teacher: Checkpoint, task: Task
) -> Objective:
    """The recipe's terms and stages for these two models and their task.

    Raises:
        RecipeError: For a layer, a part, a width or a head count that does not fit.
    """
    classes = len(teacher.labels) if task.reads != "prose" else int(teacher.config.vocab_size)
    terms = plan_terms(recipe.terms, student, teacher, classes=classes, where="objective.terms")
    stages = []
    for place, stage in enumerate(recipe.stages):
        where = f"stages[{place}]"
        own = plan_terms(stage.terms, student, teacher, classes=classes, where=f"{where}.terms")
        _refuse_unreplaceable(stage, where, student, teacher)
        _refuse_undivided(stage, own, where, student)
        stages.append(stage.model_copy(update={"terms": own}))
    for where, own in [
        ("objective", terms),
        *((f"stages[{n}]", s.terms) for n, s in enumerate(stages)),
    ]:
        _refuse_unfit(own, where, task)
    depths = _depths(student, teacher)
    parts = {
        part for one in (terms, *(s.terms for s in stages)) for part in teacher_parts(one, depths)
    }
    return Objective(terms, tuple(stages), tuple(sorted(parts)))


def stage_training(stage: Stage, training: TrainingConfig) -> TrainingConfig:
    """The loop's settings for a stage."""
    return training.model_copy(
        update={
            "epochs": stage.epochs or training.epochs,
            "learning_rate": stage.learning_rate or training.learning_rate,
        }
    )


def _depths(student: StudentPlan, teacher: Checkpoint) -> Depths:
    return Depths(layer_count(student.config), layer_count(teacher.config))


def plan_terms(
    terms: Sequence[Term],
    student: StudentPlan,
    teacher: Checkpoint,
    *,
    classes: int,
    where: str,
) -> tuple[Term, ...]:
    """The terms with layer maps, every part of theirs to be had from both models.

    Args:
        terms: As the recipe gives them.
        student: The student.
        teacher: Its teacher.
        classes: That logits are of.
        where: The recipe key, for messages.

    Raises:
        RecipeError: For a layer, a part, a width or a head count that does not fit.
    """
    depths = _depths(student, teacher)
    _refuse_layers(terms, depths, student, where)
    found = with_layer_maps(terms, depths, where=where)
    family = student.checkpoint.family
    own = student_parts(found, depths, distributions=True)
    check_parts(student.config, family, own, where=where)
    check_parts(teacher.config, teacher.family, teacher_parts(found, depths), where=where)
    wide = part_width(teacher.config, Part("hidden", 1))
    refuse_unprojected(found, part_width(student.config, Part("hidden", 1)), wide, where=where)
    for place, term in enumerate(found):
        _refuse_heads(term, f"{where}[{place}]", student, teacher)
        _refuse_two_classes(term, f"{where}[{place}]", classes)
        if isinstance(term, VectorsTerm):
            _refuse_vectors(term, f"{where}[{place}]", student, teacher)
        if isinstance(term, AttentionTerm) and term.distance == "score_mse":
            check_scores(student.config, family, where=f"{where}[{place}] (student)")
            check_scores(teacher.config, teacher.family, where=f"{where}[{place}]")
    return found


def _refuse_layers(terms: Sequence[Term], depths: Depths, student: StudentPlan, where: str) -> None:
    """Refuse terms that look inside a student without layers."""
    for place, term in enumerate(terms):
        if depths.student == 0 and not isinstance(term, HardTerm | LogitsTerm | VectorsTerm):
            raise RecipeError(
                f"{where}[{place}]",
                f"a term of kind {term.kind} looks at layers, and a {student.config.model_type} "
                "student has none",
                "Use terms of kind logits or vectors.",
            )


def _refuse_heads(term: Term, where: str, student: StudentPlan, teacher: Checkpoint) -> None:
    own, other = head_count(student.config), head_count(teacher.config)
    if isinstance(term, AttentionTerm) and term.heads == "each" and own != other:
        raise RecipeError(
            f"{where}.heads",
            f"heads are compared one by one, but the student has {own} and the teacher {other}",
            "Set heads: mean, give the student as many heads (student.heads), or use the term "
            "relations, which is free of both.",
        )
    if not isinstance(term, RelationsTerm):
        return
    heads = term.heads or own
    for name, config in (("student", student.config), ("teacher", teacher.config)):
        width = part_width(config, Part("queries", 1))
        if width % heads:
            raise RecipeError(
                f"{where}.heads",
                f"{heads} relation heads do not divide the {name}'s {width} numbers a token",
                f"Use a divisor of it, such as {_divisor(width, heads)}.",
            )


def _refuse_unfit(terms: Sequence[Term], where: str, task: Task) -> None:
    """Refuse terms about class distributions where the outputs are none."""
    for place, term in enumerate(terms):
        if isinstance(term, ExitsTerm) and task.reads != "texts":
            raise RecipeError(
                f"{where}.terms[{place}]",
                f"the task is {task.name}, and exits answer whole texts",
                "Leave the term exits out.",
            )
        if not isinstance(term, LogitsTerm):
            continue
        reason = task.unfit(term)
        if term.divergence == "margin_mse" and task.reads != "queries":
            reason = "divergence margin_mse compares a query's candidates, and a row has none"
        if not task.distributes and isinstance(term.temperature, Adaptive):
            reason = reason or "an adaptive temperature compares distributions over classes"
        if reason:
            raise RecipeError(
                f"{where}.terms[{place}]",
                f"the task is {task.name}, and {reason}",
                "Use divergence kl with a temperature that is a number or a schedule.",
            )


def _refuse_two_classes(term: Term, where: str, classes: int) -> None:
    if isinstance(term, LogitsTerm) and term.standardize and classes < 3:
        raise RecipeError(
            f"{where}.standardize",
            f"the teacher has {classes} classes, and two standardized logits are always 1 and -1",
            "Set standardize: false.",
        )


def _refuse_vectors(
    term: VectorsTerm, where: str, student: StudentPlan, teacher: Checkpoint
) -> None:
    if vectors_of(student.config) is None:
        raise RecipeError(
            where,
            f"it compares vectors of texts, but {teacher.path} gives none (no modules.json)",
            "Use a term of kind logits, or a sentence encoder as teacher (or say how its vectors "
            "are made: teacher.pooling).",
        )
    own, theirs = vector_width(student.config), vector_width(teacher.config)
    if own != theirs and term.distance != "similarity":
        raise RecipeError(
            f"{where}.distance",
            f"{term.distance} compares number by number, but the student's vectors have {own} "
            f"numbers and the teacher's {theirs}",
            "Set student.vectors: teacher (a linear layer makes them as wide), or distance: "
            "similarity.",
        )
    if term.prefixes and term.prefixes[-1] > own:
        raise RecipeError(
            f"{where}.prefixes",
            f"the first {term.prefixes[-1]} numbers are to do alone, but a vector has {own}",
            f"Use prefixes of at most {own} numbers.",
        )


def _divisor(width: int, near: int) -> int:
    """The largest divisor of `width` that is at most `near`."""
    return next(number for number in range(near, 0, -1) if width % number == 0)


def _refuse_unreplaceable(
    stage: Stage, where: str, student: StudentPlan, teacher: Checkpoint
) -> None:
    if stage.replacing is None:
        return
    if stage.layer_by_layer:
        raise RecipeError(
            where,
            "both replacing and layer_by_layer are set; a stage is trained in one way",
            "Make two stages of it.",
        )
    if student.init != "teacher":
        raise RecipeError(
            f"{where}.replacing",
            f"the student's weights are {student.init!r}, but while its layers stand in, its "
            "embeddings and head are the teacher's and do not learn",
            "Set student.init: teacher.",
        )
    if getattr(teacher.config, "layer_types", None) is not None:
        raise RecipeError(
            f"{where}.replacing",
            f"the layers of a {teacher.config.model_type!r} model attend in different ways, so one "
            "cannot stand in for another",
            "Leave replacing out.",
        )
    kind, other = student.config.model_type, teacher.config.model_type
    width, wanted = student.config.hidden_size, teacher.config.hidden_size
    if kind == other and width == wanted and not student.checkpoint.family.shared_layers:
        return
    raise RecipeError(
        f"{where}.replacing",
        f"student layers ({kind}, {width} wide) cannot stand in for the teacher's ({other}, "
        f"{wanted} wide)",
        "Give the student the teacher's architecture and width, and layers of its own.",
    )


def _refuse_undivided(
    stage: Stage, terms: Sequence[Term], where: str, student: StudentPlan
) -> None:
    if not stage.layer_by_layer:
        return
    for place, term in enumerate(terms):
        if not isinstance(getattr(term, "layer_map", None), dict):
            raise RecipeError(
                f"{where}.terms[{place}]",
                f"a term of kind {term.kind} belongs to no single layer here, so none would learn "
                "from it while the layers learn one by one",
                "Use terms with a layer_map that is not random or learned, or set layer_by_layer: "
                "false.",
            )
    refuse_shared_layers(where, student)


def refuse_shared_layers(where: str, student: StudentPlan) -> None:
    """Refuse to train layers one by one that are one.

    Raises:
        RecipeError: If the student's layers share their weights.
    """
    if student.checkpoint.family.shared_layers:
        raise RecipeError(
            f"{where}.layer_by_layer",
            f"the layers of a {student.config.model_type!r} student share their weights, so none "
            "can be done before the others",
            "Set layer_by_layer: false.",
        )
