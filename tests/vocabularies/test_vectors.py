"""Sentence encoders, static ones too, with a tokenizer of their own."""
# ruff: noqa: F811 (fixtures are imported and then asked for by their names)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tasks.test_sentence_embeddings import Encoder, encoder, settings  # noqa: F401

from limbeck.distill import distill
from limbeck.run.trial import trial
from limbeck.runtime.transformers_model import from_folder
from limbeck.tasks.sentence_embeddings import cosines
from limbeck.tasks.task import score

OWN = {"kind": "wordpiece", "size": 120}
UNSCORED: dict[str, Any] = {"data__validation": None, "data__test": None}


def test_vectors_are_learned_across_tokenizers(
    encoder: Encoder, settings: Callable[..., Any], tmp_path: Path
) -> None:
    """Vectors are of texts, so that the tokens must not matter; and users load the folder."""
    st = pytest.importorskip("sentence_transformers")
    report = distill(settings(encoder(), **UNSCORED, student__tokenizer=OWN))
    assert report.student.score.value > 0.9
    assert report.data["vocabulary"]["student_vocabulary"] <= 120
    texts = ["the film was superb", "a dog on an island"]
    student = tmp_path / "run" / "student"
    theirs = st.SentenceTransformer(str(student), device="cpu").encode(texts)
    ours = from_folder(str(student), max_tokens=32).logits(texts)
    assert cosines(ours, theirs).min() > 0.99999


def test_a_table_of_vectors_begins_with_those_of_its_own_tokens(
    encoder: Encoder, settings: Callable[..., Any]
) -> None:
    """The table has a row a token of its own, or texts would look up others' rows."""
    done = trial(
        settings(
            encoder(), student__tokenizer=OWN, student__architecture="static",
            student__layers=None, student__hidden=16, training__learning_rate=1e-2,
            objective__terms=[{"kind": "vectors", "distance": "similarity"}],
        )
    )  # fmt: skip
    table = done.arm.model.get_input_embeddings().weight
    assert len(table) == len(done.arm.tokenizer) <= 120
    assert score(done.plan.task, done.student_logits, done.plan.material.test.labels) > 0.7
