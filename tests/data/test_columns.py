"""Which columns hold the texts."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.config.recipe import DataConfig
from limbeck.data.columns import PAIR_COLUMNS, TextColumns, text_columns
from limbeck.data.raw_labels import ONE_LABEL
from limbeck.data.texts import folded_hashes, gather
from limbeck.errors import DataError


def _found(*columns: str, **data: Any) -> TextColumns:
    return text_columns(dict.fromkeys(columns, "x"), DataConfig(**data), "f.jsonl")


@pytest.mark.parametrize("pair", PAIR_COLUMNS, ids="-".join)
def test_usual_pairs_are_found_by_themselves(pair: tuple[str, str]) -> None:
    """Half of a pair would train a model of something else."""
    assert _found("id", pair[1], pair[0], "label") == TextColumns(*pair)
    assert _found(pair[0].title(), pair[1].title()) == TextColumns(pair[0].title(), pair[1].title())


def test_one_of_a_pair_alone_is_a_single_text() -> None:
    """Files of questions have a column query and no document."""
    assert _found("query", "label") == TextColumns("query", None)


def test_what_the_user_names_is_what_is_read() -> None:
    """Whoever names a text column alone wants single texts, whatever stands beside it."""
    assert _found("premise", "hypothesis", text_column="premise") == TextColumns("premise", None)
    assert _found("a", "b", text_column="b", pair_column="a") == TextColumns("b", "a")
    assert _found("text", "other", pair_column="other") == TextColumns("text", "other")
    both = _found("text", "premise", "hypothesis", pair_column="hypothesis")
    assert both == TextColumns("premise", "hypothesis")


def test_refuses_columns_that_are_not_there() -> None:
    """The message names those that are."""
    with pytest.raises(DataError, match=r"'b'; the columns are text"):
        _found("text", pair_column="b")
    with pytest.raises(DataError, match=r"the columns are one, two"):
        _found("one", "two")


@pytest.mark.parametrize("second", [None, "", "  ", 3])
def test_refuses_a_pair_with_one_side_empty(second: Any) -> None:
    """The model would be taught from half a question."""
    rows = [{"text_a": "one", "text_b": second, "label": "x"}]
    with pytest.raises(DataError, match=r"row 1.*text_b"):
        gather("train", rows, "f.jsonl", DataConfig(), labels=ONE_LABEL)


def test_pairs_are_one_text_only_if_both_sides_are() -> None:
    """A leak is a pair that stands in both splits; a sentence may stand in many pairs."""
    rows = [
        {"text_a": "one", "text_b": "two"}, {"text_a": "One ", "text_b": "TWO"},
        {"text_a": "one", "text_b": "three"}, {"text_a": "one two", "text_b": "x"},
        {"text_a": "one", "text_b": "two x"},
    ]  # fmt: skip
    texts = gather("train", rows, "f.jsonl", DataConfig(), labels=None)
    hashes = folded_hashes(texts).tolist()
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4
    assert list(texts.items())[2] == ("one", "three")
    assert (
        texts.fingerprint()
        != gather(
            "train", [{"text": row["text_a"]} for row in rows], "f", DataConfig(), labels=None
        ).fingerprint()
    )
