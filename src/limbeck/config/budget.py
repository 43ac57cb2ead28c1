"""Budgets as users write them: ``latency<=0.6ms size<=6MB retention>=99%``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from limbeck.errors import RecipeError, nearest

Runtime = Literal["onnx", "onnx_fused", "onnx_int8", "onnx_fused_int8", "openvino"]
"""The variants that export knows (`export.onnx_files.FILES`)."""
RuntimeOrAuto = Literal["auto", "onnx", "onnx_fused", "onnx_int8", "onnx_fused_int8", "openvino"]


@dataclass(frozen=True)
class Budget:
    """What a student may cost, and what it must keep. None is no limit.

    Attributes:
        latency_ms: At most, the median of single texts, tokenizer included.
        speedup: At least so many times faster than the teacher as transformers serves it.
        size_mb: At most, the file that is served, 10^6 bytes.
        smaller: At least so many times smaller than the teacher in float32.
        texts_per_s: At least, in bulk.
        retention: At least, the share of the teacher's score, 0 to 1.
    """

    latency_ms: float | None = None
    speedup: float | None = None
    size_mb: float | None = None
    smaller: float | None = None
    texts_per_s: float | None = None
    retention: float | None = None

    def in_words(self) -> str:
        """The budget as it can be written again."""
        parts = {
            "latency<={:g}ms": self.latency_ms,
            "speedup>={:g}x": self.speedup,
            "size<={:g}MB": self.size_mb,
            "smaller>={:g}x": self.smaller,
            "throughput>={:g}/s": self.texts_per_s,
            "retention>={:g}%": None if self.retention is None else 100 * self.retention,
        }
        return " ".join(form.format(value) for form, value in parts.items() if value is not None)


@dataclass(frozen=True)
class _Quantity:
    """A quantity of a budget: how it is limited, in which units, and an example."""

    at_most: bool
    units: dict[str, tuple[str, float]]
    example: str

    @property
    def sign(self) -> str:
        return "<=" if self.at_most else ">="


_TIMES = {"x": 1.0, "×": 1.0, "times": 1.0, "": 1.0}
_QUANTITIES = {
    "latency": _Quantity(
        True,
        {
            "ms": ("latency_ms", 1.0),
            "us": ("latency_ms", 1e-3),
            "µs": ("latency_ms", 1e-3),
            "μs": ("latency_ms", 1e-3),
            "s": ("latency_ms", 1e3),
        },
        "latency<=0.6ms",
    ),
    "speedup": _Quantity(False, {u: ("speedup", f) for u, f in _TIMES.items()}, "speedup>=10x"),
    "size": _Quantity(
        True,
        {
            "b": ("size_mb", 1e-6),
            "kb": ("size_mb", 1e-3),
            "mb": ("size_mb", 1.0),
            "gb": ("size_mb", 1e3),
            "%": ("smaller", 0.01),
        },
        "size<=6MB",
    ),
    "smaller": _Quantity(False, {u: ("smaller", f) for u, f in _TIMES.items()}, "smaller>=8x"),
    "throughput": _Quantity(
        False,
        {u: ("texts_per_s", 1.0) for u in ("/s", "texts/s", "text/s", "")},
        "throughput>=2000/s",
    ),
    "retention": _Quantity(
        False, {"%": ("retention", 0.01), "": ("retention", 1.0)}, "retention>=99%"
    ),
}
_UNITS = {"latency": "ms, us or s", "size": "MB, kB, GB, B, or % of the teacher's float32 file",
          "throughput": "/s", "retention": "%"}  # fmt: skip
_BOUNDARY = re.compile(r"(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s+)(?=[^\W\d]\w*\s*[<>=≤≥])")
_CLAUSE = re.compile(r"(?P<name>[^\W\d]\w*)\s*(?P<sign>[<>=≤≥]+)\s*(?P<rest>.*)", re.DOTALL)
_AMOUNT = re.compile(r"(?P<number>\d+(?:_\d+)*(?:\.\d*)?|\.\d+)\s*(?P<unit>\D*)")
_SIGNS = {"<=": "<=", "=<": "<=", "≤": "<=", "<": "<=", ">=": ">=", "=>": ">=", "≥": ">=",
          ">": ">="}  # fmt: skip
_FORM = "Write quantities with a limit, such as latency<=0.6ms size<=6MB"


def parse_budget(text: str, *, where: str = "--budget") -> Budget:
    """The budget in a text.

    Args:
        text: Limits separated by spaces, commas or ``and``.
        where: What the text is called in a message.

    Raises:
        RecipeError: For an unknown quantity or unit, a limit in the wrong direction, a missing
            or impossible number, or a quantity that is limited twice.
    """
    found: dict[str, float] = {}
    said: dict[str, str] = {}
    clauses = [part for part in _BOUNDARY.split(text.strip().strip(",").strip()) if part]
    if not clauses:
        _refuse(where, "the budget is empty", f"{_FORM}.")
    for clause in clauses:
        field, value = _limit(clause, where)
        if field in found:
            _refuse(
                where,
                f"{said[field]!r} and {clause!r} limit the same thing",
                "Keep the one that counts.",
            )
        found[field], said[field] = value, clause
    return Budget(**found)


def _limit(clause: str, where: str) -> tuple[str, float]:
    """The field of `Budget` that a clause sets, and its value."""
    matched = _CLAUSE.fullmatch(clause)
    if matched is None:
        _refuse(where, f"{clause!r} is no limit", f"{_FORM}; {_known()}.")
    name, sign, rest = matched["name"].lower(), _SIGNS.get(matched["sign"]), matched["rest"].strip()
    if name not in _QUANTITIES:
        _refuse(
            where,
            f"{name!r} is no quantity of a budget.{nearest(name, _QUANTITIES)}",
            f"{_known()}.",
        )
    amount = _AMOUNT.fullmatch(rest)
    if amount is None:
        found = "no number" if not rest else f"{rest!r}, which is no positive number with a unit"
        _refuse(
            where,
            f"{clause!r} has {found}",
            f"Write it as {_QUANTITIES[name].example}.",
        )
    number, unit = float(amount["number"]), amount["unit"].strip().lower()
    if name in ("latency", "size") and unit in ("x", "×", "times"):
        relative = "speedup" if name == "latency" else "smaller"
        if name == "size" or sign != ">=":
            _refuse(
                where,
                f"{clause!r} is a ratio",
                f"Write {relative}>={number:g}x for so many times less than the teacher.",
            )
        name = relative
    return _value(clause, name, sign, number, unit, where)


def _value(
    clause: str, name: str, sign: str | None, number: float, unit: str, where: str
) -> tuple[str, float]:
    quantity = _QUANTITIES[name]
    if sign != quantity.sign:
        least = "at most" if quantity.at_most else "at least"
        _refuse(
            where,
            f"{clause!r} limits {name} the wrong way: a budget says what it is {least}",
            f"Write {name}{quantity.sign}, as in {quantity.example}.",
        )
    if unit not in quantity.units:
        close = nearest(unit, quantity.units) if unit else ""
        what = f"the unit {unit!r} means nothing for {name}" if unit else "it has no unit"
        _refuse(
            where,
            f"{clause!r}: {what}.{close}",
            f"Use {_UNITS.get(name, 'x')}, as in {quantity.example}.",
        )
    field, factor = quantity.units[unit]
    value = number * factor
    if not (math.isfinite(value) and value > 0):
        _refuse(where, f"{clause!r}: nothing meets that", f"Use more than 0: {quantity.example}.")
    if field == "retention" and value > 1:
        _refuse(
            where,
            f"{clause!r} asks for more than all of the teacher's score",
            "Write it as retention>=99%, or as a share from 0 to 1.",
        )
    if name == "size" and field == "smaller":  # a share of the teacher's size
        value = 1 / value
    return field, value


def _known() -> str:
    return "Known are " + ", ".join(quantity.example for quantity in _QUANTITIES.values())


def _refuse(where: str, found: str, remedy: str) -> NoReturn:
    raise RecipeError(where, found, remedy)
