"""Rerankers, the whole road: queries with candidates in, a student that ranks them out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from limbeck.cli.predicting import predict_file
from limbeck.compare import compare, export_gated
from limbeck.config.load import load_recipe
from limbeck.data.candidates import Candidates
from limbeck.errors import ExportError
from limbeck.files import read_json
from limbeck.run.recording import record_texts
from limbeck.serve.predictor import Predictor

Make = Callable[..., Any]
Row = dict[str, Any]
Save = Callable[[Path, list[Row]], str]
Finished = tuple[Path, Any]


def _rows(path: str) -> list[Row]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def _cross_encoder(folder: Path) -> Any:
    library = pytest.importorskip("sentence_transformers", reason="it is another library's loader")
    return library.CrossEncoder(str(folder), max_length=32, device="cpu")


def test_the_student_keeps_the_teachers_order(finished: Finished) -> None:
    """A road that loses an easy task is broken somewhere."""
    _, report = finished
    assert (report.task, report.score_name) == ("reranking", "nDCG@10")
    assert report.teacher.score.value > 0.95
    assert report.retention.value > 0.95
    assert set(report.student.metrics) == {"mrr_at_10", "relevant_first"}
    assert report.agreement > 0.8
    assert 0.9 < report.arms["control"].score.value <= 1


def test_rows_are_queries_throughout(finished: Finished) -> None:
    """Candidates counted as rows would shrink every interval, and double what is few."""
    _, report = finished
    data = report.data
    assert (data["train_rows"], data["train_rows_used"], data["train_rows_labelled"]) == (
        300,
        360,
        300,
    )
    assert (data["validation_rows"], data["test_rows"]) == (40, 50)


def test_the_report_is_whole(finished: Finished) -> None:
    """Programs and people read it as that of any task."""
    run, _ = finished
    schema = read_json(Path(__file__).parents[2] / "docs" / "report.schema.json")
    jsonschema.validate(read_json(run / "report.json"), schema)
    page = (run / "report.html").read_text()
    assert "nDCG@10" in page
    card = (run / "student" / "README.md").read_text()
    assert "CrossEncoder" in card
    assert "library_name: sentence-transformers" in card
    assert "pipeline_tag: text-ranking" in card


def test_queries_reach_the_process_that_measures_memory() -> None:
    """JSON has no tuples, and what arrives as another kind of row measures another thing."""
    from limbeck.evaluation.memory import _item, _told

    item = Candidates("which river", ("the Rhine", "rain"))
    assert _item(json.loads(json.dumps(_told(item)))) == item


def test_the_student_is_a_cross_encoder_of_the_same_scores(
    finished: Finished, rows: dict[str, str]
) -> None:
    """Nobody changes a service's scores to serve a smaller model in it."""
    run, report = finished
    model = _cross_encoder(run / "student")
    told = Predictor(run).predict(
        [Candidates(row["query"], tuple(row["passages"])) for row in _rows(rows["test"])]
    )
    scores = []
    for row, one in zip(_rows(rows["test"]), told, strict=True):
        theirs = model.predict([(row["query"], passage) for passage in row["passages"]])
        np.testing.assert_allclose(one.scores, theirs, atol=0.2)  # an int8 export may have answered
        scores.append(ndcg_score([row["labels"]], [theirs], k=10))
    assert np.mean(scores) == pytest.approx(report.student.score.value, abs=1e-6)


def test_the_float_export_scores_as_the_cross_encoder_to_1e_5(
    finished: Finished, rows: dict[str, str]
) -> None:
    """The gate lets an order change here and there; the graph itself must be the model's."""
    from limbeck.runtime.onnx_model import OnnxAnswerer

    run, report = finished
    assert report.export("onnx").accepted
    row = _rows(rows["test"])[0]
    item = Candidates(row["query"], tuple(row["passages"]))
    said = OnnxAnswerer(run / "export" / "model.onnx").logits([item, item])
    theirs = _cross_encoder(run / "student").predict(item.pairs())
    np.testing.assert_allclose(said.values, [*theirs, *theirs], atol=1e-5)


