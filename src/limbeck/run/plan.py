"""The plan of a run: everything that can be known and checked before weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.recipe import Recipe, TeacherConfig
from limbeck.config.stages import Stage
from limbeck.config.terms import AttentionTerm, RelationsTerm, Term
from limbeck.data.encode import Encoded, encode, tokenizer_bytes
from limbeck.data.spool import spooled_mb
from limbeck.errors import RecipeError, TeacherError
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.size import kind_for, knowledge_mb, numbers_a_place
from limbeck.progress import say
from limbeck.run.apart import gather_apart
from limbeck.run.budget import with_structure
from limbeck.run.general import (
    GeneralPlan,
    plan_general,
    refuse_other_shape,
    refuse_other_tokenizer,
    wants_pretraining,
)
from limbeck.run.material import Datasets, Material, gather_material
from limbeck.run.objective import Objective, plan_objective, stage_training
from limbeck.run.online import (
    Quiz,
    learns_along,
    quiz_of,
    refuse_unteachable,
    settled_precision,
)
from limbeck.run.prose import check_prose, refuse_other_vocabulary
from limbeck.run.trimming import trimmed_for, with_vocabulary
from limbeck.student.plan import Counts, StudentPlan, count_parameters, plan_student
from limbeck.student.pruned import embeddings_gone, parameters_gone, refuse_unprunable
from limbeck.student.vocabulary import Trimmed
from limbeck.tasks.known import task_of_teacher
from limbeck.tasks.task import Task
from limbeck.teacher.load import Checkpoint, backend_of, class_names, look_at
from limbeck.teacher.pooling import note_length
from limbeck.training.loop import planned_steps


@dataclass(frozen=True)
class Plan:
    """A run that has passed every check that needs no weights.

    Attributes:
        recipe: With layer maps written out.
        teacher: The teacher's config and tokenizer.
        material: Texts and labels.
        max_tokens: Where texts are cut.
        encoded: The training texts under the teacher's tokenizer.
        student: What to build.
        trimmed: The student's smaller tokenizer, or None if it has the teacher's.
        others: More teachers, beside the first.
        quiz: Training rows that are kept apart for `feedback`, or None.
        terms: The objective with its layer maps.
        stages: The trainings before it, with theirs.
        needs_teacher: Whether any of them looks at the teacher.
        kind: What to record of the teacher.
        teacher_counts: The teacher's parameters.
        student_counts: The student's.
        general: The pre-training on plain text before it all, or None.
        steps: Optimizer steps.
        knowledge_mb: Disk for the teacher's answers on the training texts.
        texts_mb: Disk that the texts themselves take while the process needs them.
        checkpoint_mb: Disk for checkpoints, student and control.
    """

    recipe: Recipe
    teacher: Checkpoint
    material: Material
    max_tokens: int
    encoded: Encoded
    student: StudentPlan
    trimmed: Trimmed | None
    others: tuple[Checkpoint, ...]
    quiz: Quiz | None
    terms: tuple[Term, ...]
    stages: tuple[Stage, ...]
    needs_teacher: bool
    kind: Kind
    teacher_counts: Counts
    student_counts: Counts
    general: GeneralPlan | None
    steps: int
    knowledge_mb: float
    texts_mb: float
    checkpoint_mb: float

    @property
    def task(self) -> Task:
        """What teacher and student do."""
        return self.material.task


def make_plan(recipe: Recipe, *, cache: Path, datasets: Datasets | None = None) -> Plan:
    """Check everything that can be checked, count everything that can be counted.

    Args:
        recipe: What to do.
        cache: Where token ids are kept.
        datasets: Splits given as objects.

    Raises:
        LimbeckError: The first thing that would fail or train towards a wrong target.
    """
    recipe = settled_precision(recipe)
    teacher = look_at(recipe.teacher)
    task = task_of_teacher(teacher.config, recipe.task, where=teacher.path)
    check_prose(recipe, teacher, task)
    material = None
    if recipe.student.open_budget:
        material, encoded = gather(recipe, teacher, task, cache, datasets)
        recipe = with_structure(recipe, teacher, task, material, encoded, cache=cache)
    early = plan_student(recipe.student, teacher, int(teacher.config.vocab_size), head=task.head)
    if recipe.student.pruning.wanted:
        refuse_unprunable(recipe.student.pruning, early.config)
        _refuse_lost_heads(recipe)
    objective = plan_objective(recipe, early, teacher, task)
    _refuse_ensemble(recipe, task)
    others = tuple(_look_at_another(path, teacher, task) for path in recipe.ensemble.teachers)
    general = _plan_general(recipe, early, teacher, cache)
    kind = kind_for(
        objective.parts, teacher, recipe.knowledge, precision=recipe.knowledge.precision
    )
    if material is None:
        material = _material(recipe, teacher, task, cache, datasets)
    _refuse_lessonless(objective, material)
    _refuse_other_width(early, teacher, material)
    refuse_unteachable(recipe, objective.terms, material)
    quiz = quiz_of(recipe, material)
    encoded = _encoded(recipe, teacher, material, cache)
    max_tokens = encoded.max_tokens
    if encoded.cut and encoded.groups is None:
        say(f"  {encoded.cut} training texts are longer than {max_tokens} tokens and are cut")
    elif encoded.cut:
        say(f"  {encoded.cut} training questions are longer than data.question_tokens and are cut")
    # What is told of each token is compared token by token.
    exact = bool(kind.parts) or encoded.groups is not None
    trimmed = trimmed_for(recipe, early.checkpoint, material, encoded, exact=exact, cache=cache)
    student = early
    if trimmed is not None:
        student = with_vocabulary(
            plan_student(recipe.student, teacher, len(trimmed.kept), head=task.head), trimmed
        )
    _refuse_other_tokens(student, teacher, objective, recipe)
    note_length(student.config, student.checkpoint.max_tokens(max_tokens))
    teacher_counts = count_parameters(teacher.config, teacher, head=task.head)
    student_counts = _pruned_counts(
        count_parameters(student.config, student.checkpoint, head=task.head),
        student.config,
        recipe,
    )
    numbers = numbers_a_place(kind, len(teacher.labels)) * encoded.answers_a_row
    need = knowledge_mb(kind, teacher.config, numbers, encoded.lengths)
    logits = kind_for((), teacher, recipe.knowledge, precision=recipe.knowledge.precision)
    need += len(others) * knowledge_mb(logits, teacher.config, numbers, encoded.lengths)
    recorded = objective.needs_teacher and recipe.knowledge.source == "recorded"
    return Plan(
        recipe=recipe,
        teacher=teacher,
        material=material,
        max_tokens=max_tokens,
        encoded=encoded,
        student=student,
        trimmed=trimmed,
        others=others,
        quiz=quiz,
        terms=objective.terms,
        stages=objective.stages,
        needs_teacher=objective.needs_teacher,
        kind=kind,
        teacher_counts=teacher_counts,
        student_counts=student_counts,
        general=general,
        steps=_steps(
            encoded.lengths if quiz is None else encoded.lengths[quiz.lessons], recipe, objective
        ),
        knowledge_mb=need if recorded else 0.0,
        texts_mb=_texts_mb(material, general),
        checkpoint_mb=student_counts.float32_mb * (6 if recipe.evaluation.control else 4) * 2
        + (teacher_counts.float32_mb * 6 if learns_along(recipe) else 0),
    )


def gather(
    recipe: Recipe, teacher: Checkpoint, task: Task, cache: Path, datasets: Datasets | None
) -> tuple[Material, Encoded]:
    """The run's texts, and the training texts under the teacher's tokenizer."""
    material = _material(recipe, teacher, task, cache, datasets)
    return material, _encoded(recipe, teacher, material, cache)


def _encoded(recipe: Recipe, teacher: Checkpoint, material: Material, cache: Path) -> Encoded:
    max_tokens = teacher.max_tokens(recipe.data.max_tokens)
    return encode(material.train.texts, teacher.backend, max_tokens=max_tokens, folder=cache)


def _material(
    recipe: Recipe, teacher: Checkpoint, task: Task, cache: Path, datasets: Datasets | None
) -> Material:
    """The run's texts, read as the task wants them."""
    data, knowledge = recipe.data, Path(recipe.knowledge.folder)
    if task.apart:
        return gather_apart(
            data,
            task=task,
            seed=recipe.seed,
            datasets=datasets,
            folder=cache,
            knowledge=knowledge,
        )
    return gather_material(
        data,
        teacher.labels,
        task=task,
        seed=recipe.seed,
        datasets=datasets,
        folder=cache,
        knowledge=knowledge,
    )


