"""What stands in a label column, read as the task wants it and kept as one string a row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.errors import DataError

LABEL_COLUMNS = (
    "label", "labels", "intent", "category", "class", "target", "sentiment", "topic", "gold_label",
)  # fmt: skip
SCORE_COLUMNS = ("score", "similarity", "similarity_score", "rating", "value", *LABEL_COLUMNS)


@dataclass(frozen=True)
class LabelForm:
    """How the labels of a task stand in the rows.

    Attributes:
        columns: Usual names of their column, the likeliest first.
        read: The cell and its place (file and row) to one string, None where there is no label;
            raises DataError for what is no label of the task.
    """

    columns: tuple[str, ...]
    read: Callable[[Any, str], str | None]


def one_label(value: Any, where: str) -> str | None:
    """A single label, as it is written.

    Raises:
        DataError: For a list: a softmax over classes would train towards one of several labels.
    """
    if isinstance(value, list | dict):
        raise DataError(
            where,
            f"the label is a {type(value).__name__}: {value!r}",
            "A single-label task takes one string or integer a row; where a row may have several "
            "labels, set task=multi_label.",
        )
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if _missing(value) else str(value)


def label_sets(separator: str | None) -> Callable[[Any, str], str | None]:
    """Reads the labels of a row as a sorted JSON list; an empty list is a row to which none apply.

    Args:
        separator: Between labels that are written into one string, or None for lists.
    """

    def read(value: Any, where: str) -> str | None:
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = _json_list(value, where)
        if isinstance(value, tuple | list):
            _refuse_odd_list(value, where)
            labels = [one_label(label, where) for label in value]
        elif _missing(value):
            return None
        elif separator is None:
            raise DataError(
                where,
                f"the labels are {value!r}, which is no list",
                "A multi-label task takes a list a row; where labels are joined in a string, name "
                "what joins them: --set data.label_separator=#.",
            )
        else:
            labels = [part.strip() for part in (one_label(value, where) or "").split(separator)]
        if None in labels or "" in labels:
            raise DataError(where, f"one of the labels of {value!r} is empty", "Delete it.")
        return json.dumps(sorted({str(label) for label in labels}), ensure_ascii=False)

    return read


def scores(lowest: float | None, highest: float | None) -> Callable[[Any, str], str | None]:
    """Reads a number a row, refusing those outside of the range, where one is given."""

    def read(value: Any, where: str) -> str | None:
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise DataError(
                where,
                f"the score is {value!r}, which is no number",
                "A regression task takes one number a row; for names of classes set "
                "task=single_label.",
            ) from None
        if not math.isfinite(number):
            raise DataError(
                where, f"the score is {value!r}", "Write a finite number, or nothing at all."
            )
        low = -math.inf if lowest is None else lowest
        high = math.inf if highest is None else highest
        if not low <= number <= high:
            raise DataError(
                where,
                f"the score is {number:g}, outside of {low:g} to {high:g} (data.score_range)",
                "Mend the score, or the range.",
            )
        return repr(number)

    return read


def is_list(value: Any) -> bool:
    """Whether a cell is a JSON list that was written as text, as CSV files hold them."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return False
    try:
        return isinstance(json.loads(value), list)
    except ValueError:
        return False


def _refuse_odd_list(labels: Sequence[Any], where: str) -> None:
    if any(isinstance(label, list | tuple | dict) for label in labels):
        raise DataError(
            where,
            f"one of the labels of {labels!r} is itself a list",
            "Write each row's labels as one list of strings or integers.",
        )
    if len(labels) > 2 and all(label in (0, 1) for label in labels):
        raise DataError(
            where,
            f"the labels are {list(labels)!r}, which looks like a 0 or 1 for every class and would "
            "be read as the classes 0 and 1",
            "List the classes that apply, by name or number.",
        )


def _json_list(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise DataError(
            where, f"the labels are {text!r}, which is no JSON list", 'Write them as ["a", "b"].'
        ) from None


def _missing(value: Any) -> bool:
    return value is None or value == "" or value != value


ONE_LABEL = LabelForm(LABEL_COLUMNS, one_label)
"""A single label a row."""
