"""Prediction: the texts' order, cleaning, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.config.recipe import CleanConfig
from limbeck.errors import ExportError
from limbeck.export.onnx_files import export_variants
from limbeck.files import write_json
from limbeck.serve.predictor import Predictor


@pytest.fixture(scope="module")
def run(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    clean = CleanConfig(html=True, white_space=True)
    export_variants(teacher, folder / "export", max_tokens=32, clean=clean, names=("onnx",))
    write_json(
        folder / "export" / "gate.json",
        {
            "best_single": "onnx",
            "best_bulk": "onnx",
            "exports": [{"name": "onnx", "file": "model.onnx"}],
        },
    )
    return folder


def test_answers_keep_the_order_of_the_texts(run: Path) -> None:
    """Sorting by length is ours; the order is the user's."""
    texts = [
        "a superb and lovely film " * n if n % 2 else "awful and dull " * n for n in range(1, 50)
    ]
    labels = [p.label for p in Predictor(run, bulk=True).predict(texts)]
    assert labels == ["positive" if n % 2 else "negative" for n in range(1, 50)]


def test_texts_are_cleaned_as_in_training(run: Path) -> None:
    """A model trained without tags answers texts with tags wrongly."""
    predictor = Predictor(run)
    plain, tagged = predictor.predict(["the film was warm", "<p>the  film</p>\nwas warm"])
    assert plain == tagged


def test_streaming_gives_the_same_answers(run: Path) -> None:
    """Memory is bounded, answers are not changed by it."""
    predictor = Predictor(run)
    texts = ["lovely rain", "a dull dog", "one man", "superb"] * 5
    one_by_one = [p.label for p in predictor.stream(iter(texts), size=3)]
    assert one_by_one == [p.label for p in predictor.predict(texts)]
    assert predictor.predict([]) == []


def test_refuses_a_folder_without_a_finished_run(tmp_path: Path) -> None:
    """The message must say what to name instead."""
    with pytest.raises(ExportError, match="no finished run"):
        Predictor(tmp_path)


def test_refuses_empty_texts(run: Path) -> None:
    """An answer to nothing is noise with a probability."""
    with pytest.raises(ExportError, match="text 2: it is empty"):
        Predictor(run).predict(["fine", "<br>"])
