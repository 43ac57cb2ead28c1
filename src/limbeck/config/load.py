"""Reads recipes: YAML files, ``--set a.b=c`` and ``layers=3 from=1,3,5``, with clear errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from limbeck.config.methods import with_method
from limbeck.config.recipe import Recipe, StudentConfig
from limbeck.errors import RecipeError, nearest

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read by the safe loader."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(
            str(path), "there is no such file", "Name a recipe that exists; recipes/ holds some."
        ) from None
    except IsADirectoryError:
        raise RecipeError(
            str(path), "this is a folder", "Name the recipe file in it, such as recipe.yaml."
        ) from None
    except OSError as error:
        raise RecipeError(
            str(path), f"this cannot be read ({error.strerror})", "Name a recipe that can be read."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            str(path), f"this is not YAML: {reason}", "Mend the place that it names."
        ) from None
    if not isinstance(content, dict):
        raise RecipeError(
            str(path),
            f"a recipe is a mapping of keys, this is {type(content).__name__}",
            "Start from a file in recipes/.",
        )
    return content


def load_recipe(
    path: Path | None, settings: Iterable[str] = (), values: Mapping[str, Any] | None = None
) -> Recipe:
    """A checked recipe from a file (or from nothing), then values, then ``a.b=c`` settings.

    Args:
        path: A YAML file; relative paths inside it are relative to the working directory.
        settings: ``key.path=value`` texts, the value read as YAML. Lists take indices.
        values: Dotted keys and ready values, set before `settings`; None values are left out.

    Raises:
        RecipeError: For a file, key or value that is wrong, naming the nearest right one.
    """
    tree = read_yaml(path) if path else {}
    source = str(path) if path else "command line"
    for key, value in (values or {}).items():
        if value is not None:
            set_dotted(tree, key, value, source)
    settings = list(settings)
    for setting in settings:
        if setting.partition("=")[0].strip() == "method":
            apply_settings(tree, [setting])
    # Before the settings, so that stages.0.epochs=5 finds the stage that the method has.
    tree = with_method(tree)
    apply_settings(tree, settings)
    return checked(Recipe, tree, source)


def apply_settings(tree: dict[str, Any], settings: Iterable[str]) -> None:
    """Set every ``a.b=c`` in the tree, the value read as YAML.

    Raises:
        RecipeError: For a text without ``=`` or a value that is not YAML.
    """
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError(
                f"--set {text}",
                "there is no '='" if not equals else "there is no key before '='",
                "Write --set training.epochs=5, for example.",
            )
        set_dotted(tree, key.strip(), _value(value, f"--set {text}"), f"--set {text}")


def _value(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise RecipeError(
            source,
            f"the value {text!r} is not YAML: {reason}",
            "Quote it, or close what it opens: 'labels=[bad, good]'.",
        ) from None


def set_dotted(tree: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set ``tree[a][b]`` for the key ``a.b``, making what is missing on the way."""
    *way, last = key.split(".")
    node: Any = tree
    for position, part in enumerate(way):
        if isinstance(node, list):
            node = _group(_item(node, part, source), part, source)
            continue
        following = node.get(part)
        if isinstance(following, str) and part in ("teacher", "base") and position == 0:
            following = {"path": following}
            node[part] = following
        if following is None:
            following = {}
            node[part] = following
        node = _group(following, part, source)
    if isinstance(node, list):
        index = _index(node, last, source)
        node[index] = value
    else:
        node[last] = value


def _group(node: Any, part: str, source: str) -> dict[str, Any] | list[Any]:
    if not isinstance(node, dict | list):
        raise RecipeError(source, f"{part} is {node!r}, not a group of keys", f"Set {part} itself.")
    return node


