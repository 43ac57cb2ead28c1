"""One student, trained and judged, without exports, control arm or report: to compare recipes."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from limbeck.config.recipe import Recipe
from limbeck.data.encode import Encoded
from limbeck.data.per_word import Outputs
from limbeck.errors import RecipeError
from limbeck.machine import cores_or, kept_pages, threads
from limbeck.run.arms import Arm, train_arm
from limbeck.run.chain import source_of
from limbeck.run.folder import RunFolder
from limbeck.run.plan import Plan, make_plan, student_encoding
from limbeck.run.recording import ask_teacher, judged_by, load_teacher
from limbeck.teacher.ask import predict_logits
from limbeck.training.choice import choose


@dataclass(frozen=True)
class Trial:
    """A trained student and what it says.

    Attributes:
        arm: The student with its best state.
        plan: What it was made from.
        teacher_logits: Of the first teacher on the test rows [rows, classes].
        student_logits: Of the student on the test rows [rows, classes].
        asking_seconds: Spent on the teachers' answers, assistants included.
        training_seconds: Spent in all trainings of the student.
    """

    arm: Arm
    plan: Plan
    teacher_logits: Outputs
    student_logits: Outputs
    asking_seconds: float
    training_seconds: float


def trial(recipe: Recipe, *, folder: Path | None = None) -> Trial:
    """Train the recipe's student and ask it about the test rows.

    Knowledge goes where the recipe says, so that trials share it; everything else is thrown away.

    Args:
        recipe: What to do; its `output`, `evaluation` and `export` are not looked at.
        folder: For checkpoints and the log; a temporary one by default.

    Raises:
        LimbeckError: As `distill` does.
    """
    with threads(cores_or(recipe.training.threads)), kept_pages():
        if folder is not None:
            return _trial(recipe, folder)
        with tempfile.TemporaryDirectory() as temporary:
            return _trial(recipe, Path(temporary))


def _trial(recipe: Recipe, folder: Path) -> Trial:
    cache = Path(recipe.knowledge.folder) / "tokens"
    run = RunFolder(str(folder))
    start = time.perf_counter()
    plan = make_plan(recipe, cache=cache)
    machine = choose(plan.recipe.training, plan.student.config, plan.encoded.lengths)
    teacher = load_teacher(plan)
    knowledge = ask_teacher(plan, teacher, cache=cache)
    plan = judged_by(plan, knowledge)
    teacher_logits = knowledge.test_logits
    if teacher_logits is None:
        raise RecipeError(
            "teacher.answers.test",
            "this is missing, and a trial compares the student with the teacher's answers on test",
            "Give answers about all test rows.",
        )
    source = source_of(plan, run, cache=cache, datasets=None)
    if source is not plan:
        teacher = load_teacher(source)
        knowledge = ask_teacher(source, teacher, cache=cache)
        source = judged_by(source, knowledge)
    asked = time.perf_counter()
    arm = train_arm("student", source, source.terms, teacher, knowledge.train, machine, run, cache)
    trained = time.perf_counter()
    return Trial(
        arm=arm,
        plan=plan,
        teacher_logits=teacher_logits,
        student_logits=predict_logits(arm.model, source.student.checkpoint, _test(source, cache)),
        asking_seconds=asked - start,
        training_seconds=trained - asked,
    )


def _test(plan: Plan, cache: Path) -> Encoded:
    return student_encoding(plan, "test", cache=cache)
