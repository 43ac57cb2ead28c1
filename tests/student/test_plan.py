"""Plans of students: what can be cut, and what is refused before any weight is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.config.recipe import StudentConfig, TeacherConfig
from limbeck.errors import StudentError
from limbeck.student.plan import count_parameters, plan_student
from limbeck.teacher.load import look_at


def _plan(teacher: Path, **wanted: object):
    checkpoint = look_at(TeacherConfig(path=str(teacher)))
    config = StudentConfig.model_validate(wanted)
    return plan_student(config, checkpoint, checkpoint.config.vocab_size)


@pytest.mark.parametrize(
    ("layers", "taken"), [(1, (1,)), (2, (1, 3)), (3, (1, 2, 3)), (4, (1, 2, 3, 4))]
)
def test_layers_are_spread_evenly(random_teacher: Path, layers: int, taken: tuple) -> None:
    """The first layers read the embeddings; the spread keeps them and skips evenly."""
    assert _plan(random_teacher, layers=layers).teacher_layers == taken


def test_half_the_layers_is_the_default(random_teacher: Path) -> None:
    """A user who names nothing gets the usual student."""
    assert _plan(random_teacher).config.num_hidden_layers == 2


def test_counts_are_those_of_the_real_model(random_teacher: Path) -> None:
    """The plan's numbers must be those that the report will show."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(random_teacher)
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    counted = count_parameters(checkpoint.config, checkpoint)
    assert counted.parameters == sum(p.numel() for p in model.parameters())
    layers = model.bert.encoder.layer.parameters()
    assert counted.encoder_parameters == sum(p.numel() for p in layers)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"layers": 5}, "5 layers are wanted, but the teacher has 4"),
        ({"from": "2,9"}, "layer 9 is to be taken, but the teacher has 4"),
        ({"from": "3,1"}, "is not rising"),
        ({"hidden": 30}, "no multiple of the teacher's head size"),
        ({"hidden": 32, "heads": 5}, "5 heads do not divide a width of 32"),
        ({"hidden": 64}, "64 is wanted, but the teacher has 32: nothing wider"),
        ({"intermediate": 65}, "65 is wanted, but the teacher has 64"),
        ({"hidden": 32, "heads": 8}, "8 is wanted, but the teacher has 4"),
        ({"hidden": 32, "heads": 2}, "16 is wanted, but the teacher has 8"),
        ({"shape": "tinybert6"}, "6 layers are wanted, but the teacher has 4"),
    ],
)
def test_refuses_what_cannot_be_cut(random_teacher: Path, wanted: dict, message: str) -> None:
    """Found here it costs nothing; found later it costs the recording."""
    with pytest.raises(StudentError, match=message):
        _plan(random_teacher, **wanted)


def test_refuses_to_cut_widths_that_it_does_not_know(random_teacher: Path, tmp_path: Path) -> None:
    """A weight cut along the wrong dimension would be noise of the right shape."""
    import json
    import shutil

    shutil.copytree(random_teacher, tmp_path / "electra")
    path = tmp_path / "electra" / "config.json"
    config = {**json.loads(path.read_text()), "model_type": "electra", "embedding_size": 32}
    path.write_text(json.dumps(config))
    with pytest.raises(StudentError, match=r"(?s)'electra' teacher.*Widths can be cut for bert"):
        _plan(tmp_path / "electra", hidden=16)
    assert _plan(tmp_path / "electra", layers=2).teacher_layers == (1, 3)
    assert _plan(tmp_path / "electra", hidden=16, init="normal").config.hidden_size == 16