def _texts_mb(material: Material, general: GeneralPlan | None) -> float:
    texts = [material.train.texts, material.validation.texts, material.test.texts]
    texts += [general.texts] if general is not None else []
    return spooled_mb(one.rows for one in texts)


def _steps(lengths: np.ndarray, recipe: Recipe, objective: Objective) -> int:
    """Optimizer steps of all trainings of the student."""
    trainings = [stage_training(stage, recipe.training) for stage in objective.stages]
    pruning = recipe.student.pruning
    if pruning.wanted:
        one = recipe.training.model_copy(update={"epochs": pruning.epochs})
        trainings += [one] * (
            pruning.rounds if (pruning.heads or pruning.neurons or pruning.embedding_rank) else 0
        )
        trainings += [recipe.training] * len(pruning.again)
    return sum(
        planned_steps(lengths, training, recipe.seed) for training in [*trainings, recipe.training]
    )


def _refuse_ensemble(recipe: Recipe, task: Task) -> None:
    if recipe.ensemble.teachers and task.reads != "texts":
        raise RecipeError(
            "ensemble.teachers",
            f"the task is {task.name}, and several teachers are mixed text by text only",
            "Name one teacher.",
        )
    if recipe.ensemble.combine == "confidence" and not task.distributes:
        raise RecipeError(
            "ensemble.combine",
            f"confidence weighs teachers by their probability of the right class, and the task is "
            f"{task.name}",
            "Use mean, or weighted.",
        )
    if recipe.ensemble.teachers and task.apart:
        raise RecipeError(
            "ensemble.teachers",
            f"the task is {task.name}, and the vectors of several teachers lie in several spaces",
            "Use one teacher.",
        )
    if recipe.ensemble.teachers and recipe.knowledge.source == "live":
        raise RecipeError(
            "knowledge.source",
            f"it is live, but {1 + len(recipe.ensemble.teachers)} teachers are to be mixed",
            "Use recorded: each teacher is asked once, under its own tokenizer.",
        )


