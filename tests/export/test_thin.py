"""Exports of models whose layers have fewer heads than their config says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from limbeck.config.recipe import CleanConfig, TeacherConfig
from limbeck.export.onnx_files import export_variants
from limbeck.runtime.onnx_model import OnnxAnswerer
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.teacher.load import load_classifier, look_at
from limbeck.teacher.thin import Kept, make_thin, save_thin


@pytest.mark.parametrize("heads", [(1, 1, 1, 1), (3, 1, 2, 4), (2, 3, 3, 1)])
def test_fused_attention_has_the_heads_that_are_left(
    random_teacher: Path, tmp_path: Path, heads: tuple[int, ...]
) -> None:
    """Cut into the config's number of heads, the export answers otherwise, or not at all."""
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    model = load_classifier(checkpoint)
    for name, weight in model.named_parameters():
        if "query" in name or "key" in name:
            weight.data *= 30  # so that attention is far from equal
    kept = Kept(tuple(tuple(range(count)) for count in heads), (tuple(range(20)),) * 4)
    make_thin(model, checkpoint.family, kept)
    save_thin(model, kept, tmp_path)
    checkpoint.tokenizer.save_pretrained(tmp_path)
    made = export_variants(
        tmp_path, tmp_path / "out", max_tokens=32, clean=CleanConfig(), task=SINGLE_LABEL,
        names=("onnx", "onnx_fused", "onnx_int8", "onnx_fused_int8"),
    )  # fmt: skip
    assert [one.failure for one in made] == [None] * 4
    texts = ["the film was superb", "a dull and stale story of one man and his dog"]
    said = [OnnxAnswerer(one.path).logits(texts) for one in made]
    assert np.allclose(said[1], said[0], atol=1e-5)
    assert np.allclose(said[3], said[2], atol=0.02)
