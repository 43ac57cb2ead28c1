"""bfloat16 for answers: near, and gone afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from limbeck.config.recipe import TeacherConfig
from limbeck.data.encode import Encoded
from limbeck.knowledge.answers import LiveTeacher
from limbeck.knowledge.kind import Kind
from limbeck.teacher.ask import ask, predict_logits
from limbeck.teacher.load import load_classifier, look_at
from limbeck.teacher.parts import Part, hidden_parts
from limbeck.teacher.precision import computing_in


@pytest.fixture
def taught(random_teacher: Path) -> tuple[Any, Any, Encoded]:
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    offsets = np.array([0, 5, 9, 16])
    ids = np.random.default_rng(0).integers(5, checkpoint.config.vocab_size, 16).astype(np.int32)
    return load_classifier(checkpoint), checkpoint, Encoded(ids, None, offsets, 0, 32)


def test_weights_are_float32_again_even_after_a_failure(taught: Any) -> None:
    """The student is cut out of this model, and its fingerprint is taken from it."""
    model = taught[0]
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fails() -> None:
        with computing_in(model, "bfloat16"):
            assert model.classifier.weight.dtype == torch.bfloat16
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype, name
        assert torch.equal(value, before[name]), name


def test_casting_once_answers_as_autocast_does(taught: Any) -> None:
    """It must be autocast's arithmetic, only without its repeated casts."""
    model, checkpoint, encoded = taught
    batch = checkpoint.batch(encoded, np.arange(3))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = ask(model, batch, checkpoint.family).logits.float()
    with torch.no_grad(), computing_in(model, "bfloat16"):
        torch.testing.assert_close(
            ask(model, batch, checkpoint.family).logits.float(), expected, atol=0, rtol=0
        )


def test_a_live_teacher_in_bfloat16_leaves_the_teacher_alone(taught: Any) -> None:
    """It computes in a copy: the next student is cut out of the original."""
    model, checkpoint, encoded = taught
    rows = np.arange(3)
    live = LiveTeacher(model, checkpoint, encoded, Kind(hidden_parts((2,)), "bfloat16"))
    exact = predict_logits(model, checkpoint, encoded)
    moved = np.abs(live.logits(rows).numpy() - exact).max()
    assert 0 < moved < 0.05
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())
    assert live.states(Part("hidden", 2), rows, width=9, left=False).shape == (
        3,
        9,
        model.config.hidden_size,
    )
    assert not live.states(Part("hidden", 2), rows, width=9, left=False)[1, 4:].any()
