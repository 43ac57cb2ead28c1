"""The gate: exports that are right pass, exports that are not are named with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import CleanConfig, ExportConfig
from limbeck.evaluation.bootstrap import Resamples
from limbeck.evaluation.measure import Measurements
from limbeck.evaluation.speed import Speed
from limbeck.export.gate import best_bulk, best_single, judge
from limbeck.export.onnx_files import Variant, export_variants, remove_unaccepted
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.onnx_model import OnnxAnswerer
from limbeck.runtime.transformers_model import from_folder
from limbeck.tasks.single_label import SINGLE_LABEL

TEXTS = ["the film was lovely", "a dull story", "his dog was superb by the sea", "rain", "one man"]


@pytest.fixture(scope="module")
def exported(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Variant]:
    folder = tmp_path_factory.mktemp("export")
    return export_variants(teacher, folder, max_tokens=32, clean=CleanConfig(), task=SINGLE_LABEL)


def test_every_variant_is_made(exported: list[Variant]) -> None:
    """A BERT teacher is what most users have."""
    failures = {variant.name: variant.failure for variant in exported}
    openvino = failures.pop("openvino")
    assert list(failures.values()) == [None] * 4
    assert openvino is None or "not installed" in openvino


@pytest.mark.parametrize("name", ["onnx", "onnx_fused"])
def test_float_exports_answer_as_transformers_does(
    exported: list[Variant], teacher: Path, name: str
) -> None:
    """Single texts, padded batches, and lengths that the export never saw."""
    path = next(variant.path for variant in exported if variant.name == name)
    reference = from_folder(str(teacher), max_tokens=32)
    answerer = OnnxAnswerer(path)
    long = " ".join(["the film was a story of rain"] * 9)
    for texts in ([TEXTS[0]], TEXTS, [long], [long, "rain"]):
        np.testing.assert_allclose(
            answerer.logits(texts), reference.logits(texts), atol=2e-5, rtol=1e-4
        )


def test_int8_exports_are_near_and_smaller(exported: list[Variant], teacher: Path) -> None:
    """Quantization moves logits a little, never the easy answers."""
    reference = answer_all(from_folder(str(teacher), max_tokens=32), TEXTS)
    whole = next(v.path for v in exported if v.name == "onnx").stat().st_size
    for name in ("onnx_int8", "onnx_fused_int8"):
        path = next(variant.path for variant in exported if variant.name == name)
        answers = answer_all(OnnxAnswerer(path), TEXTS)
        assert (answers.argmax(1) == reference.argmax(1)).all()
        assert path.stat().st_size < whole


@pytest.mark.parametrize("name", ["onnx", "onnx_fused"])
def test_bulk_gives_a_text_the_logits_that_it_has_alone(
    exported: list[Variant], teacher: Path, name: str
) -> None:
    """Sorting, cutting, padding and several batches at a time change nothing but rounding."""
    path = next(variant.path for variant in exported if variant.name == name)
    long = " ".join(["the film was a story of rain"] * 9)
    texts = [" ".join(["rain"] * (1 + n % 40)) for n in range(150)] + [long, *TEXTS, *TEXTS]
    alone = OnnxAnswerer(path)
    expected = np.concatenate([alone.logits([text]) for text in texts])
    for answerer in (OnnxAnswerer(path, bulk=True), from_folder(str(teacher), max_tokens=32)):
        np.testing.assert_allclose(answer_all(answerer, texts), expected, atol=2e-5, rtol=1e-4)


def test_layers_that_share_weights_are_all_quantized_once(
    write_tokenizer: Callable[..., Any], tmp_path: Path
) -> None:
    """One layer in int8 and the others in float32 make a file of more than the float32 one."""
    import torch
    from transformers import AlbertConfig, AlbertForSequenceClassification

    tokenizer = write_tokenizer(tmp_path / "albert")
    config = AlbertConfig(
        vocab_size=len(tokenizer), hidden_size=128, embedding_size=32, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=512, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AlbertForSequenceClassification(config)
    model.save_pretrained(tmp_path / "albert")
    names = ("onnx", "onnx_int8")
    source = tmp_path / "albert"
    made = export_variants(
        source, tmp_path / "out", max_tokens=32, clean=CleanConfig(), task=SINGLE_LABEL, names=names
    )
    sizes = {variant.name: variant.path.stat().st_size for variant in made}
    weights = sum(parameter.numel() for parameter in model.parameters())
    # Scales, biases and the graph itself are the rest; the graph does not grow with the weights.
    assert sizes["onnx"] < 4.2 * weights + 150_000
    assert sizes["onnx_int8"] < 1.1 * weights + 150_000
    reference = from_folder(str(source), max_tokens=32).logits(TEXTS)
    answers = {variant.name: OnnxAnswerer(variant.path).logits(TEXTS) for variant in made}
    np.testing.assert_allclose(answers["onnx"], reference, atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(answers["onnx_int8"], reference, atol=0.05)


def test_a_failing_exporter_leaves_the_others(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tool that breaks must not cost the user the rest, nor leave half a file."""

    def fail(*_: Any) -> None:
        raise RuntimeError("no such operator\nand much more")

    monkeypatch.setattr("limbeck.export.onnx_files._fuse", fail)
    made = export_variants(teacher, tmp_path, max_tokens=32, clean=CleanConfig(), task=SINGLE_LABEL)
    failures = {variant.name: variant.failure for variant in made}
    assert failures["onnx"] is None
    assert failures["onnx_int8"] is None
    assert failures["onnx_fused"] == "RuntimeError: no such operator"
    assert failures["onnx_fused_int8"] is not None
    assert not list(tmp_path.glob(".*part*"))


