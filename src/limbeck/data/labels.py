"""Raw labels as class indices in the teacher's order, checked before anything trains."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from limbeck.data.texts import UNLABELLED, Texts
from limbeck.errors import DataError, TeacherError, nearest

_GENERIC = re.compile(r"^LABEL_\d+$")
_SHOWN = 8


def label_names(declared: Sequence[str] | None, teacher_names: Sequence[str]) -> list[str]:
    """The names of the classes in index order: the teacher's, unless it has only LABEL_0, ….

    Raises:
        TeacherError: If the declared names are not the teacher's, or in another order: every
            integer label would train towards another class.
    """
    names = list(teacher_names)
    if declared is None:
        return names
    given = list(declared)
    where = "data.labels"
    if len(given) != len(names):
        raise TeacherError(
            where,
            f"{len(given)} labels, but the teacher tells {len(names)} classes apart "
            f"({_some(names)})",
            "Declare one name a class, in the teacher's order.",
        )
    if all(_GENERIC.match(name) for name in names):
        return given
    folded_given, folded_names = [_fold(n) for n in given], [_fold(n) for n in names]
    if folded_given == folded_names:
        return names
    if sorted(folded_given) == sorted(folded_names):
        raise TeacherError(
            where,
            f"the order differs: declared {_some(given)}, the teacher has {_some(names)}. "
            "Integer labels would train towards other classes",
            "Use the teacher's order and renumber the data, or write labels as their names.",
        )
    raise TeacherError(
        where,
        f"declared {_some(given)}, but the teacher's classes are {_some(names)}",
        "Declare the teacher's own names, or take a teacher of this task.",
    )


def encode_labels(texts: Texts, names: Sequence[str], *, source: str) -> np.ndarray:
    """Class indices (int64, -100 where a row has no label) of the rows' labels.

    A label is matched to a class name first, ignoring case, spaces, ``-`` and ``_``; if all
    labels are integers and no class is named so, they are indices.

    Raises:
        TeacherError: For a label that the teacher does not know, with the rows and the nearest.
    """
    column = texts.table.column("label")
    distinct = [value for value in column.unique().to_pylist() if value is not None]
    by_name = {_fold(name): index for index, name in enumerate(names)}
    if len(by_name) < len(names):
        raise TeacherError(
            "config.json, id2label",
            f"two classes have the same name ({_some(names)})",
            "Give each class its own name in the teacher's config.",
        )
    integers = all(_is_integer(value) for value in distinct)
    if integers and not all(_fold(value) in by_name for value in distinct):
        known = {value: int(value) for value in distinct if 0 <= int(value) < len(names)}
    else:
        known = {value: by_name[_fold(value)] for value in distinct if _fold(value) in by_name}
    unknown = [value for value in distinct if value not in known]
    if unknown:
        raise _unknown(texts, unknown, names, source)
    encoded = np.full(len(texts), UNLABELLED, dtype=np.int64)
    for position, value in enumerate(column.to_pylist()):
        if value is not None:
            encoded[position] = known[value]
    return encoded


def names_from_data(texts: Texts, declared: Sequence[str] | None, source: str) -> list[str]:
    """The class names of labelled texts, for a teacher still to be made.

    Integers are sorted as numbers, names as text; `declared` sets names and order.

    Raises:
        DataError: If there are fewer than two classes.
    """
    if declared is not None:
        return list(declared)
    values = texts.table.column("label").unique().to_pylist()
    distinct = [value for value in values if value is not None]
    if len(distinct) < 2:
        raise one_class_only(distinct, source)
    if all(_is_integer(value) for value in distinct):
        return [str(number) for number in sorted(int(value) for value in distinct)]
    return sorted(distinct)


def one_class_only(found: Sequence[str], source: str) -> DataError:
    """The error for labels that leave nothing to tell apart."""
    what = f"every labelled row has the label {found[0]!r}" if found else "no row has a label"
    return DataError(
        source, what, "Give rows of at least two classes; check data.label_column if this is wrong."
    )


def _unknown(
    texts: Texts, unknown: Sequence[str], names: Sequence[str], source: str
) -> TeacherError:
    first = unknown[0]
    column = texts.table.column("label").to_pylist()
    rows = [texts.table.column("id")[i].as_py() for i, v in enumerate(column) if v == first][:3]
    generic = all(_GENERIC.match(name) for name in names)
    remedy = (
        "The teacher does not name its classes: set data.labels to their names, in its order."
        if generic
        else f"Use the teacher's classes: {_some(names)}; or fine-tune a teacher on these labels "
        "with `limbeck teach`."
    )
    return TeacherError(
        f"{source}, rows {', '.join(rows)}",
        f"the label {first!r} is unknown to the teacher ({len(unknown)} such labels: "
        f"{_some(unknown)}).{nearest(first, names)}",
        remedy,
    )


def _fold(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", str(name)).strip().casefold()


def _is_integer(value: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", value) is not None


def _some(values: Sequence[str]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN]))
    return shown + (f", … ({len(values)} in all)" if len(values) > _SHOWN else "")
