"""Students built from their teachers: the weights are the ones they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.config.recipe import DataConfig, StudentConfig, TeacherConfig
from limbeck.data.batches import collate
from limbeck.data.encode import encode
from limbeck.data.texts import gather
from limbeck.student.build import build_student
from limbeck.student.plan import plan_student
from limbeck.student.vocabulary import check_trimmed, trim_vocabulary
from limbeck.teacher.ask import predict_logits
from limbeck.teacher.load import load_classifier, look_at

TEXTS = ["the film was lovely", "a dull story of rain and sea", "his dog was superb and warm"] * 8


@pytest.fixture
def encoded(random_teacher: Path, tmp_path: Path):
    checkpoint = look_at(TeacherConfig(path=str(random_teacher)))
    texts = gather("train", [{"text": t} for t in TEXTS], "-", DataConfig(), labels=None)
    return checkpoint, texts, encode(texts, checkpoint.backend, max_tokens=32, folder=tmp_path)


def _build(checkpoint, *, kept=None, sample=(), seed=0, **wanted):
    config = StudentConfig.model_validate(wanted)
    vocabulary = checkpoint.config.vocab_size if kept is None else len(kept)
    plan = plan_student(config, checkpoint, vocabulary)
    teacher = load_classifier(checkpoint)
    return teacher, build_student(
        plan, teacher, kept=kept, sample=sample, seed=seed, attention="eager"
    )


def test_all_layers_are_the_teacher(encoded) -> None:
    """A student of the teacher's shape must answer as the teacher, or the cut is wrong."""
    checkpoint, _, ids = encoded
    teacher, built = _build(checkpoint, layers=4)
    np.testing.assert_array_equal(
        predict_logits(teacher, checkpoint, ids), predict_logits(built.model, checkpoint, ids)
    )


def test_each_layer_is_the_one_that_was_named(encoded) -> None:
    """A layer off by one trains to something plausible and worse."""
    checkpoint, _, _ = encoded
    teacher, built = _build(checkpoint, **{"from": "2,4"})
    for student_layer, teacher_layer in ((0, 1), (1, 3)):
        ours = built.model.bert.encoder.layer[student_layer].state_dict()
        theirs = teacher.bert.encoder.layer[teacher_layer].state_dict()
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name


def test_training_the_student_leaves_the_teacher_alone(encoded) -> None:
    """Shared memory would teach the teacher."""
    checkpoint, _, ids = encoded
    teacher, built = _build(checkpoint, layers=2)
    before = predict_logits(teacher, checkpoint, ids)
    with torch.no_grad():
        for parameter in built.model.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(before, predict_logits(teacher, checkpoint, ids))


def test_a_trimmed_vocabulary_changes_no_answer(encoded, tmp_path: Path) -> None:
    """Only tokens that no text uses are gone; ids are remapped in tokenizer and table alike."""
    checkpoint, texts, ids = encoded
    trimmed = trim_vocabulary(checkpoint.tokenizer, [ids])
    assert len(trimmed.kept) < checkpoint.config.vocab_size
    assert check_trimmed(trimmed, texts, ids, limit=0.0) == 0
    teacher, built = _build(checkpoint, layers=4, kept=trimmed.kept)
    small = encode(
        texts, trimmed.tokenizer.backend_tokenizer, max_tokens=32, folder=tmp_path / "small"
    )
    np.testing.assert_allclose(
        predict_logits(teacher, checkpoint, ids),
        predict_logits(built.model, checkpoint, small),
        atol=1e-6,
    )


def test_a_trimmed_tokenizer_is_a_normal_one(encoded, tmp_path: Path) -> None:
    """It is saved and loaded by transformers, and no text that it could read becomes unknown."""
    from transformers import AutoTokenizer

    checkpoint, _, ids = encoded
    trimmed = trim_vocabulary(checkpoint.tokenizer, [ids])
    trimmed.tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("the film")["input_ids"] == trimmed.tokenizer("the film")["input_ids"]
    unseen = loaded("island clever xyz")["input_ids"]
    assert loaded.unk_token_id not in unseen
    assert loaded.pad_token_id == loaded.convert_tokens_to_ids("[PAD]")
    assert len(loaded) == len(trimmed.kept)
    assert loaded("the film").input_ids[0] == loaded.cls_token_id


def test_narrowing_by_nothing_is_the_teacher(encoded) -> None:
    """With every direction kept, a rotated stream must give the same answers."""
    checkpoint, _, ids = encoded
    batches = [collate(ids, np.arange(len(ids)), pad_id=checkpoint.pad_id, types=True)]
    # One neuron fewer, so that the narrow road is taken with the full stream.
    teacher, built = _build(checkpoint, layers=4, intermediate=63, sample=batches)
    ours = predict_logits(built.model, checkpoint, ids)
    theirs = predict_logits(teacher, checkpoint, ids)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


def test_a_narrow_student_starts_nearer_to_the_teacher_than_chance(teacher: Path, files) -> None:
    """Cut weights that are no better than new ones would be cut for nothing."""
    import json
    import tempfile

    checkpoint = look_at(TeacherConfig(path=str(teacher)))
    rows = [json.loads(line) for line in files["test"].read_text().splitlines()]
    texts = gather("test", rows, "-", DataConfig(), labels=None)
    with tempfile.TemporaryDirectory() as folder:
        ids = encode(texts, checkpoint.backend, max_tokens=32, folder=Path(folder))
    batches = [collate(ids, np.arange(len(ids)), pad_id=checkpoint.pad_id, types=True)]
    full, cut = _build(checkpoint, layers=4, hidden=16, sample=batches)
    wanted = predict_logits(full, checkpoint, ids)
    agreed = (predict_logits(cut.model, checkpoint, ids).argmax(1) == wanted.argmax(1)).mean()
    assert cut.model.config.hidden_size == 16
    assert agreed > 0.75


def test_the_same_seed_gives_the_same_new_weights(encoded) -> None:
    """Random weights are part of the result."""
    checkpoint, _, ids = encoded
    answers = [
        predict_logits(
            _build(checkpoint, layers=2, init="xavier", seed=seed)[1].model, checkpoint, ids
        )
        for seed in (7, 7, 8)
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_building_leaves_the_global_random_state_alone(encoded) -> None:
    """A library that reseeds its caller breaks the caller's experiment."""
    checkpoint, _, _ = encoded
    before = torch.get_rng_state()
    _build(checkpoint, layers=2, init="normal", seed=3)
    assert torch.equal(before, torch.get_rng_state())
