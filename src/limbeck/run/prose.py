"""What a run of a language model must not ask for, and how it tells its student of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.config.recipe import Recipe
from limbeck.config.terms import LogitsTerm
from limbeck.data.tokenizer_bytes import tokenizer_bytes
from limbeck.errors import RecipeError
from limbeck.knowledge.anew import AskedAnew
from limbeck.student.plan import StudentPlan
from limbeck.tasks.head import OF_TOKENS
from limbeck.tasks.task import Task
from limbeck.teacher.foretelling import check_head_of_tokens
from limbeck.teacher.load import Checkpoint
from limbeck.training.samples import Samples
from limbeck.training.tokens import TokensSide

if TYPE_CHECKING:
    from limbeck.run.plan import Plan
    from limbeck.run.recording import Teacher


def check_prose(recipe: Recipe, teacher: Checkpoint, task: Task) -> None:
    """Refuse a language model that limbeck does not know, and settings that do not fit the task.

    Raises:
        TeacherError: For a head that it does not know.
        RecipeError: For a budget, and for steps on the student's own texts where it cannot write.
    """
    if recipe.objective.on_policy.share:
        _refuse_unwritten(recipe, teacher, task)
    if task.head not in OF_TOKENS:
        return
    check_head_of_tokens(teacher, task.head)
    if recipe.student.open_budget:
        raise RecipeError(
            "student.budget",
            "the costs of structures are known of models that answer whole texts, and a language "
            "model foretells every token of them",
            "Give the student's sizes (student.layers); the report says how fast it is.",
        )


def _refuse_unwritten(recipe: Recipe, teacher: Checkpoint, task: Task) -> None:
    where, settings = "objective.on_policy", recipe.objective.on_policy
    if task.head != "causal_lm":
        raise RecipeError(
            f"{where}.share",
            f"it is {settings.share}, but the task is {task.name}: such a student writes no texts",
            "Set it to 0.",
        )
    if not any(isinstance(term, LogitsTerm) for term in recipe.terms):
        raise RecipeError(
            f"{where}.share",
            f"it is {settings.share}, but no term of the objective has the kind logits: nobody "
            "would judge what the student writes",
            "Add one, with divergence reverse_kl or jensen_shannon, or set it to 0.",
        )
    if recipe.student.vocabulary == "trim" and recipe.student.checkpoint is None:
        raise RecipeError(
            f"{where}.share",
            f"it is {settings.share}, but student.vocabulary is trim: the teacher would be asked "
            "about tokens under other numbers",
            "Set student.vocabulary: full.",
        )
    longest = teacher.max_tokens(recipe.data.max_tokens)
    if settings.prompt_tokens + settings.new_tokens > longest:
        raise RecipeError(
            f"{where}.new_tokens",
            f"{settings.prompt_tokens} tokens of a prompt and {settings.new_tokens} new ones are "
            f"more than the {longest} of a block",
            "Use fewer, or set data.max_tokens higher.",
        )


def refuse_other_vocabulary(student: StudentPlan, teacher: Checkpoint, recipe: Recipe) -> None:
    """Refuse a student that foretells other tokens, or the same ones of shorter blocks.

    Raises:
        RecipeError: If so.
    """
    if student.head not in OF_TOKENS:
        return
    if recipe.student.tokenizer is not None:
        raise RecipeError(
            "student.tokenizer",
            "a language model foretells tokens, and the teacher knows none but its own",
            "Delete it; student.vocabulary: trim leaves out what the texts do not hold.",
        )
    if student.init != "checkpoint":
        return
    own, theirs = (one.max_tokens(recipe.data.max_tokens) for one in (student.checkpoint, teacher))
    same = tokenizer_bytes(student.checkpoint.backend) == tokenizer_bytes(teacher.backend)
    if same and own >= theirs:
        return
    raise RecipeError(
        "student.checkpoint",
        f"teacher and student foretell the same tokens of the same blocks, but "
        f"{recipe.student.checkpoint} "
        + ("has another tokenizer" if not same else f"takes {own} tokens of {theirs}"),
        "Use a checkpoint with the teacher's tokenizer (and set data.max_tokens to what it takes), "
        "or cut the student out of the teacher; student.vocabulary: trim then drops tokens.",
    )


def tokens_side(plan: Plan, teacher: Teacher) -> TokensSide | None:
    """How a language model tells its student of tokens; None for other models."""
    if plan.task.reads != "prose":
        return None
    kept = plan.trimmed.kept if plan.trimmed else None
    return TokensSide.of(teacher.kind.top_k, kept, vocabulary=int(plan.teacher.config.vocab_size))


def samples_of(plan: Plan, teacher: Teacher) -> Samples | None:
    """Steps on what the student writes, where the recipe wants some."""
    settings, kind = plan.recipe.objective.on_policy, teacher.kind
    if not settings.share:
        return None
    judge = AskedAnew(
        teacher.model, plan.teacher, kind.parts, precision=kind.precision, top_k=kind.top_k
    )
    return Samples(settings, judge, plan.recipe.seed)