def _index(items: list[Any], part: str, source: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise RecipeError(
            source,
            f"{part!r} is no place in a list of {len(items)}",
            f"Use 0 to {len(items) - 1}." if items else "Set the whole list.",
        )
    return int(part)


def _item(items: list[Any], part: str, source: str) -> Any:
    return items[_index(items, part, source)]


def student_from_text(text: str) -> dict[str, Any]:
    """``"layers=3 from=1,3,5 vocabulary=trim"`` as the keys of `student`."""
    found: dict[str, Any] = {}
    allowed = _keys(StudentConfig)
    for part in text.split():
        key, equals, value = part.partition("=")
        if key.partition(".")[0] not in allowed or not equals:
            raise RecipeError(
                f"--student {text}",
                f"{part!r} is not understood.{nearest(key, allowed)}",
                f"Write key=value pairs of {', '.join(allowed)}; for example layers=3.",
            )
        plain = key in ("from", "shape", "checkpoint")
        found[key] = value if plain else _value(value, f"--student {text}")
    return found


def share_from_text(text: str, where: str) -> float:
    """``"99%"`` or ``"0.99"`` as 0.99.

    Raises:
        RecipeError: For anything else, and outside 0 to 100 %.
    """
    bare = text.strip()
    try:
        share = float(bare.removesuffix("%")) / (100 if bare.endswith("%") else 1)
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        raise RecipeError(
            f"{where} {text}", "this is no share of a score", "Write 99%, or 0.99."
        ) from None
    return share


def checked(model: type[Model], tree: Mapping[str, Any], source: str) -> Model:
    """`tree` as a `model`, or a RecipeError that names the first wrong key."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise _as_recipe_error(error, model, tree, source) from None


def _as_recipe_error(
    error: ValidationError, model: type[BaseModel], tree: Mapping[str, Any], source: str
) -> RecipeError:
    first = error.errors(include_url=False)[0]
    location = first["loc"]
    way = _way(location, tree, missing=first["type"] == "missing")
    where = f"{source}, {_dotted(way)}" if way else source
    if first["type"] == "extra_forbidden":
        siblings = _siblings(model, location)
        hint = nearest(str(location[-1]), siblings)
        return RecipeError(
            where,
            f"there is no key {location[-1]!r} here.{hint}",
            f"Allowed are {', '.join(siblings)}." if siblings else "Delete it.",
        )
    if first["type"] == "missing":
        return RecipeError(where, "this is missing", f"Give {_dotted(way)}.")
    message = first["msg"].removeprefix("Value error, ")
    found = repr(first["input"])
    shown = f", found {found}" if len(found) < 80 and first["type"] != "value_error" else ""
    others = error.error_count() - 1
    more = f" ({others} more keys are wrong.)" if others else ""
    return RecipeError(where, f"{message}{shown}", f"Mend this key.{more}")


def _way(location: tuple[int | str, ...], tree: Any, *, missing: bool) -> list[int | str]:
    """The keys of a location without the tags of unions, which stand in no file."""
    way: list[int | str] = []
    node = tree
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(node, Mapping) and (part in node or not way or (missing and last)):
            way.append(part)
            node = node.get(part)
        elif isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
            way.append(part)
            node = node[part]
    return way


def _dotted(way: Iterable[int | str]) -> str:
    text = ""
    for part in way:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _siblings(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the model that a location's last part was looked for in."""
    current: Any = model
    for part in location[:-1]:
        models = _models_in(current)
        tagged = [one for one in models if _tag(one) == part]
        fields = [one.model_fields[part] for one in models if part in one.model_fields]
        if tagged:
            current = tagged[0]
        elif fields:
            current = fields[0].annotation
    found = _models_in(current)
    return _keys(found[0]) if len(found) == 1 else []


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _tag(model: type[BaseModel]) -> Any:
    """What a union knows a model by."""
    kind = model.model_fields.get("kind")
    return kind.default if kind is not None else model.__name__.lower()


def dump_recipe(recipe: BaseModel, header: str) -> str:
    """The recipe as YAML with every default written out, under a comment."""
    tree = recipe.model_dump(mode="json", by_alias=True)
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
