"""A teacher that is trained along: what it needs, what is kept apart for it, how it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import Recipe
from limbeck.config.schedule import Adaptive, largest
from limbeck.config.terms import LogitsTerm, Term
from limbeck.data.encode import encode
from limbeck.data.split import stratified_holdout
from limbeck.data.texts import folded_hashes
from limbeck.errors import RecipeError
from limbeck.run.material import Material
from limbeck.tasks.task import score as score_of
from limbeck.teacher.ask import predict_logits
from limbeck.training.companion import LearningTeacher, Reply
from limbeck.training.feedback import Feedback
from limbeck.training.mutual import Mutual

if TYPE_CHECKING:
    from limbeck.run.plan import Plan
    from limbeck.run.recording import Teacher

_SOURCE = "knowledge.source"
_STATES_A_PARAMETER = 4
"""Float32 numbers that a trained weight takes: itself, its gradient and two moments."""


@dataclass(frozen=True)
class Quiz:
    """Rows of train on which the student's loss is taken, and those left to learn from.

    Attributes:
        rows: Labelled, of every class.
        lessons: All others but altered copies of the quiz's texts and their repetitions.
    """

    rows: np.ndarray
    lessons: np.ndarray


def learns_along(recipe: Recipe) -> bool:
    """Whether the recipe's teacher is trained too."""
    return recipe.knowledge.source in ("mutual", "feedback")


def settled_precision(recipe: Recipe) -> Recipe:
    """The recipe, in float32 where it needs that.

    Raises:
        RecipeError: If it asks for another precision.
    """
    training = recipe.training
    if recipe.knowledge.source != "feedback" or training.precision == "float32":
        return recipe
    if training.precision != "auto":
        raise RecipeError(
            "training.precision",
            f"it is {training.precision}, but {_SOURCE} is feedback, which compares the student's "
            "answers at weights that lie closer together than that can tell",
            "Use float32, or auto.",
        )
    training = training.model_copy(update={"precision": "float32"})
    return recipe.model_copy(update={"training": training})


def refuse_unteachable(recipe: Recipe, terms: Sequence[Term], material: Material) -> None:
    """Refuse what a teacher that is trained along cannot learn from.

    Raises:
        RecipeError: Naming the key.
    """
    if not learns_along(recipe):
        return
    source = recipe.knowledge.source
    if recipe.ensemble.teachers:
        raise RecipeError(
            _SOURCE,
            f"it is {source}, which trains the teacher along, but ensemble.teachers names "
            f"{len(recipe.ensemble.teachers)} more",
            "Use source: recorded with several teachers, or one teacher.",
        )
    soft = [t for t in terms if isinstance(t, LogitsTerm) and largest(t.weight) > 0]
    if not soft:
        raise RecipeError(
            _SOURCE,
            f"it is {source}, but no term of the objective has the kind logits: teacher and "
            "student would tell each other nothing",
            "Add a term of kind logits, or use source: recorded.",
        )
    if material.task.name != "single_label":
        raise RecipeError(
            _SOURCE,
            f"it is {source}, which trains the teacher on classes, but the task is "
            f"{material.task.name}",
            "Use source: recorded.",
        )
    if not material.has_labels:
        raise RecipeError(
            _SOURCE,
            f"it is {source}, but no training row has a label: the teacher would learn from its "
            "own student alone",
            "Give labels, or use source: recorded.",
        )
    if source == "feedback":
        _refuse_without_derivative(soft)


def _refuse_without_derivative(terms: Sequence[LogitsTerm]) -> None:
    for term in terms:
        plain = term.divergence in ("kl", "cross_entropy") and term.examples == "equal"
        if plain and not isinstance(term.temperature, Adaptive) and not term.standardize:
            continue
        raise RecipeError(
            _SOURCE,
            "it is feedback, which follows the teacher's soft labels through one step of the "
            f"student; it cannot do so through {term.divergence} with examples={term.examples}, "
            f"temperature={term.temperature}, standardize={term.standardize}",
            "Use divergence kl or cross_entropy, examples equal, a temperature that is a number "
            "or a schedule, and standardize false.",
        )


def quiz_of(recipe: Recipe, material: Material) -> Quiz | None:
    """The rows that feedback keeps apart, the same for the same seed; None without feedback.

    They are none of the validation rows, which choose the student's best state.
    """
    if recipe.knowledge.source != "feedback":
        return None
    train = material.train
    kept, held = stratified_holdout(
        train.labels,
        folded_hashes(train.texts),
        share=recipe.knowledge.quiz_share,
        seed=recipe.seed,
        source=recipe.data.train or "train",
    )
    ids = list(train.texts.ids)
    known = {ids[row] for row in held}
    # Altered copies are named after the row that they were made from.
    own = [row for row in kept if ids[row].partition("~")[0] not in known]
    return Quiz(held, np.array(own, dtype=np.int64))


def companion_lines(plan: Plan) -> list[str]:
    """What a teacher that is trained along costs, as lines of a plan."""
    if not learns_along(plan.recipe):
        return []
    settings = plan.recipe.knowledge
    more = _STATES_A_PARAMETER * plan.teacher_counts.float32_mb
    lines = [
        f"online    a copy of the teacher is trained along ({settings.source}, at "
        f"{settings.teacher_learning_rate:g}): {more:,.0f} MB more memory, and a pass there and "
        "back through it in every step"
    ]
    if plan.quiz is not None:
        lines.append(
            f"          {len(plan.quiz.rows):,} labelled rows of train are kept for the student's "
            "quiz; it does not learn from them"
        )
    return lines


def companion_of(plan: Plan, teacher: Teacher, terms: Sequence[Term]) -> LearningTeacher | None:
    """The teacher that is trained along with a student of these terms, or None."""
    recipe = plan.recipe
    if not learns_along(recipe):
        return None
    return LearningTeacher(
        teacher.model,
        plan.teacher,
        plan.encoded,
        plan.material.train.labels,
        reply=_reply(plan, terms),
        kind=teacher.kind,
        config=recipe.training,
        learning_rate=recipe.knowledge.teacher_learning_rate,
    )


def _reply(plan: Plan, terms: Sequence[Term]) -> Reply:
    recipe = plan.recipe
    if plan.quiz is None:
        return Mutual(terms)
    return Feedback(
        terms,
        quiz=plan.quiz.rows,
        labels=plan.material.train.labels,
        rows=recipe.training.batch_rows,
        seed=recipe.seed,
    )


def companion_note(plan: Plan, teacher: Teacher, companion: LearningTeacher, *, cache: Path) -> str:
    """The teacher's own score on validation, before and after it was trained along."""
    encoded = encode(
        plan.material.validation.texts,
        plan.teacher.backend,
        max_tokens=plan.max_tokens,
        folder=cache,
    )
    before, after = (
        score_of(
            plan.task, predict_logits(model, plan.teacher, encoded), plan.material.validation.labels
        )
        for model in (teacher.model, companion.model)
    )
    return (
        f"the teacher was trained along ({plan.recipe.knowledge.source}): its own validation "
        f"{plan.task.score_name} was {before:.4f} before and {after:.4f} after"
    )
