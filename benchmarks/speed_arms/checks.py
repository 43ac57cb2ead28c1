"""A figure, its bar, and whether it is reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def check(
    what: str, value: float, *, at_least: float | None = None, below: float | None = None
) -> dict[str, Any]:
    """A figure against the bar that it must reach (`at_least`) or stay under (`below`)."""
    reached = (at_least is None or value >= at_least) and (below is None or value < below)
    bar = {"at_least": at_least} if at_least is not None else {"below": below}
    return {"what": what, "value": round(value, 4), **bar, "reached": reached}


def show_checks(checks: Sequence[dict[str, Any]]) -> bool:
    """Print the checks; whether all are reached."""
    for one in checks:
        mark = "reached" if one["reached"] else "MISSED"
        bar = f"at least {one['at_least']}" if "at_least" in one else f"under {one['below']}"
        print(f"{mark:<8} {one['what']}: {one['value']} (bar: {bar})")
    return all(one["reached"] for one in checks)
