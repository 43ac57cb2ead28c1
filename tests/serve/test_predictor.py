"""Prediction: the texts' order, cleaning, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.config.recipe import CleanConfig
from limbeck.errors import ExportError
from limbeck.export.onnx_files import export_variants
from limbeck.files import read_json, write_json
from limbeck.serve.predictor import Prediction, Predictor
from limbeck.tasks.single_label import SINGLE_LABEL


@pytest.fixture(scope="module")
def run(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    clean = CleanConfig(html=True, white_space=True)
    export_variants(
        teacher, folder / "export", max_tokens=32, clean=clean, task=SINGLE_LABEL, names=("onnx",)
    )
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


def test_identical_texts_are_answered_once_and_alike(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chats and logs are full of them; an int8 export could even answer them differently."""
    predictor = Predictor(run, bulk=True)
    asked: list[str] = []
    real = predictor._answerer.tokens
    monkeypatch.setattr(
        predictor._answerer, "tokens", lambda texts: asked.extend(texts) or real(texts)
    )
    texts = ["lovely rain", "a dull dog", "lovely  rain", "<b>lovely rain</b>"] * 20
    answers = predictor.predict(texts)
    assert sorted(asked) == ["a dull dog", "lovely rain"]
    assert answers[0] == answers[2] == answers[3] == answers[-1] != answers[1]


def test_bulk_and_single_texts_agree(run: Path) -> None:
    """Which way a text goes through must not show in its answer."""
    texts = [f"the {word} film " * n for n in range(1, 20) for word in ("lovely", "dull")]
    one_by_one = [Predictor(run).predict([text])[0] for text in texts]
    for predictor in (Predictor(run), Predictor(run, bulk=True)):
        for mine, its in zip(predictor.predict(texts), one_by_one, strict=True):
            assert mine.label == its.label
            assert mine.probability == pytest.approx(its.probability, abs=1e-5)
            assert list(mine.probabilities) == ["negative", "positive"]


def test_transformers_serves_where_the_gate_chose_none(run: Path, teacher: Path) -> None:
    """No export may be the fastest; the student is still there."""
    gate = run / "export" / "gate.json"
    before = read_json(gate)
    (run / "student").symlink_to(teacher)
    try:
        write_json(gate, before | {"best_bulk": None})
        predictor = Predictor(run, bulk=True)
        assert predictor.runtime == "transformers"
        texts = ["superb film", "a dull and awful story"] * 20
        expected = [one.label for one in Predictor(run).predict(texts)]
        assert [one.label for one in predictor.stream(texts, size=7)] == expected
    finally:
        write_json(gate, before)


def test_a_stream_tells_which_text_is_empty(run: Path) -> None:
    """Counted from the stream's start; all windows before it have been answered."""
    texts = ["lovely rain"] * 7 + ["  "] + ["rain"] * 5
    got: list[Prediction] = []
    with pytest.raises(ExportError, match="text 8: it is empty"):
        got.extend(Predictor(run, bulk=True).stream(iter(texts), size=3))
    assert len(got) == 6


def test_refuses_a_folder_without_a_finished_run(tmp_path: Path) -> None:
    """The message must say what to name instead."""
    with pytest.raises(ExportError, match="no finished run"):
        Predictor(tmp_path)


def test_refuses_empty_texts(run: Path) -> None:
    """An answer to nothing is noise with a probability."""
    with pytest.raises(ExportError, match="text 2: it is empty"):
        Predictor(run).predict(["fine", "<br>"])
