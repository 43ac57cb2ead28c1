"""A pre-trained body: every weight of it, and nothing of the head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from limbeck.errors import StudentError
from limbeck.student.body import take_body

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40,
}  # fmt: skip


def _student(**sizes: int) -> Any:
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**{**SIZES, **sizes}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pre-trained BERT: no pooler, a head for words."""
    torch.manual_seed(1)
    BertForMaskedLM(BertConfig(**SIZES)).save_pretrained(tmp_path / "general")
    return tmp_path / "general"


def test_the_body_is_taken_and_the_head_stays(folder: Path) -> None:
    """A pooler that transformers made at random would take the place of the teacher's."""
    student, before = _student(), _student().state_dict()
    take_body(student, folder, None)
    body = BertForMaskedLM.from_pretrained(folder).bert.state_dict()
    for name, value in student.state_dict().items():
        inside = name.removeprefix("bert.")
        wanted = body[inside] if inside in body else before[name]
        assert torch.equal(value, wanted), name
    assert {"bert.pooler.dense.weight", "classifier.weight"} <= before.keys()


def test_a_trimmed_vocabulary_takes_its_rows(folder: Path) -> None:
    """A row too early, and every word means its neighbour."""
    kept = np.array([0, 1, 2, 3, 17, 30, 49])
    student = _student(vocab_size=len(kept))
    take_body(student, folder, kept)
    table = BertForMaskedLM.from_pretrained(folder).get_input_embeddings().weight
    assert torch.equal(student.get_input_embeddings().weight, table[torch.from_numpy(kept)])


@pytest.mark.parametrize("sizes", [{"num_hidden_layers": 3}, {"intermediate_size": 32}])
def test_refuses_a_body_that_does_not_fit(folder: Path, sizes: dict[str, int]) -> None:
    """A layer that stays new in a pre-trained student would go unseen."""
    with pytest.raises(StudentError, match="missing there or of another shape"):
        take_body(_student(**sizes), folder, None)
