"""Token ids end to end: padded batches are those of the tokenizer itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from limbeck.runtime.companions import Companions
from limbeck.runtime.tokens import Padding, flat, joined

IDS = [[5, 6, 7], [8], [9, 10]]


def test_a_batch_is_padded_to_its_longest_row() -> None:
    """Attention over padding is what bulk prediction pays for most."""
    made = flat(IDS, [[0, 0, 1], [1], [0, 1]]).batch(np.array([2, 1]), Padding(3, type_id=4))
    assert made["input_ids"].tolist() == [[9, 10], [8, 3]]
    assert made["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert made["token_type_ids"].tolist() == [[0, 1], [1, 4]]
    assert all(array.dtype == np.int64 for array in made.values())


def test_padding_may_stand_on_the_left() -> None:
    """XLNet reads its answer from the last token: padding there would be the answer."""
    made = flat(IDS, None).batch(np.array([1, 0]), Padding(3, left=True))
    assert made["input_ids"].tolist() == [[3, 3, 8], [5, 6, 7]]
    assert made["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert "token_type_ids" not in made


@pytest.mark.parametrize("types", [True, False])
def test_parts_join_to_the_whole(types: bool) -> None:
    """Texts are tokenized in parts; a shifted offset would give a text its neighbour's tokens."""
    segments = [[1] * len(row) for row in IDS] if types else None
    whole = flat(IDS, segments)
    parts = [flat(IDS[i : i + 1], segments and segments[i : i + 1]) for i in range(3)]
    again = joined(parts)
    assert again.offsets.tolist() == whole.offsets.tolist() == [0, 3, 4, 6]
    assert again.ids.tolist() == whole.ids.tolist()
    assert (again.type_ids is None) is (not types)


def test_chunks_of_a_window_keep_their_order(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window is tokenized in chunks, so that its encodings do not fill the memory."""
    from transformers import AutoTokenizer

    from limbeck.files import write_json

    tokenizer = AutoTokenizer.from_pretrained(teacher)
    tokenizer.save_pretrained(tmp_path)
    write_json(tmp_path / "limbeck.json", {"max_tokens": 6, "pad_id": 0, "padding_side": "right"})
    monkeypatch.setattr("limbeck.runtime.companions._CHUNK", 2)
    texts = ["rain", "a dull story of one man and his dog", "the sea", "a film", "superb"]
    tokens = Companions(tmp_path, types=True).tokens(texts)
    expected = tokenizer(texts, truncation=True, max_length=6)["input_ids"]
    rows = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets, tokens.offsets[1:])]  # noqa: B905
    assert rows == expected
    assert tokens.lengths.max() == 6
