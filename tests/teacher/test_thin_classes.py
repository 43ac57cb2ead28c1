"""Thin models in AutoModel, once limbeck is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.student.pruned import factor, whole
from limbeck.teacher.family import family_of
from limbeck.teacher.thin import PATHS, Kept, make_thin, save_thin
from limbeck.teacher.thin_classes import as_stock


def _thin(config: Any, head: str, rank: int | None) -> tuple[Any, Kept]:
    """A random model that has lost heads and neurons, uneven over its layers."""
    import transformers

    torch.manual_seed(3)
    model = getattr(transformers, head).from_config(config).eval()
    family = family_of(config, "here")
    there = whole(model, family)
    kept = Kept(
        tuple(layer[place % 2 :: 2] for place, layer in enumerate(there.heads)),
        tuple(layer[: 8 + place] for place, layer in enumerate(there.neurons)),
        rank,
    )
    make_thin(model, family, kept)
    if rank is not None:
        factor(model, np.arange(1, config.vocab_size + 1), rank)
    return model, kept


def _answers(model: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 8, 13, 21, 34, 3], [7, 9, 11, 13, 15, 17]])
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]


@pytest.mark.parametrize("rank", [None, 6])
@pytest.mark.parametrize("model_type", list(PATHS))
def test_auto_model_gives_the_same_answers(
    tiny: dict[str, dict[str, Any]], tmp_path: Path, model_type: str, rank: int | None
) -> None:
    """A thin model that only limbeck could load would be no use in anyone's service."""
    from transformers import AutoModelForSequenceClassification

    model, kept = _thin(_config(tiny, model_type), "AutoModelForSequenceClassification", rank)
    save_thin(model, kept, tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters())
    torch.testing.assert_close(_answers(again), _answers(model), atol=1e-6, rtol=0)
    again.save_pretrained(tmp_path / "again")
    twice = AutoModelForSequenceClassification.from_pretrained(tmp_path / "again").eval()
    torch.testing.assert_close(_answers(twice), _answers(model), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "head", ["AutoModel", "AutoModelForTokenClassification", "AutoModelForQuestionAnswering"]
)
def test_every_head_that_limbeck_prunes_has_a_class(
    tiny: dict[str, dict[str, Any]], tmp_path: Path, head: str
) -> None:
    """Pruned taggers and question answerers are thin models too."""
    import transformers

    config = _config(tiny, "bert")
    config.num_labels = 2
    model, kept = _thin(config, head, None)
    save_thin(model, kept, tmp_path)
    again = getattr(transformers, head).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(_answers(again), _answers(model), atol=1e-6, rtol=0)


@pytest.mark.parametrize("model_type", list(PATHS))
def test_limbeck_sees_the_stock_config(
    tiny: dict[str, dict[str, Any]], tmp_path: Path, model_type: str
) -> None:
    """Everything that asks for a model type must find the architecture's own."""
    from transformers import AutoConfig

    config = _config(tiny, model_type)
    assert as_stock(config) is config
    model, kept = _thin(config, "AutoModelForSequenceClassification", None)
    save_thin(model, kept, tmp_path)
    read = AutoConfig.from_pretrained(tmp_path)
    assert read.model_type == f"limbeck_thin_{model_type}"
    stock = as_stock(read)
    assert type(stock) is type(config)
    assert not hasattr(stock, "pruned")
    assert Kept.read(tmp_path) == kept


_LOADS = """
import sys
folder, order = sys.argv[1:]
for name in order.split(","):
    __import__(name)
from transformers import AutoModelForSequenceClassification, pipeline
AutoModelForSequenceClassification.from_pretrained(folder)
print("loaded")
"""


@pytest.mark.parametrize("order", ["limbeck,transformers", "transformers.models.auto,limbeck"])
def test_the_order_of_imports_does_not_matter(
    tiny: dict[str, dict[str, Any]], tmp_path: Path, order: str
) -> None:
    """A user's formatter sorts imports."""
    ended = _run(_LOADS, _written(tiny, tmp_path), order)
    assert "loaded" in ended.stdout, ended.stderr


def test_without_limbeck_transformers_names_the_type(
    tiny: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Weights of other shapes under a known type would end in a page of mismatched sizes."""
    ended = _run(_LOADS, _written(tiny, tmp_path), "transformers")
    assert ended.returncode != 0
    assert "limbeck_thin_bert" in ended.stderr


def _config(tiny: dict[str, dict[str, Any]], model_type: str) -> Any:
    from transformers import AutoConfig

    settings = {key: value for key, value in tiny[model_type].items() if key != "model_type"}
    return AutoConfig.for_model(model_type, **settings, num_labels=3)


def _written(tiny: dict[str, dict[str, Any]], folder: Path) -> Path:
    model, kept = _thin(_config(tiny, "bert"), "AutoModelForSequenceClassification", None)
    save_thin(model, kept, folder)
    return folder


def _run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