def _plan_general(
    recipe: Recipe, student: StudentPlan, teacher: Checkpoint, cache: Path
) -> GeneralPlan | None:
    """The plan of the pre-training, if there is one: its student is the run's."""
    if not wants_pretraining(recipe):
        return None
    general = plan_general(recipe, cache=cache)
    refuse_other_tokenizer(general.teacher, teacher, where="pretraining.teacher")
    refuse_other_shape(general.student, student)
    return general


def _refuse_lost_heads(recipe: Recipe) -> None:
    """Refuse to match heads after some are gone: each layer may have a number of its own then."""
    for place, term in enumerate(recipe.terms):
        if recipe.student.pruning.left.heads is not None and isinstance(
            term, AttentionTerm | RelationsTerm
        ):
            raise RecipeError(
                f"objective.terms[{place}]",
                f"a term of kind {term.kind} compares heads, and student.pruning.heads takes some "
                "away before this training",
                "Put the term into a stage, which comes before pruning, or prune neurons alone.",
            )


def _pruned_counts(counts: Counts, config: Any, recipe: Recipe) -> Counts:
    """What is left of a student's parameters once heads and neurons are taken out."""
    left = recipe.student.pruning.left
    if not recipe.student.pruning.wanted:
        return counts
    refuse_unprunable(recipe.student.pruning, config)  # a trimmed vocabulary has less to factor
    gone = parameters_gone(config, heads=left.heads, neurons=left.neurons)
    words = embeddings_gone(config, recipe.student.pruning.embedding_rank)
    return Counts(counts.parameters - gone - words, counts.encoder_parameters - gone)