def _measured(logits: np.ndarray, labels: np.ndarray, speed: Speed) -> Measurements:
    student = np.stack([1.0 - labels, labels.astype(float)], axis=1)
    parts = {
        "student": (student.argmax(1) == labels).astype(float),
        "onnx": (logits.argmax(1) == labels).astype(float),
    }
    return Measurements(
        logits={"student": student, "onnx": logits},
        speed={"student": Speed(5.0, 6.0, 300.0), "onnx": speed},
        memory_mb={"student": None, "onnx": None},
        resamples=Resamples(parts, count=50, confidence=0.95, seed=0),
    )


def _judge(flipped: int, speed: Speed, tmp_path: Path, *, nan: bool = False) -> Any:
    labels = np.arange(100) % 2
    logits = np.stack([1.0 - labels, labels.astype(float)], axis=1)
    logits[:flipped] = logits[:flipped, ::-1]
    if nan:
        logits[0] = np.nan
    path = tmp_path / "model.onnx"
    path.write_bytes(b"0" * 1000)
    measured = _measured(logits, labels, speed)
    return judge(
        [Variant("onnx", path)], measured, SINGLE_LABEL, parameters=10, config=ExportConfig()
    )[0]


FAST = Speed(1.0, 2.0, 1000.0)


def test_takes_what_is_as_good_and_faster(tmp_path: Path) -> None:
    """The usual case."""
    export = _judge(0, FAST, tmp_path)
    assert export.accepted
    assert export.reason == ""
    assert export.flips == 0
    assert best_single([export], 5.0) == best_bulk([export], 300.0) == "onnx"


def test_refuses_a_lost_score(tmp_path: Path) -> None:
    """int8 breaks some models; this is what users of other tools complain about most."""
    export = _judge(1, FAST, tmp_path)
    assert not export.accepted
    assert "loses 0.0100 of the student's score" in export.reason
    assert export.flips == 1
    assert best_single([export], 5.0) is None


def test_refuses_flips_that_cancel_out(tmp_path: Path) -> None:
    """Equal scores can hide a tenth of the answers changed."""
    labels = np.arange(100) % 2
    student = np.stack([1.0 - labels, labels.astype(float)], axis=1)
    student[:5] = student[:5, ::-1]
    logits = np.stack([1.0 - labels, labels.astype(float)], axis=1)
    logits[5:10] = logits[5:10, ::-1]
    answers = {"student": student, "onnx": logits}
    parts = {name: (values.argmax(1) == labels) * 1.0 for name, values in answers.items()}
    measured = Measurements(
        logits=answers,
        speed={"student": Speed(5.0, 6.0, 300.0), "onnx": FAST},
        memory_mb={"student": None, "onnx": None},
        resamples=Resamples(parts, count=50, confidence=0.95, seed=0),
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(b"0")
    export = judge(
        [Variant("onnx", path)], measured, SINGLE_LABEL, parameters=1, config=ExportConfig()
    )[0]
    assert export.score_change == 0.0
    assert not export.accepted
    assert "answers 10 of 100 test rows otherwise" in export.reason


def test_refuses_what_is_slower_here(tmp_path: Path) -> None:
    """An export that is slower has no reason to exist."""
    export = _judge(0, Speed(7.0, 9.0, 100.0), tmp_path)
    assert not export.accepted
    assert "slower here" in export.reason


def test_transformers_serves_where_it_is_faster(tmp_path: Path) -> None:
    """An export may be taken for single texts and still lose in bulk, as on a GPU."""
    export = _judge(0, Speed(1.0, 2.0, 299.0), tmp_path)
    assert export.accepted
    assert best_single([export], 5.0) == "onnx"
    assert best_bulk([export], 300.0) is None
    assert best_bulk([export], None) == "onnx"
    assert best_single([], 5.0) is None


def test_a_file_stays_while_an_accepted_variant_reads_it(tmp_path: Path) -> None:
    """The gate may refuse onnxruntime on the file that OpenVINO serves from."""
    for name in ("model.onnx", "model_int8.onnx"):
        (tmp_path / name).write_bytes(b"0")
    remove_unaccepted(tmp_path, keep={"openvino"})
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    remove_unaccepted(tmp_path, keep=set())
    assert not list(tmp_path.iterdir())


def test_refuses_nan(tmp_path: Path) -> None:
    """Argmax of NaN is a class, too."""
    assert "NaN" in _judge(0, FAST, tmp_path, nan=True).reason
