"""Commands that use what was made: they judge, export, answer, list and show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.cli.app import app
from limbeck.cli.options import LabelColumn, PairColumn, Setting, Task, TextColumn


@app.command(no_args_is_help=True)
def evaluate(
    teacher: Annotated[str, typer.Option(help="Folder or hub name of the teacher.")],
    student: Annotated[str, typer.Option(help="Folder or hub name of the student.")],
    test: Annotated[str, typer.Option(help="Labelled rows.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    task: Task = None,
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
        "task": task,
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
    task: Task = None,
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
        "task": task,
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
