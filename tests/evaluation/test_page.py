"""The page: complete, safe to open, and whole in every shape that a run can take."""

import html
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from limbeck.evaluation.labelling import Box, place_labels
from limbeck.evaluation.page import render_page
from limbeck.evaluation.report import Disagreement, Export, Performance, Report, Span

SCRIPT = "<script>alert('student')</script>"
TEXT = f'not a {SCRIPT} film </td> & "quoted" $x_^$'


def span(value):
    return Span(value=value, low=value - 0.021, high=value + 0.019)


def performance(names=("negative", "positive"), **changed):
    rows = 200
    figures = {
        "score": span(0.8887), "latency_ms_p50": 5.41, "latency_ms_p95": 7.13,
        "texts_per_s": 389.0, "size_mb": 69.2, "parameters": 17_300_000,
        "encoder_parameters": 5_300_000, "runtime": "transformers",
        "metrics": {"precision": 0.8893, "recall": 0.8881, "f1": 0.8886}, "agreement": 0.951,
        "calibration_error": 0.0314,
        "peak_memory_mb": 571.0, "train_seconds": 1204.0,
        "per_class": {
            name: {"precision": 0.871, "recall": 0.862, "f1": 0.5 + place / 400, "support": rows}
            for place, name in enumerate(names)
        },
        "confusion": ((rows - len(names)) * np.eye(len(names), dtype=int) + 1).tolist(),
    }  # fmt: skip
    return Performance(**{**figures, **changed})


def export(name, *, reason="", **changed):
    figures = {
        "score": span(0.8876), "score_change": -0.0011, "flips": 5, "latency_ms_p50": 0.61,
        "latency_ms_p95": 0.73, "texts_per_s": 5333.0, "size_mb": 11.3, "parameters": 17_300_000,
        "peak_memory_mb": 198.0,
    }  # fmt: skip
    figures.update(changed)
    return Export(name=name, file=f"{name}.onnx", accepted=not reason, reason=reason, **figures)


def unmade(name, reason):
    return export(
        name, reason=reason, score=None, score_change=None, flips=None, latency_ms_p50=None,
        latency_ms_p95=None, texts_per_s=None, size_mb=None, peak_memory_mb=None,
    )  # fmt: skip


def report(names=("negative", "positive"), **changed):
    teacher = performance(
        names, score=span(0.899), latency_ms_p50=12.34, latency_ms_p95=16.25, texts_per_s=171.0,
        size_mb=90.9, parameters=22_700_000, agreement=1.0, peak_memory_mb=612.0,
        train_seconds=None,
    )  # fmt: skip
    parts = {
        "limbeck_version": "0.1.0",
        "machine": {"processor": "a fast one", "cores": 2, "gpu": None},
        "recipe": {"teacher": {"path": "models/big"}, "output": "runs/small", "seed": 17},
        "task": "single_label",
        "data": {"train_rows": 67349, "test_rows": 872, "classes": list(names)},
        "score_name": "accuracy",
        "verdict": ["The student keeps 98.9% (of 0.899).", "Distillation paid."],
        "warnings": ["872 test rows are few."],
        "teacher": teacher,
        "student": performance(names),
        "arms": {
            "control": performance(names, score=span(0.8842), train_seconds=702.0),
            "teacher_int8": performance(names, score=span(0.8979), size_mb=23.1),
        },
        "retention": span(0.9885),
        "agreement": 0.951,
        "differences": {
            "student_minus_teacher": Span(value=-0.0103, low=-0.0218, high=-0.001),
            "student_minus_control": Span(value=0.0045, low=-0.0092, high=0.0172),
        },
        "exports": [
            export("onnx_int8"),
            export("onnx_fused_int8", reason="it loses 0.0138 of the score", latency_ms_p50=0.52),
        ],
        "best_single": "onnx_int8",
        "best_bulk": "onnx_int8",
        "training": {"student": {"steps": 3150, "notes": ["layers 2, 4, 6"]}, "knowledge": "kl"},
        "disagreements": [
            Disagreement(
                id="test/3", text=TEXT, label=names[0], teacher=names[0], student=names[1],
                teacher_probability=0.998, student_probability=0.913,
            )
        ],
    }  # fmt: skip
    return Report(**{**parts, **changed})


