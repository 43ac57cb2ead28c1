"""What a process of its own is asked must be what was asked here."""

from __future__ import annotations

import json

import pytest

from limbeck.data.asked import Asked, Windowing
from limbeck.data.texts import Item
from limbeck.data.worded import worded
from limbeck.evaluation.memory import _item, _told


@pytest.mark.parametrize(
    "item",
    [
        "a text",
        ("first", "second"),
        worded("Anna saw Rome."),
        Asked("who?", "Anna ran.", Windowing(7, None)),
    ],
    ids=lambda item: type(item).__name__,
)
def test_items_survive_json(item: Item) -> None:
    """A question that arrives as a pair would be read without windows, and need less memory."""
    assert _item(json.loads(json.dumps(_told(item)))) == item
