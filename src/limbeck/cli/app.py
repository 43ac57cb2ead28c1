"""The command line that commands are added to."""

from __future__ import annotations

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