LOG = [
    {"arm": "student", "step": step, "hard": 1 / step, "logits_kl": 9 / step, "loss": 5 / step,
     "learning_rate": 1e-4, "epoch": 0, "examples_per_s": 400.0, "tokens_per_s": 6000.0}
    for step in range(1, 1000)
] + [
    {"arm": arm, "step": step, "validation_score": 0.8 + step / 10_000}
    for arm in ("student", "control")
    for step in (300, 600, 900)
]  # fmt: skip


class Page(HTMLParser):
    """The tags, attributes and text of a page, as a browser would see them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open, self.pieces = [], [], [], []
        self.feed(page)
        self.close()
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in ("meta", "wbr", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.pieces.append(data + ("" if data.endswith("_") else " "))


@pytest.fixture(scope="module")
def page():
    return render_page(report(), LOG)


@pytest.fixture(scope="module")
def text(page):
    return Page(page).text


@pytest.mark.parametrize(
    "figure",
    ["0.8990", "0.8887", "0.8842", "0.8979", "0.8876", "0.868–0.908", "98.9%", "95.1%", "12.34",
     "5.41", "0.61", "0.52", "16.25", "7.13", "0.73", "171", "389", "5,333", "90.9", "69.2", "23.1",
     "11.3", "612", "571", "198", "22.7", "17.3", "20.1 min", "11.7 min", "5 flips",
     "20×", "31×", "8.0×", "1.3×"],
)  # fmt: skip
def test_a_figure_of_the_table_stands_in_the_page(text, figure):
    assert figure in text


def test_everything_else_that_was_measured_stands_in_the_page(page):
    text = Page(page).text
    for told in (
        "runs/small", "models/big", "98.9%", "(of 0.899)", "Distillation paid.",
        "872 test rows are few.", "0.871", "0.862", "0.031", "67,349", "seed: 17", "a fast one",
        "3,150", "Student: layers 2, 4, 6.", "test/3", "99.8%", "91.3%", "report.json",
        "1.03 points less than the teacher (interval −2.18 to −0.10 points of accuracy)",
        "0.45 points more than the control arm",
    ):  # fmt: skip
        assert told in text


def test_only_an_interval_without_0_tells_two_models_apart(page):
    text = Page(page).text
    teacher, control = text.split("0.45 points more than the control arm")
    assert teacher.rstrip().endswith("The interval excludes 0. The student scores")
    assert "The interval includes 0" in control


def test_a_user_s_markup_is_text():
    """A text of the test set must not run in the browser of whoever opens the report."""
    names = (f"{SCRIPT}0", f"{SCRIPT}1")
    hostile = report(
        names,
        warnings=[SCRIPT],
        verdict=[f"a ({SCRIPT}) b"],
        recipe={"output": SCRIPT, "teacher": SCRIPT},
        machine={SCRIPT: SCRIPT},
        exports=[unmade("onnx", SCRIPT)],
        training={"student": {SCRIPT: SCRIPT, "notes": [SCRIPT]}},
    )
    page = render_page(hostile, LOG)
    seen = Page(page)
    assert "script" not in seen.tags
    assert "<script" not in page
    assert " ".join(TEXT.split()) in seen.text
    assert html.escape(SCRIPT).replace("&#x27;", "&#39;") in page


def test_nothing_is_loaded_from_anywhere():
    """A report is opened offline, from mail and from archives, and must not call home."""
    for names in (["negative", "positive"], [f"class {i}" for i in range(150)]):
        page = render_page(report(names), LOG)
        seen = Page(page)
        assert not {"script", "link", "iframe", "object", "img"} & set(seen.tags)
        loads = [value for name, value in seen.attributes if name.split(":")[-1] in ("href", "src")]
        assert all(value.startswith(("#", "data:image/png")) for value in loads)
        assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", page)


def test_no_two_elements_share_an_id(page):
    """Drawings refer to their clip paths and markers by id: a shared one takes another's."""
    seen = Page(page)
    ids = [value for name, value in seen.attributes if name == "id"]
    referred = re.findall(r'(?:url\(|href=")#([\w-]+)', page)
    assert len(ids) == len(set(ids))
    assert referred
    assert set(referred) <= set(ids)


def test_a_refused_export_shows_its_figures_and_the_reason(page):
    text = Page(page).text
    assert "Refused: it loses 0.0138 of the score." in text
    assert "0.52" in text


