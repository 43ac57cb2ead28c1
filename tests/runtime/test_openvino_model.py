"""OpenVINO: absent it is a reason, present it answers as transformers does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.config.recipe import CleanConfig
from limbeck.errors import ExportError
from limbeck.export.onnx_files import export_variants
from limbeck.runtime.bulk import answer_all
from limbeck.runtime.load import load_export
from limbeck.runtime.openvino_model import openvino_failure
from limbeck.tasks.single_label import SINGLE_LABEL

TEXTS = ["the film was lovely", "a dull story", "his dog was superb by the sea", "rain"] * 30


@pytest.fixture(scope="module")
def onnx(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openvino")
    made = export_variants(
        teacher, folder, max_tokens=32, clean=CleanConfig(), task=SINGLE_LABEL, names=("onnx",)
    )
    return made[0].path


def test_without_openvino_the_reason_is_what_to_type(
    onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra: most machines do not have it, and nothing else may fail for that."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    failure = openvino_failure(onnx)
    assert failure == "openvino is not installed here (pip install 'limbeck[openvino]')"
    with pytest.raises(ExportError, match=r"pip install 'limbeck\[openvino\]'"):
        load_export("openvino", onnx)


def test_a_crash_of_its_native_code_is_a_reason(
    onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the run's own process it would end hours of training without a word."""
    monkeypatch.setitem(sys.modules, "openvino", object())
    real = subprocess.run

    def crash(command: list[str], **options: Any) -> Any:
        return real([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], **options)

    monkeypatch.setattr(subprocess, "run", crash)
    assert openvino_failure(onnx) == "its process was killed by signal 11"


def test_a_missing_file_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the float32 export failed there is nothing to read."""
    monkeypatch.setitem(sys.modules, "openvino", object())
    assert openvino_failure(tmp_path / "model.onnx") == "there is no model.onnx to read"


@pytest.mark.parametrize("bulk", [False, True])
def test_it_answers_as_onnxruntime_does(onnx: Path, bulk: bool) -> None:
    """It may choose bfloat16: near, and the same class on texts that are clear."""
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    assert openvino_failure(onnx) is None
    reference = answer_all(load_export("onnx", onnx), TEXTS)
    answers = answer_all(load_export("openvino", onnx, bulk=bulk), TEXTS)
    np.testing.assert_allclose(answers, reference, atol=0.1)
    assert (answers.argmax(1) == reference.argmax(1)).all()
