"""Commands that make something: students, families of them, teachers, knowledge, plans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from limbeck.cli.app import app
from limbeck.cli.options import (
    AnswerKind,
    Answers,
    BudgetText,
    LabelColumn,
    PairColumn,
    ParallelText,
    Plain,
    RecipePath,
    Setting,
    StudentText,
    Task,
    Test,
    TextColumn,
    Train,
    Unlabelled,
    Validation,
)


@app.command(no_args_is_help=True)
def distill(
    recipe: RecipePath = None,
    teacher: Annotated[
        str | None, typer.Option(help="Folder or hub name of the fine-tuned model.")
    ] = None,
    train: Train = None,
    validation: Validation = None,
    test: Test = None,
    unlabelled: Unlabelled = None,
    teacher_answers: Answers = None,
    answers_kind: AnswerKind = None,
    parallel: ParallelText = None,
    plain: Plain = None,
    student: StudentText = None,
    budget: BudgetText = None,
    method: Annotated[str | None, typer.Option(help="See `limbeck methods`.")] = None,
    task: Task = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    output: Annotated[str | None, typer.Option(help="Folder of the run.")] = None,
    setting: Setting = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the plan, train nothing.")
    ] = False,
) -> None:
    """Make a student of a teacher, and prove what is left of the teacher.

    `limbeck distill --teacher ./my-model --train train.jsonl --test test.csv --student layers=3`
    """
    from limbeck.config.load import load_recipe, student_from_text

    values = {
        "teacher.path": teacher,
        "teacher.answers.train": teacher_answers,
        "teacher.answers.kind": answers_kind,
        "data.train": train,
        "data.validation": validation,
        "data.test": test,
        "data.unlabelled": unlabelled,
        "data.plain": plain,
        "data.text_column": text_column,
        "data.pair_column": pair_column,
        "data.label_column": label_column,
        "task": task,
        "method": method,
        "student.budget": budget,
        "output": output,
    }
    if student is not None:
        values.update({f"student.{k}": v for k, v in student_from_text(student).items()})
    if parallel is not None:
        source, _, targets = parallel.partition(":")
        values["data.parallel.source"] = source.strip()
        values["data.parallel.targets"] = [one.strip() for one in targets.split(",") if one.strip()]
    loaded = load_recipe(recipe, setting or (), values)
    if dry_run:
        _print_plan(loaded)
        return
    from limbeck.cli.summary import print_report
    from limbeck.distill import distill as make
    from limbeck.progress import shown

    with shown():
        report = make(loaded)
    print_report(report, Path(loaded.output))


@app.command(no_args_is_help=True)
def frontier(
    recipe: RecipePath = None,
    teacher: Annotated[
        str | None, typer.Option(help="Folder or hub name of the fine-tuned model.")
    ] = None,
    train: Train = None,
    validation: Validation = None,
    test: Test = None,
    unlabelled: Unlabelled = None,
    student: StudentText = None,
    points: Annotated[int | None, typer.Option(help="How many students.")] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Name the smallest that keeps this share of the teacher: 99%."),
    ] = None,
    task: Task = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    output: Annotated[str | None, typer.Option(help="Folder of the family.")] = None,
    setting: Setting = None,
) -> None:
    """Make a family of students, each cut out of the one before, and measure them all.

    `limbeck frontier --teacher ./my-model --train train.jsonl --test test.csv --points 6`
    """
    from limbeck.cli.summary import print_frontier
    from limbeck.config.load import load_recipe, share_from_text, student_from_text
    from limbeck.frontier import frontier as make
    from limbeck.progress import shown

    values = {
        "teacher.path": teacher,
        "data.train": train,
        "data.validation": validation,
        "data.test": test,
        "data.unlabelled": unlabelled,
        "data.text_column": text_column,
        "data.pair_column": pair_column,
        "data.label_column": label_column,
        "frontier.points": points,
        "frontier.retention": None if keep is None else share_from_text(keep, "--keep"),
        "task": task,
        "output": output,
    }
    if student is not None:
        values.update({f"student.{k}": v for k, v in student_from_text(student).items()})
    loaded = load_recipe(recipe, setting or (), values)
    with shown():
        found = make(loaded)
    print_frontier(found, Path(loaded.output))


def _print_plan(recipe: Any) -> None:
    import tempfile

    from limbeck.distill import plan_only
    from limbeck.progress import shown
    from limbeck.run.folder import RunFolder

    RunFolder(recipe.output).refuse_others(recipe)
    with tempfile.TemporaryDirectory() as cache, shown():
        lines = plan_only(recipe, cache=Path(cache))
    for line in lines:
        typer.echo(line)
    kept = f" but {recipe.knowledge.folder}/latency" if recipe.student.budget else ""
    typer.echo(
        f"This is a dry run: every check passed, no weights were read, nothing was written{kept}."
    )


@app.command("plan", no_args_is_help=True)
def plan_command(
    recipe: RecipePath = None,
    teacher: Annotated[
        str | None, typer.Option(help="Folder or hub name of the fine-tuned model.")
    ] = None,
    train: Train = None,
    validation: Validation = None,
    test: Test = None,
    budget: BudgetText = None,
    student: StudentText = None,
    task: Task = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    setting: Setting = None,
) -> None:
    """Print the student that a budget becomes on this machine; nothing is trained.

    `limbeck plan --teacher ./my-model --train train.jsonl --budget "latency<=0.6ms size<=6MB"`
    """
    from limbeck.config.load import load_recipe, student_from_text
    from limbeck.plan import plan
    from limbeck.progress import shown
    from limbeck.run.describe_budget import plan_lines

    values = {
        "teacher.path": teacher,
        "data.train": train,
        "data.validation": validation,
        "data.test": test,
        "data.text_column": text_column,
        "data.pair_column": pair_column,
        "data.label_column": label_column,
        "task": task,
        "student.budget": budget,
    }
    if student is not None:
        values.update({f"student.{k}": v for k, v in student_from_text(student).items()})
    loaded = load_recipe(recipe, setting or (), values)
    with shown():
        found = plan(loaded)
    for line in plan_lines(found):
        typer.echo(line)


@app.command(no_args_is_help=True)
def teach(
    base: Annotated[str, typer.Option(help="Folder or hub name of an encoder.")],
    train: Annotated[str, typer.Option(help="Labelled training texts.")],
    output: Annotated[str, typer.Option(help="Folder of the new teacher.")],
    validation: Validation = None,
    test: Test = None,
    task: Task = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    setting: Setting = None,
) -> None:
    """Fine-tune a teacher from a base encoder on labelled texts."""
    from limbeck.config.load import apply_settings, checked
    from limbeck.config.recipe import TeachRecipe
    from limbeck.progress import shown
    from limbeck.teach import teach as make

    tree: dict[str, Any] = {
        "base": {"path": base},
        "data": {"train": train, "validation": validation, "test": test},
        "output": output,
        "training": {"learning_rate": 5e-5},
    }
    tree["data"] |= {"text_column": text_column, "pair_column": pair_column}
    tree["data"] |= {"label_column": label_column}
    tree["task"] = task or "auto"
    apply_settings(tree, setting or ())
    with shown():
        make(checked(TeachRecipe, tree, "command line"))


@app.command(no_args_is_help=True)
def pretrain(
    output: Annotated[str, typer.Option(help="Folder of the new student.")],
    recipe: RecipePath = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Folder or hub name; with a masked-LM head where the method asks it."),
    ] = None,
    plain: Plain = None,
    student: StudentText = None,
    method: Annotated[
        str | None, typer.Option(help="distilbert, tinybert, minilm, minilm2 or mobilebert.")
    ] = None,
    setting: Setting = None,
) -> None:
    """Pre-train a student on plain text, for any number of tasks.

    `limbeck pretrain --teacher ./bert --plain books/ --method distilbert --output models/general`
    """
    from limbeck.config.load import load_recipe, student_from_text
    from limbeck.pretrain import pretrain as make
    from limbeck.progress import shown

    values = {"teacher.path": teacher, "data.plain": plain, "method": method, "output": output}
    if student is not None:
        values.update({f"student.{k}": v for k, v in student_from_text(student).items()})
    loaded = load_recipe(recipe, setting or (), values)
    with shown():
        make(loaded)


@app.command(no_args_is_help=True)
def record(
    train: Annotated[str, typer.Option(help="The texts to ask it about; labels are not needed.")],
    teacher: Annotated[
        str | None, typer.Option(help="Folder or hub name of the fine-tuned model.")
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            help="In place of a teacher: a file of its answers (npy, npz, Parquet, JSONL, CSV)."
        ),
    ] = None,
    answers_kind: AnswerKind = None,
    knowledge: Annotated[str, typer.Option(help="Folder of all recorded answers.")] = "knowledge",
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    task: Task = None,
    setting: Setting = None,
) -> None:
    """Ask the teacher about texts once and keep its answers, for any number of students.

    `limbeck record --vectors vectors.npy --train texts.jsonl` keeps answers that are in a file.
    """
    from limbeck.config.load import load_recipe
    from limbeck.errors import RecipeError
    from limbeck.progress import shown
    from limbeck.run.given import record_given
    from limbeck.run.recording import record_texts

    if (teacher is None) == (vectors is None):
        both = "both are given" if teacher else "neither is given"
        raise RecipeError(
            "--teacher, --vectors", both, "Give a model to ask, or a file of its answers."
        )
    values = {
        "teacher.path": teacher or "none",
        "teacher.answers.train": vectors,
        "teacher.answers.kind": answers_kind or (None if vectors is None else "vectors"),
        "data.train": train,
        "knowledge.folder": knowledge,
        "data.text_column": text_column,
        "data.pair_column": pair_column,
        "task": task,
    }
    loaded = load_recipe(None, setting or (), values)
    with shown():
        place = record_texts(loaded) if vectors is None else record_given(loaded)
    typer.echo(f"The answers are in {place} (Arrow shards; manifest.json lists them).")
