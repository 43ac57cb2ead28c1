"""Raw labels as class indices in the teacher's order, checked before anything trains."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from limbeck.data.texts import UNLABELLED, Texts
from limbeck.errors import DataError, TeacherError, nearest

_GENERIC = re.compile(r"^LABEL_\d+$")
_INTEGER = re.compile(r"[+-]?[0-9]+(\.0+)?")
"""1.0 is what pandas makes of 1 in a column with gaps."""
_NO_LABEL = ("-1", "-1.0")
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
    folded_given, folded_names = [folded(n) for n in given], [folded(n) for n in names]
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


def encode_labels(
    texts: Texts, names: Sequence[str], *, source: str, beside: Sequence[Texts] = ()
) -> np.ndarray:
    """Class indices (int64, -100 where a row has no label) of the rows' labels.

    A label is matched to a class name first, ignoring case, spaces, ``-`` and ``_``; if all
    labels are integers and one of them is no class name, they are indices. A split of -1 alone is
    unlabelled, as GLUE's test sets are.

    Args:
        texts: The split.
        names: Class names in index order.
        source: The file, for messages.
        beside: Other splits with the same numbering: all are read as names, or all as indices.

    Raises:
        TeacherError: For a label that the teacher does not know, with the rows and the nearest.
        DataError: For -1 among other labels, which some mean as a class and some as none.
    """
    by_name = {folded(name): index for index, name in enumerate(names)}
    if len(by_name) < len(names):
        raise TeacherError(
            "config.json, id2label",
            f"two classes have the same name ({_some(names)})",
            "Give each class its own name in the teacher's config.",
        )
    bare = () if folded("-1") in by_name else _NO_LABEL
    if bare:
        _refuse_ambiguous(texts, source)
    distinct = _distinct(texts, bare)
    everywhere = {*distinct, *(value for other in beside for value in _distinct(other, bare))}
    integers = all(_is_integer(value) for value in everywhere)
    if integers and not all(folded(value) in by_name for value in everywhere):
        known = {v: _integer(v) for v in distinct if 0 <= _integer(v) < len(names)}
    else:
        known = {value: by_name[folded(value)] for value in distinct if folded(value) in by_name}
    unknown = [value for value in distinct if value not in known]
    if unknown:
        raise _unknown(texts, unknown, names, source)
    classes = [known.get(value, UNLABELLED) for value in texts.written]
    return np.array([*classes, UNLABELLED], dtype=np.int64)[texts.codes]  # -1 is the last


def names_from_data(texts: Texts, declared: Sequence[str] | None, source: str) -> list[str]:
    """The class names of labelled texts, for a teacher still to be made.

    Integers are sorted as numbers, names as text; `declared` sets names and order.

    Raises:
        DataError: If there are fewer than two classes, or -1 stands among other labels.
    """
    if declared is not None:
        return list(declared)
    _refuse_ambiguous(texts, source)
    distinct = _distinct(texts, _NO_LABEL)
    if len(distinct) < 2:
        raise one_class_only(distinct, source)
    if all(_is_integer(value) for value in distinct):
        return [str(number) for number in sorted({_integer(value) for value in distinct})]
    return sorted(distinct)


def one_class_only(found: Sequence[str], source: str) -> DataError:
    """The error for labels that leave nothing to tell apart."""
    what = f"every labelled row has the label {found[0]!r}" if found else "no row has a label"
    return DataError(
        source, what, "Give rows of at least two classes; check data.label_column if this is wrong."
    )


def _refuse_ambiguous(texts: Texts, source: str) -> None:
    if any(v in _NO_LABEL for v in texts.labels()) and _distinct(texts, _NO_LABEL):
        raise DataError(
            source,
            "some rows have the label -1 and others have other labels: -1 may mean a class or "
            "none, and the wrong guess would train towards a wrong target",
            "Leave the label empty where there is none; if -1 is a class, write its name (such "
            "as negative) or name the class -1 in the teacher's config or in data.labels.",
        )


def _unknown(
    texts: Texts, unknown: Sequence[str], names: Sequence[str], source: str
) -> TeacherError:
    unknown = sorted(unknown, key=_is_integer)  # among indices, the word is the odd one out
    first = unknown[0]
    places = np.flatnonzero(texts.codes == texts.written.index(first))[:3]
    rows = [texts.ids[int(place)] for place in places]
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


def _distinct(texts: Texts, bare: Sequence[str]) -> list[str]:
    return [value for value in texts.labels() if value not in bare]


def folded(name: str) -> str:
    """The name without case and separators; an integer as itself, so that -1 is not 1."""
    text = str(name).strip()
    if _is_integer(text):
        return str(_integer(text))
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()


def _is_integer(value: str) -> bool:
    return _INTEGER.fullmatch(value) is not None


def _integer(value: str) -> int:
    return int(value.partition(".")[0])


def _some(values: Sequence[str]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN]))
    return shown + (f", … ({len(values)} in all)" if len(values) > _SHOWN else "")
