"""Commands of `limbeck`. Heavy imports wait inside them, so that help comes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="limbeck",
    help="Distill a fine-tuned BERT-family model into one that fits, and prove what is left.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any key of the recipe: --set training.epochs=5. Repeatable."),
]
Train = Annotated[str | None, typer.Option(help="Training texts: CSV, TSV, JSONL, Parquet, …")]
Validation = Annotated[str | None, typer.Option(help="Rows that choose the best state.")]
Test = Annotated[str | None, typer.Option(help="Rows that are only reported.")]
TextColumn = Annotated[str | None, typer.Option(help="Found by itself if it has a usual name.")]
PairColumn = Annotated[str | None, typer.Option(help="Second texts, where texts come in pairs.")]
LabelColumn = Annotated[str | None, typer.Option(help="Found likewise.")]
Task = Annotated[
    str | None,
    typer.Option(
        help="single_label, multi_label, regression, token_classification or question_answering; "
        "found by itself."
    ),
]
Unlabelled = Annotated[
    list[str] | None, typer.Option(help="More texts, for the teacher alone to answer. Repeatable.")
]
Plain = Annotated[
    list[str] | None,
    typer.Option(help="Plain text to pre-train on: .txt files or folders. Repeatable."),
]
StudentText = Annotated[
    str | None,
    typer.Option(help="layers=3, from=1,3,5, hidden=192, vocabulary=trim, shape=tinybert4, …"),
]
_INTERRUPTED = "\nInterrupted. Nothing is lost: give the same command again, and it goes on.\n"
RecipePath = Annotated[Path | None, typer.Argument(help="A recipe file, or options alone.")]


def main() -> None:
    """Run the command line; every mistake of the user's ends in one message and status 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.exit(run(lambda: app(standalone_mode=True)))


def run(command: Callable[[], Any]) -> int:
    """The exit status of a command: 0, 2 for the user's mistakes, 130 after Ctrl-C."""
    from limbeck.errors import LimbeckError
    from limbeck.files import disk_error

    try:
        command()
    except SystemExit as leaving:  # what typer makes of everything, Ctrl-C included
        if leaving.code == 130:
            sys.stderr.write(_INTERRUPTED)
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except LimbeckError as error:
        sys.stderr.write(f"\n{type(error).__name__}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(_INTERRUPTED)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        told = disk_error(error, Path(getattr(error, "filename", None) or "."))
        if told is None:
            raise
        sys.stderr.write(f"\n{type(told).__name__}: {told}\n")
        return 2
    return 0


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
    plain: Plain = None,
    student: StudentText = None,
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
        "output": output,
    }
    if student is not None:
        values.update({f"student.{k}": v for k, v in student_from_text(student).items()})
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
    typer.echo("This is a dry run: every check passed, no weights were read, nothing was written.")


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
    teacher: Annotated[str, typer.Option(help="Folder or hub name of the fine-tuned model.")],
    train: Annotated[str, typer.Option(help="The texts to ask it about; labels are not needed.")],
    knowledge: Annotated[str, typer.Option(help="Folder of all recorded answers.")] = "knowledge",
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    setting: Setting = None,
) -> None:
    """Ask the teacher about texts once and keep its answers, for any number of students."""
    from limbeck.config.load import load_recipe
    from limbeck.progress import shown
    from limbeck.run.recording import record_texts

    values = {
        "teacher.path": teacher,
        "data.train": train,
        "knowledge.folder": knowledge,
        "data.text_column": text_column,
        "data.pair_column": pair_column,
    }
    with shown():
        place = record_texts(load_recipe(None, setting or (), values))
    typer.echo(f"The answers are in {place} (Arrow shards; manifest.json lists them).")


@app.command(no_args_is_help=True)
def evaluate(
    teacher: Annotated[str, typer.Option(help="Folder or hub name of the teacher.")],
    student: Annotated[str, typer.Option(help="Folder or hub name of the student.")],
    test: Annotated[str, typer.Option(help="Labelled rows.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    output: Annotated[Path | None, typer.Option(help="A JSON file for the numbers.")] = None,
    setting: Setting = None,
) -> None:
    """Compare any two classifiers of the same classes: quality, agreement, speed, memory."""
    from limbeck.cli.summary import print_comparison
    from limbeck.compare import compare
    from limbeck.config.load import load_recipe
    from limbeck.progress import shown

    values = {
        "teacher.path": teacher,
        "data.train": test,
        "data.text_column": text_column,
        "data.pair_column": pair_column,
        "data.label_column": label_column,
    }
    with shown():
        comparison = compare(load_recipe(None, setting or (), values), student)
    print_comparison(comparison)
    if output is not None:
        from limbeck.files import write_json

        write_json(output, comparison.model_dump(mode="json"))
        typer.echo(f"The numbers are in {output}.")


@app.command(no_args_is_help=True)
def export(
    model: Annotated[str, typer.Option(help="Folder or hub name of a classifier.")],
    test: Annotated[str, typer.Option(help="Labelled rows, which the gate measures on.")],
    output: Annotated[Path, typer.Option(help="Folder of the exported files.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    setting: Setting = None,
) -> None:
    """Export any classifier to ONNX and int8; the gate refuses what is worse or slower here."""
    from limbeck.cli.summary import print_exports
    from limbeck.compare import export_gated
    from limbeck.config.load import load_recipe
    from limbeck.progress import shown

    values = {
        "teacher.path": model,
        "data.train": test,
        "data.text_column": text_column,
        "data.pair_column": pair_column,
        "data.label_column": label_column,
    }
    with shown():
        exports = export_gated(load_recipe(None, setting or (), values), output)
    print_exports(exports)
    typer.echo(f"The accepted files are in {output}; gate.json says why.")


@app.command(no_args_is_help=True)
def predict(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    texts: Annotated[str, typer.Argument(help="A file of texts (any format), or - for lines.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    output: Annotated[Path | None, typer.Option(help="A .jsonl file; else the screen.")] = None,
) -> None:
    """Answer texts with the run's fastest accepted export: one JSON line a text."""
    from limbeck.cli.predicting import predict_file

    predict_file(run, texts, text_column, pair_column, output)


@app.command()
def methods() -> None:
    """List the methods: what each needs, what it costs, when to choose it."""
    from limbeck.cli.summary import print_methods

    print_methods()


@app.command()
def demo(
    output: Annotated[str, typer.Option(help="Folder of the demo.")] = "runs/demo",
) -> None:
    """Run the whole road on this machine's own texts: no files needed, no network."""
    from limbeck.cli.summary import print_report
    from limbeck.demo.run import run_demo
    from limbeck.progress import shown

    with shown():
        report, folder = run_demo(Path(output))
    print_report(report, folder)
