"""Thin models as ONNX files: what was taken out is gone there too, and the answers are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.recipe import CleanConfig, TeacherConfig
from limbeck.export.onnx_files import export_variants
from limbeck.runtime.onnx_model import OnnxAnswerer
from limbeck.runtime.transformers_model import from_folder
from limbeck.student.pruned import factor, whole
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.teacher.family import family_of
from limbeck.teacher.load import load_classifier, look_at
from limbeck.teacher.thin import PATHS, Kept, make_thin, save_thin

TEXTS = ["the film was lovely", "a dull story", "his dog was superb by the sea", "rain"]


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "mpnet", "modernbert"])
def test_a_thin_model_is_exported_as_thin_as_it_is(
    tiny: dict[str, dict[str, Any]],
    write_tokenizer: Callable[..., Any],
    model_type: str,
    tmp_path: Path,
) -> None:
    """The export is what is served: heads that came back there would cost what they cost before."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    assert model_type in PATHS
    tokenizer = write_tokenizer(tmp_path / "thin")
    settings = {key: value for key, value in tiny[model_type].items() if key != "model_type"}
    settings["vocab_size"] = len(tokenizer)
    config = AutoConfig.for_model(model_type, **settings)
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    family = family_of(config, "here")
    there = whole(model, family)
    count = sum(p.numel() for p in model.parameters())
    kept = Kept(
        tuple(layer[n % len(layer) :][: 1 + n % 2] for n, layer in enumerate(there.heads)),
        tuple(layer[:: 2 + n] for n, layer in enumerate(there.neurons)),
        rank=4,
    )
    make_thin(model, family, kept)
    factor(model, np.ones(len(tokenizer)), 4)
    save_thin(model.eval(), kept, tmp_path / "thin")
    made = export_variants(
        tmp_path / "thin",
        tmp_path / "export",
        max_tokens=32,
        clean=CleanConfig(),
        task=SINGLE_LABEL,
        names=("onnx", "onnx_fused", "onnx_int8"),
    )
    fusable = model_type != "modernbert"
    assert [variant.failure is None for variant in made] == [True, fusable, True]
    reference = from_folder(str(tmp_path / "thin"), max_tokens=32)
    for variant in made[: 1 + fusable]:
        for texts in (TEXTS[:1], TEXTS):
            np.testing.assert_allclose(
                OnnxAnswerer(variant.path).logits(texts),
                reference.logits(texts),
                atol=2e-5,
                rtol=1e-4,
            )
    assert sum(p.numel() for p in model.parameters()) < 0.8 * count


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
