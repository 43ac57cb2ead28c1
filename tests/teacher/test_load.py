"""Teachers: loaded in float32, checked, hashed by what decides their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertModel

from limbeck.config.recipe import TeacherConfig
from limbeck.errors import TeacherError
from limbeck.teacher.load import fingerprint, load_classifier, look_at


def _look(path: Path) -> Any:
    return look_at(TeacherConfig(path=str(path)))


def _copy(source: Path, target: Path, **config: Any) -> Path:
    import shutil

    shutil.copytree(source, target)
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


def test_a_half_precision_checkpoint_is_loaded_in_float32(
    random_teacher: Path, tmp_path: Path
) -> None:
    """Transformers 5 keeps the stored type, and float16 is slow on a CPU."""
    target = _copy(random_teacher, tmp_path / "half")
    model = AutoModelForSequenceClassification.from_pretrained(target).half()
    model.save_pretrained(target)
    checkpoint = _look(target)
    loaded = load_classifier(checkpoint)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert not loaded.training


def test_refuses_an_encoder_without_a_head(random_teacher: Path, tmp_path: Path) -> None:
    """Its head would be random, and a random teacher teaches noise."""
    target = _copy(random_teacher, tmp_path / "bare")
    BertModel.from_pretrained(random_teacher).save_pretrained(target)
    with pytest.raises(TeacherError, match=r"(?s)not in the checkpoint.*limbeck teach"):
        load_classifier(_look(target))


def test_refuses_weights_that_are_nan(random_teacher: Path, tmp_path: Path) -> None:
    """It would answer NaN to everything, an hour later."""
    target = _copy(random_teacher, tmp_path / "nan")
    model = AutoModelForSequenceClassification.from_pretrained(target)
    with torch.no_grad():
        model.classifier.weight[0, 0] = float("nan")
    model.save_pretrained(target)
    with pytest.raises(TeacherError, match=r"classifier\.weight holds NaN"):
        load_classifier(_look(target))


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/model"])
def test_refuses_a_folder_that_is_not_there(path: str) -> None:
    """A mistyped path must not be looked up on the hub."""
    with pytest.raises(TeacherError, match="no such folder"):
        look_at(TeacherConfig(path=path))


def test_refuses_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    """Named at once, instead of a stack of transformers'."""
    with pytest.raises(TeacherError, match=r"no config\.json"):
        _look(tmp_path)


def test_refuses_an_unknown_architecture(random_teacher: Path, tmp_path: Path) -> None:
    """The families that work are named."""
    target = _copy(random_teacher, tmp_path / "other", model_type="nystromformer")
    with pytest.raises(TeacherError, match=r"(?s)'nystromformer'.*Known are bert"):
        _look(target)


def test_the_fingerprint_follows_what_decides_the_answers(
    random_teacher: Path, tmp_path: Path
) -> None:
    """A stale address would serve another model's answers; a fickle one would ask again."""
    checkpoint = _look(random_teacher)
    model = load_classifier(checkpoint)
    first = fingerprint(model, checkpoint.backend)
    assert first == fingerprint(load_classifier(checkpoint), checkpoint.backend)
    renamed = _look(_copy(random_teacher, tmp_path / "renamed", id2label={"0": "bad", "1": "good"}))
    assert first == fingerprint(load_classifier(renamed), renamed.backend)
    with torch.no_grad():
        model.classifier.bias[0] += 1e-3
    assert first != fingerprint(model, checkpoint.backend)