def test_the_best_of_a_column_is_never_a_refused_export_s(page):
    """The refused one is faster here; marking it would send a reader to a broken model."""
    best = re.findall(r'<td class="best"><span>([^<]*)', page)
    assert "0.61" in best
    assert "0.52" not in best


def test_the_student_is_named_where_transformers_serves_it(page):
    """Which row of the table answers must be seen, also when it is no export."""
    assert "transformers, fastest in bulk" in Page(render_page(report(best_bulk=None), [])).text
    assert "transformers, fastest" not in Page(page).text


def test_figures_that_were_not_measured_are_dashes():
    bare = {
        "latency_ms_p50": None, "latency_ms_p95": None, "texts_per_s": None,
        "peak_memory_mb": None, "train_seconds": None,
    }  # fmt: skip
    page = render_page(
        report(
            teacher=performance(**bare),
            student=performance(**bare),
            arms={},
            differences={},
            exports=[unmade("onnx", "it could not be made: no such operator")],
            best_single=None,
            best_bulk=None,
        ),
        [],
    )
    text = Page(page).text
    assert "None" not in page
    assert "nan" not in text.split()
    assert "no such operator" in text
    assert page.count("<figure") == 1  # score against size alone


def test_a_run_without_log_control_or_accepted_export_has_a_page():
    page = render_page(
        report(arms={}, differences={}, exports=[], best_single=None, best_bulk=None,
               training={}, disagreements=[], warnings=[], recipe={}, machine={}, data={}),
        [],
    )  # fmt: skip
    text = Page(page).text
    assert "There are no lines in the log." in text
    assert "They answer every test row alike." in text
    assert "Mind when reading" not in text


@pytest.mark.parametrize("count", [2, 20, 21, 40, 41, 150])
def test_any_number_of_classes_fits_the_page(count):
    """150 classes: the worst 15, and a matrix as an image rather than 22,500 numbers."""
    names = [f"{'long_' * 30}$a_^$ 转账 {place}" for place in range(count)]
    page = render_page(report(names), LOG[:3])
    text = Page(page).text
    shown = page.split('class="classes"')[1].split("</table>")[0]
    assert shown.count("<tr>") - 2 == (count if count <= 20 else 15)
    assert (f"of {count} classes" in text) == (count > 20)
    assert ("data:image/png" in page) == (count > 40)
    assert len(page) < 400_000


def test_the_worst_classes_are_the_student_s_worst():
    names = [f"class {place}" for place in range(30)]
    shown = render_page(report(names), []).split('class="classes"')[1].split("</table>")[0]
    assert "class 0<" in shown
    assert "class 14<" in shown
    assert "class 15<" not in shown


def test_a_text_as_long_as_a_book_is_cut():
    long = report().disagreements[0].model_copy(update={"text": "word " * 200_000})
    page = render_page(report(disagreements=[long] * 20), [])
    assert len(page) < 200_000
    assert "1,000,000 characters" in Page(page).text


def test_the_page_is_the_same_every_time(page):
    """Two runs of one recipe are compared by their files."""
    assert render_page(report(), LOG) == page


def test_a_loss_that_broke_does_not_break_the_page():
    """A loss of NaN is what a reader comes to see the plot for."""
    broken = [*LOG, {"arm": "student", "step": 1000, "hard": float("nan"), "loss": float("inf")}]
    assert "<figure" in render_page(report(), broken)
    only = [{"arm": "student", "step": 1, "loss": float("nan")}]
    assert "There are no lines in the log." in render_page(report(), only)


def test_drawing_leaves_matplotlib_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    render_page(report(), LOG)
    assert dict(matplotlib.rcParams) == before


def test_labels_cover_neither_each_other_nor_the_points():
    generator = np.random.default_rng(0)
    for _ in range(5):
        anchors = [(float(x), float(y)) for x, y in generator.uniform(60, 300, size=(9, 2))]
        places = place_labels(anchors, [(70.0, 11.0)] * 9, [], Box(0, 0, 360, 360))
        boxes = [place.box for place in places]
        marks = [Box(x - 4, y - 4, x + 4, y + 4) for x, y in anchors]
        assert not any(one.overlap(other) for one, other in itertools.combinations(boxes, 2))
        assert not any(box.overlap(mark) for box, mark in itertools.product(boxes, marks))
        assert all(box.overlap(Box(0, 0, 360, 360)) == pytest.approx(770) for box in boxes)