def _look_at_another(path: str, first: Checkpoint, task: Task) -> Checkpoint:
    """One more teacher, checked against the first.

    Raises:
        TeacherError: If it knows other labels.
    """
    other = look_at(TeacherConfig(path=path))
    task_of_teacher(other.config, task.name, where=path)
    if task.problem_type == "regression":  # whatever its one number is called
        return other
    if sorted(other.labels) != sorted(first.labels):
        odd = sorted(set(other.labels) ^ set(first.labels))
        raise TeacherError(
            path,
            f"its labels are not those of {first.path}: {', '.join(odd[:6])} are known to one of "
            "them alone",
            "Mix teachers of the same labels (their order may differ), or rename labels in "
            "config.json (id2label, label2id) where they mean the same.",
        )
    return other


def _refuse_lessonless(objective: Objective, material: Material) -> None:
    if objective.needs_teacher or material.has_labels:
        return
    raise RecipeError(
        "data.train",
        "no row has a label and no term looks at the teacher: there is nothing to learn from",
        "Give labels, or a term of kind logits.",
    )


def _refuse_other_width(student: StudentPlan, teacher: Checkpoint, material: Material) -> None:
    own, theirs = len(class_names(student.config)), len(teacher.labels)
    if material.task.apart and own != theirs and material.task.score_name != "Spearman":
        raise RecipeError(
            "student.vectors",
            f"the student's vectors have {own} numbers and the teacher's {theirs}, so that their "
            "cosine, the score where validation and test have no scored pairs, is not defined",
            "Set student.vectors: teacher, or give pairs with scores as validation and test.",
        )


def _refuse_other_tokens(
    student: StudentPlan, teacher: Checkpoint, objective: Objective, recipe: Recipe
) -> None:
    of_tokens = student.head == "span" and objective.needs_teacher
    refuse_other_vocabulary(student, teacher, recipe)
    if student.init != "checkpoint" or not (objective.parts or of_tokens):
        return
    if tokenizer_bytes(student.checkpoint.backend) == tokenizer_bytes(teacher.backend):
        return
    if of_tokens:
        raise RecipeError(
            "student.checkpoint",
            f"the teacher says of each token whether an answer starts or ends there, but the "
            f"student from {recipe.student.checkpoint} has another tokenizer",
            "Use a checkpoint with the teacher's tokenizer, or cut the student out of the teacher.",
        )
    raise RecipeError(
        "objective.terms",
        f"a term compares states of the same tokens, but the student from "
        f"{recipe.student.checkpoint} has another tokenizer than the teacher",
        "Use the terms hard, logits and exits with this student.checkpoint.",
    )


def student_encoding(plan: Plan, split: str, *, cache: Path) -> Encoded:
    """Token ids of a split under the student's tokenizer."""
    texts = getattr(plan.material, split).texts
    max_tokens = plan.student.checkpoint.max_tokens(plan.max_tokens)
    if split == "train":  # of a longer text the teacher answered no more
        max_tokens = min(max_tokens, plan.max_tokens)
    if plan.trimmed is not None:
        backend = backend_of(plan.trimmed.tokenizer)
    else:
        backend = plan.student.checkpoint.backend
    return encode(texts, backend, max_tokens=max_tokens, folder=cache)
