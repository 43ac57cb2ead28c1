"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Answers = Annotated[
    str | None,
    typer.Option(
        "--teacher-answers",
        help="A file of somebody else's answers about the training texts, in place of a model; "
        "--teacher is then the encoder to cut the student from. See docs/black_box.md.",
    ),
]
AnswerKind = Annotated[
    str | None,
    typer.Option("--answers-kind", help="What it holds: probabilities, logits, scores or vectors."),
]
Unlabelled = Annotated[
    list[str] | None, typer.Option(help="More texts, for the teacher alone to answer. Repeatable.")
]
ParallelText = Annotated[
    str | None,
    typer.Option(
        "--parallel",
        help="Columns that are translations of each other, the teacher's language first: "
        "en:de,fr. See docs/cross_lingual.md.",
    ),
]
Plain = Annotated[
    list[str] | None,
    typer.Option(help="Plain text to pre-train on: .txt files or folders. Repeatable."),
]
StudentText = Annotated[
    str | None,
    typer.Option(help="layers=3, from=1,3,5, hidden=192, vocabulary=trim, shape=tinybert4, …"),
]
BudgetText = Annotated[
    str | None,
    typer.Option(
        help='What the student may cost: "latency<=0.6ms size<=6MB". See docs/budgets.md.'
    ),
]
RecipePath = Annotated[Path | None, typer.Argument(help="A recipe file, or options alone.")]
