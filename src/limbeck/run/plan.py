"""The plan of a run: everything that can be known and checked before weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.config.recipe import Recipe
from limbeck.config.stages import Stage
from limbeck.config.terms import AttentionTerm, RelationsTerm, Term
from limbeck.data.encode import Encoded, encode
from limbeck.data.spool import spooled_mb
from limbeck.data.targets import labelled
from limbeck.data.texts import Texts
from limbeck.errors import RecipeError
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.size import kind_for, knowledge_mb, numbers_a_place
from limbeck.progress import say
from limbeck.run.black_box import BlackBox, look_at_source, refuse_unasked
from limbeck.run.budget import with_structure
from limbeck.run.crossing import Crossed, crossed, other_tokens, refuse_uncrossable, rows_like
from limbeck.run.ensemble import (
    domains_of,
    look_at_another,
    refuse_ensemble,
    refuse_parts_of_domains,
)
from limbeck.run.gathering import gather_texts
from limbeck.run.general import (
    GeneralPlan,
    plan_general,
    refuse_other_shape,
    refuse_other_tokenizer,
    wants_pretraining,
)
from limbeck.run.material import Datasets, Material
from limbeck.run.objective import Objective, plan_objective, stage_training
from limbeck.run.online import (
    Quiz,
    learns_along,
    quiz_of,
    refuse_unteachable,
    settled_precision,
)
from limbeck.run.prose import check_prose, refuse_other_vocabulary
from limbeck.run.translations import refuse_untranslatable
from limbeck.run.trimming import trimmed_for, with_vocabulary
from limbeck.run.vocabulary import Lengths, lengths_of, own_tokens
from limbeck.student.plan import Counts, StudentPlan, count_parameters, plan_student
from limbeck.student.pruned import embeddings_gone, parameters_gone, refuse_unprunable
from limbeck.student.translated import OwnTokens
from limbeck.student.vocabulary import Trimmed
from limbeck.tasks.task import Task
from limbeck.teacher.load import Checkpoint, class_names
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
        encoded: The training texts under the teacher's tokenizer; of questions, in the student's
            windows.
        student: What to build.
        trimmed: The student's smaller tokenizer, or None if it has another or the teacher's.
        own: The tokenizer that it has of its own, learned from the texts, or None.
        lengths: What the student's other tokens do to the texts, or None without such.
        crossed: What carries answers over to these, or None likewise.
        others: More teachers, beside the first.
        domains: Of each training row, the teacher (from 0) of its domain, `NO_DOMAIN` where all
            answer; None where all answer all rows.
        box: The answers that stand in for a teacher that nobody can ask; `teacher` is then the
            encoder that the student is cut from. None where the teacher is a model.
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
    own: OwnTokens | None
    lengths: Lengths | None
    crossed: Crossed | None
    others: tuple[Checkpoint, ...]
    domains: np.ndarray | None
    box: BlackBox | None
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
    source = look_at_source(recipe, cache=cache, datasets=datasets)
    teacher, task, material = source.checkpoint, source.task, source.material
    check_prose(recipe, teacher, task)
    if recipe.student.open_budget:
        material, encoded = gather(recipe, teacher, task, cache, datasets)
        recipe = with_structure(recipe, teacher, task, material, encoded, cache=cache)
    early = plan_student(recipe.student, teacher, int(teacher.config.vocab_size), head=task.head)
    refuse_other_vocabulary(early, teacher, recipe)
    if recipe.student.pruning.wanted:
        refuse_unprunable(recipe.student.pruning, early.config)
        _refuse_lost_heads(recipe)
    objective = plan_objective(recipe, early, teacher, task)
    refuse_ensemble(recipe, task)
    others = tuple(look_at_another(path, teacher, task) for path in recipe.ensemble.teachers)
    general = _plan_general(recipe, early, teacher, cache)
    kind = kind_for(
        objective.parts, teacher, recipe.knowledge, precision=recipe.knowledge.precision
    )
    if material is None:
        material = gather_texts(recipe, teacher.labels, task, cache=cache, datasets=datasets)
    refuse_untranslatable(recipe, objective)
    refuse_parts_of_domains(recipe, objective)
    domains = domains_of(recipe, material, datasets)
    if source.box is not None:
        refuse_unasked(recipe, objective)
    _refuse_lessonless(objective, material)
    _refuse_other_width(early, teacher, material)
    refuse_unteachable(recipe, objective.terms, material)
    quiz = quiz_of(recipe, material)
    encoded = _encoded(recipe, teacher, material, cache)
    max_tokens = encoded.max_tokens
    _say_what_is_cut(encoded)
    # What is told of each token is compared token by token.
    exact = bool(kind.parts) or encoded.groups is not None
    trimmed = trimmed_for(recipe, early.checkpoint, material, encoded, exact=exact, cache=cache)
    own = own_tokens(recipe, teacher, material, cache=cache)
    student = early
    if trimmed is not None:
        student = with_vocabulary(
            plan_student(recipe.student, teacher, len(trimmed.kept), head=task.head), trimmed
        )
    elif own is not None:
        student = plan_student(recipe.student, own.translated, len(own.tokenizer), head=task.head)
    across = lengths = None
    lessons = encoded
    if trimmed is None and _speaks_otherwise(student, teacher, own):
        texts = material.train.texts
        mine = _rows(student.checkpoint, texts, max_tokens, cache=cache, lesson=True)
        refuse_uncrossable(recipe, objective)
        if encoded.groups is not None:
            encoded = rows_like(
                texts, mine, student.checkpoint, teacher, tokens=max_tokens, cache=cache
            )
        sides = (student.checkpoint, mine), (teacher, encoded)
        across = crossed(recipe, objective, texts, *sides, cache=cache)
        lengths = lengths_of(student.checkpoint, teacher, mine, encoded)
        lessons = mine
        say(f"  {lengths.in_words()}")
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
        own=own,
        lengths=lengths,
        crossed=across,
        others=others,
        domains=domains,
        box=source.box,
        quiz=quiz,
        terms=objective.terms,
        stages=objective.stages,
        needs_teacher=objective.needs_teacher,
        kind=kind,
        teacher_counts=teacher_counts,
        student_counts=student_counts,
        general=general,
        steps=_steps(lessons, None if quiz is None else quiz.lessons, recipe, objective),
        knowledge_mb=need if recorded else 0.0,
        texts_mb=_texts_mb(material, general),
        checkpoint_mb=student_counts.float32_mb * (6 if recipe.evaluation.control else 4) * 2
        + (teacher_counts.float32_mb * 6 if learns_along(recipe) else 0),
    )


def _say_what_is_cut(encoded: Encoded) -> None:
    if encoded.cut and encoded.groups is None:
        say(
            f"  {encoded.cut} training texts are longer than {encoded.max_tokens} tokens and are "
            "cut"
        )
    elif encoded.cut:
        say(f"  {encoded.cut} training questions are longer than data.question_tokens and are cut")


def gather(
    recipe: Recipe, teacher: Checkpoint, task: Task, cache: Path, datasets: Datasets | None
) -> tuple[Material, Encoded]:
    """The run's texts, and the training texts under the teacher's tokenizer."""
    material = gather_texts(recipe, teacher.labels, task, cache=cache, datasets=datasets)
    return material, _encoded(recipe, teacher, material, cache)


def _encoded(recipe: Recipe, teacher: Checkpoint, material: Material, cache: Path) -> Encoded:
    max_tokens = teacher.max_tokens(recipe.data.max_tokens)
    return encode(material.train.texts, teacher.backend, max_tokens=max_tokens, folder=cache)


def _texts_mb(material: Material, general: GeneralPlan | None) -> float:
    texts = [material.train.texts, material.validation.texts, material.test.texts]
    texts += [general.texts] if general is not None else []
    return spooled_mb(one.rows for one in texts)


def _steps(
    encoded: Encoded, lessons: np.ndarray | None, recipe: Recipe, objective: Objective
) -> int:
    """Optimizer steps of all trainings of the student."""
    rows = np.arange(len(encoded)) if lessons is None else lessons
    lengths, lists = encoded.lengths[rows], encoded.lists_of(rows)
    trainings = [stage_training(stage, recipe.training) for stage in objective.stages]
    pruning = recipe.student.pruning
    if pruning.wanted:
        one = recipe.training.model_copy(update={"epochs": pruning.epochs})
        trainings += [one] * (
            pruning.rounds if (pruning.heads or pruning.neurons or pruning.embedding_rank) else 0
        )
        trainings += [recipe.training] * len(pruning.again)
    return sum(
        planned_steps(lengths, training, recipe.seed, lists=lists)
        for training in [*trainings, recipe.training]
    )


def _plan_general(
    recipe: Recipe, student: StudentPlan, teacher: Checkpoint, cache: Path
) -> GeneralPlan | None:
    """The plan of the pre-training, if there is one: its student is the run's."""
    if not wants_pretraining(recipe):
        return None
    if recipe.student.tokenizer is not None:
        raise RecipeError(
            "student.tokenizer",
            "a pre-training (data.plain) asks the teacher about the very tokens that the student "
            "sees, and the student has others",
            "Leave data.plain out, or keep the teacher's tokens (vocabulary: trim makes them "
            "fewer).",
        )
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
    compared = not labelled(material.validation.labels).all()  # its targets are the teacher's
    if material.task.apart and own != theirs and compared:
        raise RecipeError(
            "student.vectors",
            f"the student's vectors have {own} numbers and the teacher's {theirs}, so that their "
            "cosine, the score where validation and test have no scored pairs, is not defined",
            "Set student.vectors: teacher, or give pairs with scores as validation and test.",
        )


def _speaks_otherwise(student: StudentPlan, teacher: Checkpoint, own: OwnTokens | None) -> bool:
    """Whether the student has tokens that are none of the teacher's by number."""
    if own is None and student.init != "checkpoint":
        return False  # a static student's is the teacher's without special tokens
    return other_tokens(student.checkpoint, teacher)


def student_encoding(plan: Plan, split: str, *, cache: Path) -> Encoded:
    """Token ids of a split under the student's tokenizer."""
    texts = getattr(plan.material, split).texts
    lesson = split == "train"
    return _rows(plan.student.checkpoint, texts, plan.max_tokens, cache=cache, lesson=lesson)


def _rows(
    student: Checkpoint, texts: Texts, max_tokens: int, *, cache: Path, lesson: bool
) -> Encoded:
    longest = student.max_tokens(max_tokens)
    if lesson:  # of a longer text the teacher answered no more
        longest = min(longest, max_tokens)
    return encode(texts, student.backend, max_tokens=longest, folder=cache)
