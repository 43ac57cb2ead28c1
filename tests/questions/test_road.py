"""Answers in texts, the whole road: questions in, a student that finds answers out."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.data.squad import read_questions
from limbeck.distill import distill
from limbeck.errors import DataError
from limbeck.run.trial import trial
from limbeck.training.log import read_log

WINDOW = 40

Make = Callable[..., Any]
Questions = Callable[..., list[dict[str, Any]]]
Write = Callable[[Path, list[dict[str, Any]]], Path]


def _f1(said: str, right: str) -> float:
    """Of words without punctuation; the rows have no articles in their answers."""
    own, other = (
        s.translate(str.maketrans("", "", string.punctuation)).split() for s in (said, right)
    )
    shared = sum((Counter(own) & Counter(other)).values())
    return 2 * shared / (len(own) + len(other))


def test_the_student_keeps_the_teachers_answers(finished: tuple[Path, Any]) -> None:
    """A road that loses an easy task is broken somewhere."""
    folder, report = finished
    assert (report.task, report.score_name) == ("question_answering", "F1")
    assert report.teacher.score.value > 0.9
    assert report.retention.value > 0.85
    assert report.student.score.low <= report.student.score.value <= report.student.score.high
    assert set(report.student.metrics) == {"exact_match"}
    assert report.data["unlabelled_rows"] == 40
    assert report.data["test_rows"] == 80
    assert "control" in report.arms
    manifests = [json.loads(p.read_text()) for p in folder.parent.glob("knowledge/*/manifest.json")]
    assert max(manifest["rows"] for manifest in manifests) > 640 + 80  # windows, not questions


def test_the_score_is_that_of_transformers_answers_counted_by_hand(
    finished: tuple[Path, Any], rows: dict[str, Path]
) -> None:
    """The figure must be of the model that users load, over windows that transformers cut."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    folder, report = finished
    tokenizer = AutoTokenizer.from_pretrained(folder / "student")
    model = AutoModelForQuestionAnswering.from_pretrained(folder / "student").eval()
    scores, several = [], 0
    for question in read_questions(str(rows["test"])):
        inputs = tokenizer(
            question.question, question.context, truncation="only_second", max_length=WINDOW,
            stride=WINDOW // 3, return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        best, answer = -np.inf, ""
        several += len(inputs["input_ids"]) > 1
        for window, ids in enumerate(inputs["input_ids"]):
            given = {"input_ids": ids, "token_type_ids": inputs["token_type_ids"][window]}
            with torch.inference_mode():
                said = model(**{name: torch.tensor([value]) for name, value in given.items()})
            starts, ends = said.start_logits[0].tolist(), said.end_logits[0].tolist()
            context = [i for i, s in enumerate(inputs.sequence_ids(window)) if s == 1]
            places = inputs["offset_mapping"][window]
            for first in context:
                for last in range(first, min(first + 30, context[-1] + 1)):
                    if starts[first] + ends[last] > best + 1e-6:
                        best = starts[first] + ends[last]
                        answer = question.context[places[first][0] : places[last][1]]
        assert question.answers is not None
        scores.append(_f1(answer, question.answers[0].text))
    assert several > 10
    assert report.student.score.value == pytest.approx(np.mean(scores))


def test_exports_answer_as_the_student_does(finished: tuple[Path, Any]) -> None:
    """A gate that compares nothing would let anything through."""
    _, report = finished
    exports = {export.name: export for export in report.exports}
    for name in ("onnx", "onnx_fused"):
        assert exports[name].score is not None, exports[name].reason
        assert exports[name].flips == 0
        assert exports[name].score_change == 0


def test_disagreements_show_question_context_and_answers(
    make: Make, tmp_path: Path, rows: dict[str, Path]
) -> None:
    """Characters alone tell nobody what went wrong."""
    report = distill(
        make(tmp_path, training__epochs=1, training__learning_rate=1e-6, student__layers=1)
    )
    asked_about = {q.id: q for q in read_questions(str(rows["test"]))}
    assert report.disagreements
    for one in report.disagreements:
        question = asked_about[one.id.removeprefix("test/")]
        assert question.answers is not None
        assert one.text == f"{question.question}\n{question.context}"
        assert one.label == question.answers[0].text
        assert one.teacher in question.context
        assert one.student in question.context
        assert one.teacher != one.student or question.context.count(one.student) > 1
    page = (tmp_path / "run" / "report.html").read_text()
    assert "F1" in page


def test_the_student_is_served_by_the_lines_of_its_card(finished: tuple[Path, Any]) -> None:
    """Transformers 5 has no pipeline for it: the card must say what works."""
    card = (finished[0] / "student" / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    code = code.replace("<this folder>", str(finished[0] / "student"))
    code = code.replace("The river runs to the sea.", "the man saw anna smith in oslo")
    code = code.replace("Where to?", "who was it")
    told: list[Any] = []
    exec(code, {"print": told.append})
    assert told == ["anna smith"]
    assert "pipeline(" not in card


def test_the_predictor_finds_answers_in_long_texts(finished: tuple[Path, Any]) -> None:
    """Behind the first window too, with the characters of the text that was given."""
    from limbeck.serve.predictor import Predictor

    context = "the rain and  the sea " * 12 + "and boris jones saw a dog " + "in the rain " * 10
    for bulk in (False, True):
        predictor = Predictor(finished[0], bulk=bulk)
        one, other = predictor.predict([("who was it", context), ("where was it", "a dog in rome")])
        assert one.label == "boris jones"
        assert one.span is not None
        assert context[slice(*one.span)] == "boris jones"
        assert 0.2 < (one.probability or 0) <= 1
        assert (other.label, other.span) == ("rome", (9, 13))


def test_predict_writes_answers_as_json_lines(
    finished: tuple[Path, Any], rows: dict[str, Path], tmp_path: Path, write: Write
) -> None:
    """Programs read these keys; files of questions need no answers."""
    from limbeck.cli.predicting import predict_file

    row = {"question": "where was it", "context": "a dog in oslo"}
    texts = write(tmp_path / "texts.jsonl", [row])
    predict_file(finished[0], str(texts), None, None, tmp_path / "out.jsonl")
    [line] = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert line.keys() == {"answer", "start", "end", "score"}
    assert (line["answer"], line["start"], line["end"]) == ("oslo", 9, 13)
    predict_file(finished[0], str(rows["validation"]), None, None, tmp_path / "squad.jsonl")
    assert len((tmp_path / "squad.jsonl").read_text().splitlines()) == 60


def test_predict_reads_questions_from_standard_input(
    finished: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe carries lines, and a question has two texts."""
    import io

    from limbeck.cli.predicting import predict_file

    line = json.dumps({"question": "where was it", "context": "a dog in oslo"})
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))
    predict_file(finished[0], "-", None, None, None)
    assert json.loads(capsys.readouterr().out)["answer"] == "oslo"
    monkeypatch.setattr("sys.stdin", io.StringIO("where was it\n"))
    with pytest.raises(DataError, match="no JSON object"):
        predict_file(finished[0], "-", None, None, None)


def test_questions_without_an_answer_are_learned_and_said(
    rows: dict[str, Path], make: Make, tmp_path: Path, taught: Callable[[str, Path], float]
) -> None:
    """SQuAD 2: an answer that must be given is wrong for each of them."""
    from limbeck.serve.predictor import Predictor

    teacher = tmp_path / "teacher"
    assert taught("lacking", teacher) > 0.75
    report = distill(
        make(
            tmp_path,
            teacher__path=str(teacher),
            data__train=str(rows["lacking"]),
            data__validation=None,
            data__test=str(rows["lacking_test"]),
            training__epochs=3,
        )
    )
    assert report.teacher.metrics["no_answer_accuracy"] > 0.6
    assert report.student.metrics["no_answer_accuracy"] > 0.5
    assert report.student.metrics["f1_of_answerable"] > 0.6
    assert 0.1 < report.student.metrics["answerable"] < 0.9
    [one] = Predictor(tmp_path / "run").predict([("where was it", "the man saw anna and a dog")])
    assert (one.label, one.span) == ("", None)


@pytest.mark.parametrize("method", ["logits", "hidden", "tinybert"])
def test_live_teacher_and_recorded_knowledge_give_the_same_losses(
    make: Make, tmp_path: Path, method: str
) -> None:
    """Recording is a shortcut, not another method; here windows of all rows must stay in order."""
    losses = {}
    for source in ("recorded", "live"):
        made = make(tmp_path, method=method, knowledge__source=source, training__epochs=1)
        trial(made, folder=tmp_path / source)
        lines = read_log(tmp_path / source / "log.jsonl")
        losses[source] = [line["loss"] for line in lines if "loss" in line]
    np.testing.assert_allclose(losses["recorded"], losses["live"], rtol=1e-4)


def test_parts_of_a_step_weigh_windows(make: Make, tmp_path: Path) -> None:
    """2 x 16 rows must train like 1 x 32, though their places differ in number."""
    losses = []
    for parts in (1, 2):
        output = tmp_path / f"parts-{parts}"
        made = make(tmp_path, training__accumulate=parts, student__dropout=0.0, training__epochs=1)
        trial(made, folder=output)
        losses.append([line["loss"] for line in read_log(output / "log.jsonl") if "loss" in line])
    np.testing.assert_allclose(losses[0][:5], losses[1][:5], rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"student__hidden": 16, "student__layers": 4}, 0.8),
        ({"student__architecture": "distilbert"}, 0.8),
        ({"student__architecture": "albert"}, 0.8),
        ({"student__architecture": "mobilebert"}, 0.2),
        ({"student__pruning__heads": 2, "student__pruning__neurons": 32}, 0.8),
    ],
)
def test_students_of_other_shapes_keep_the_head(
    make: Make, tmp_path: Path, settings: dict[str, Any], least: float
) -> None:
    """A head that starts anew answers at random for long, and a folder without one is useless."""
    from transformers import AutoModelForQuestionAnswering

    done = trial(make(tmp_path, training__epochs=1, **settings))
    score = done.plan.task.parts(done.student_logits, done.plan.material.test.labels).mean()
    assert score >= least
    done.arm.save(tmp_path / "student")
    model, info = AutoModelForQuestionAnswering.from_pretrained(
        tmp_path / "student", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert model.config.id2label == {0: "start", 1: "end"}


def test_evaluate_and_export_read_questions(
    make: Make, finished: tuple[Path, Any], rows: dict[str, Path], tmp_path: Path
) -> None:
    """`limbeck evaluate` and `limbeck export` read rows and heads by a road of their own."""
    from limbeck.compare import compare, export_gated
    from limbeck.files import read_json

    folder, report = finished
    found = compare(make(tmp_path, data__train=str(rows["test"])), str(folder / "student"))
    assert found.teacher.score.value == pytest.approx(report.teacher.score.value)
    assert found.student.score.value == pytest.approx(report.student.score.value)
    made = make(tmp_path, data__train=str(rows["test"]), teacher__path=str(folder / "student"))
    exports = export_gated(made, tmp_path / "exported")
    assert {export.name for export in exports if export.score is not None} >= {"onnx"}
    facts = read_json(tmp_path / "exported" / "limbeck.json")
    assert (facts["task"], facts["no_answer"]) == ("question_answering", False)
