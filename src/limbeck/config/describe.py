"""The recipe's keys as a page: ``python -m limbeck.config.describe > docs/recipe.md``."""

from __future__ import annotations

import sys
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from limbeck.config.parallel import ParallelConfig
from limbeck.config.recipe import ObjectiveConfig, Recipe
from limbeck.config.schedule import Adaptive, Ramp, Steps
from limbeck.config.stages import AssistantConfig, Stage
from limbeck.config.teacher import AnswersConfig
from limbeck.config.terms import TERMS

_HEAD = """# The recipe

Every key, its default and what it does; written by `python -m limbeck.config.describe`. A recipe
is a YAML file; `--set key.subkey=value` sets any key on the command line. Paths are relative to the
folder that limbeck is started from.
"""
_SCHEDULES = """## Schedules

Where a number may be a schedule, write `{shape: linear, start: 1.0, stop: 0.2}` (or `cosine`;
`begin` and `end` are shares of the training) or `{shape: step, values: [1.0, 0.5], at: [0.3]}`.
"""


def page() -> str:
    """docs/recipe.md."""
    parts = [_HEAD, _table("The recipe itself", Recipe, skip_groups=True)]
    for name, field in Recipe.model_fields.items():
        group = _group(field.annotation)
        if group is not None and name != "objective":
            parts.append(_table(f"`{name}`", group, skip_groups=False))
    parts.append(
        "## `objective`\n\n`terms` is a list; each term has a `kind` and a `weight` from 0 up. "
        "Without it, the terms are those of `method` (see [methods](methods.md)).\n"
    )
    parts.append(_table("The rest of `objective`", ObjectiveConfig, skip_groups=False))
    parts.extend(_table(f"A term of kind `{t().kind}`", t, skip_groups=False) for t in TERMS)
    parts.append(_table("`teacher.answers`, a black box", AnswersConfig, skip_groups=False))
    parts.append(_table("`data.parallel`, translations", ParallelConfig, skip_groups=False))
    parts.append(_table("A stage", Stage, skip_groups=False))
    parts.append(_table("An assistant", AssistantConfig, skip_groups=False))
    parts.append(_SCHEDULES)
    parts.append(_table("A ramp", Ramp, skip_groups=False))
    parts.append(_table("Steps", Steps, skip_groups=False))
    parts.append(_table("An adaptive temperature", Adaptive, skip_groups=False))
    return "\n".join(parts)


def _group(annotation: Any) -> type[BaseModel] | None:
    is_group = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_group else None


def _table(title: str, model: type[BaseModel], *, skip_groups: bool) -> str:
    lines = [
        f"## {title}\n",
        _first_line(model),
        "",
        "| key | default | meaning |",
        "| --- | --- | --- |",
    ]
    for name, field in model.model_fields.items():
        group = _group(field.annotation)
        if group is not None and skip_groups:
            continue
        key = field.alias or name
        if group is not None:
            for inner, inner_field in group.model_fields.items():
                lines.append(_row(f"{key}.{inner}", inner_field))
        elif key != "kind":
            lines.append(_row(key, field))
            lines.extend(
                _row(f"{key}.{inner}", inner_field)
                for inner, inner_field in _optional(field.annotation).items()
            )
    return "\n".join(lines) + "\n"


def _optional(annotation: Any) -> dict[str, Any]:
    """The keys of a group that may be left out as a whole, if a user need not give all of them."""
    groups = [group for group in map(_group, get_args(annotation)) if group is not None]
    if len(groups) != 1 or any(one.is_required() for one in groups[0].model_fields.values()):
        return {}
    return groups[0].model_fields if type(None) in get_args(annotation) else {}


def _row(key: str, field: Any) -> str:
    default = "required" if field.default is PydanticUndefined else _shown(field.default)
    choices = [str(value) for value in get_args(field.annotation) if isinstance(value, str)]
    meaning = field.description or ""
    if choices:
        meaning = f"{', '.join(f'`{choice}`' for choice in choices)}. {meaning}"
    return f"| `{key}` | {default} | {' '.join(meaning.split())} |"


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    sys.stdout.write(page())
