"""Thin models as ONNX files: what was taken out is gone there too, and the answers are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.recipe import CleanConfig
from limbeck.export.onnx_files import export_variants
from limbeck.runtime.onnx_model import OnnxAnswerer
from limbeck.runtime.transformers_model import from_folder
from limbeck.student.pruned import factor, whole
from limbeck.tasks.single_label import SINGLE_LABEL
from limbeck.teacher.family import family_of
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