def test_predictions_of_lists_are_a_line_a_query(
    finished: Finished, rows: dict[str, str], tmp_path: Path
) -> None:
    """Ranks that belong to other passages are worse than none."""
    run, _ = finished
    predict_file(run, rows["test"], None, None, tmp_path / "out.jsonl")
    lines, asked = _rows(str(tmp_path / "out.jsonl")), _rows(rows["test"])
    assert len(lines) == len(asked)
    for line, row in zip(lines, asked, strict=True):
        assert line["query_id"] == row["query_id"]
        assert sorted(line["ranks"]) == [1, 2, 3, 4, 5]
        order = np.argsort(line["ranks"])
        assert np.all(np.diff(np.array(line["scores"])[order]) <= 0)
        assert row["labels"][order[0]] == 2


def test_predictions_of_pairs_are_a_line_a_pair_ranked_within_their_query(
    finished: Finished, rows: dict[str, str], tmp_path: Path, pairs: Any, save: Save
) -> None:
    """Rows of a query lie anywhere in a file, and its lines are joined to others by number."""
    run, _ = finished
    asked = pairs(_rows(rows["test"]))
    source = save(tmp_path / "pairs.jsonl", [*asked, asked[0]])
    predict_file(run, source, None, None, tmp_path / "pairs_out.jsonl")
    predict_file(run, rows["test"], None, None, tmp_path / "out.jsonl")
    whole = {line["query_id"]: line for line in _rows(str(tmp_path / "out.jsonl"))}
    passages = {row["query_id"]: row["passages"] for row in _rows(rows["test"])}
    lines = _rows(str(tmp_path / "pairs_out.jsonl"))
    assert lines[-1] == lines[0]
    for line, row in zip(lines, asked, strict=False):
        assert line["query_id"] == row["query_id"]
        place = passages[row["query_id"]].index(row["passage"])
        assert line["score"] == pytest.approx(whole[row["query_id"]]["scores"][place], abs=0.2)
        first = {"rank": 1} if row["label"] == 2 else {}
        assert line | first == line


def test_a_run_of_rerankers_answers_queries_alone(finished: Finished) -> None:
    """A score of one text means nothing."""
    predictor = Predictor(finished[0])
    (told,) = predictor.predict([("the film", ["dull story awful", "a superb bright dog"])])
    assert told.label == "a superb bright dog"
    assert told.ranks == (2, 1)
    assert told.scores[1] > told.scores[0]
    for odd in ("a text", ("a text", "another"), ("a text", [])):
        with pytest.raises(ExportError, match="ranks the candidates of a query"):
            predictor.predict([odd])
    with pytest.raises(ExportError, match="one of its texts is"):
        predictor.predict([("a text", ["fine", " "])])


def test_evaluate_and_export_read_pairs_too(
    finished: Finished, ranker: Path, rows: dict[str, str], tmp_path: Path
) -> None:
    """Both begin with the model's folder, which does not say that it ranks: the rows do."""
    run, _ = finished
    values = {
        "teacher.path": str(ranker), "data.train": rows["validation"], "data.max_tokens": 32,
        "evaluation.bootstrap": 50, "evaluation.speed_rounds": 1, "evaluation.speed_texts": 5,
        "evaluation.memory": False, "knowledge.folder": str(tmp_path / "knowledge"),
    }  # fmt: skip
    judged = load_recipe(None, values=values)
    found = compare(judged, str(run / "student"))
    assert (found.score_name, found.rows) == ("nDCG@10", 40)
    assert found.agreement > 0.8
    exports = export_gated(judged, tmp_path / "export")
    assert exports[0].accepted
    assert read_json(tmp_path / "export" / "limbeck.json")["task"] == "reranking"
    place = record_texts(judged)
    manifest = read_json(place / "manifest.json")
    assert manifest["rows"] == 200  # pairs
