"""A method sets defaults of a recipe; what the user writes stands."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from limbeck.config.catalog import METHODS


def method_names() -> list[str]:
    """The names, in the order in which they are listed."""
    return [method.name for method in METHODS]


def with_method(tree: dict[str, Any]) -> dict[str, Any]:
    """A recipe's tree with its method's settings where it says nothing itself.

    Args:
        tree: Keys of a recipe; a method that is not known changes nothing.
    """
    name = tree.get("method", METHODS[0].name)
    for method in METHODS:
        if method.name == name:
            for key, value in method.settings.items():
                if key == "student.architecture" and _has_checkpoint(tree):
                    continue  # which keeps its own
                tree = _with_default(tree, key.split("."), copy.deepcopy(value))
    return tree


def _has_checkpoint(tree: Mapping[str, Any]) -> bool:
    student = tree.get("student")
    if isinstance(student, Mapping):
        return student.get("checkpoint") is not None
    return getattr(student, "checkpoint", None) is not None


def _with_default(tree: dict[str, Any], way: list[str], value: Any) -> dict[str, Any]:
    """A copy of the tree in which the key of that way is set, unless it was."""
    key, *rest = way
    here = tree.get(key)
    if not rest:
        return {**tree, key: value} if here is None else tree
    if isinstance(here, BaseModel):
        here = here.model_dump(by_alias=True, exclude_unset=True)
    if key in tree and not isinstance(here, dict):
        return tree
    return {**tree, key: _with_default(here or {}, rest, value)}
