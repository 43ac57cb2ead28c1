"""Every method has its page, and pages say what the code does: keys, defaults, commands, sizes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from limbeck.cli.main import app
from limbeck.config.catalog import METHODS, Method
from limbeck.config.load import checked, load_recipe, student_from_text
from limbeck.config.recipe import Recipe
from limbeck.config.terms import TERMS, LayerMapRule, LogitsTerm

DOCS = Path(__file__).parent.parent.parent / "docs"
ENTRY, PAPERS, PAGES = DOCS / "methods.md", DOCS / "papers.md", DOCS / "methods"
PLACES = (
    "Adding a method touches these places: src/limbeck/config/catalog.py, docs/methods/<name>.md, "
    "the table of docs/methods.md, and docs/papers.md if it has a paper. Missing: "
)
_GROUPS = "|".join(Recipe.model_fields)
_KEY = re.compile(rf"`((?:{_GROUPS})(?:\.[a-z0-9_]+)+)(?:[=:][^`]*)?`")
_NAMED = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def _page(method: Method) -> str:
    path = PAGES / f"{method.name}.md"
    assert path.exists(), f"{PLACES}docs/methods/{method.name}.md"
    return path.read_text(encoding="utf-8")


def _recipe(name: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a method sets and leaves at its default, as a tree of recipe keys."""
    tree = {"teacher": "./my-model", "method": name, **(more or {})}
    return checked(Recipe, tree, "a page").model_dump(mode="json", by_alias=True)


def _value(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree[int(part)] if isinstance(tree, list) else tree[part]
    return tree


def _documents() -> list[Path]:
    return [ENTRY, PAPERS, *sorted(PAGES.glob("*.md"))]


@_NAMED
def test_every_method_has_its_places(method: Method) -> None:
    """A method that nobody can read about is not used, or is used wrongly."""
    assert _page(method).startswith(f"# {method.name}\n")
    row = f"| [{method.name}](methods/{method.name}.md) |"
    assert row in ENTRY.read_text(encoding="utf-8"), f"{PLACES}the table of docs/methods.md"
    numbers = re.findall(r"\d{4}\.\d{5}", method.paper)
    if method.paper:
        rows = PAPERS.read_text(encoding="utf-8").splitlines()
        own = [line for line in rows if f"(methods/{method.name}.md)" in line]
        assert own, f"{PLACES}docs/papers.md"
        missing = [number for number in numbers if number not in own[0] + _page(method)]
        assert not missing, f"{PLACES}arXiv {missing} in docs/papers.md"


def test_no_page_is_of_a_method_that_is_gone() -> None:
    """A page of a method that was renamed promises what is refused."""
    assert {page.stem for page in PAGES.glob("*.md")} == {method.name for method in METHODS}


@_NAMED
def test_a_page_tells_the_defaults_of_the_code(method: Method) -> None:
    """A default that is documented wrongly makes a comparison with a paper wrong."""
    tree = _recipe(method.name)
    rows = re.findall(r"^\| `([^`]+)` \| (`[^`]+`|none) \|", _page(method), re.MULTILINE)
    assert rows, f"{method.name}.md has no table of keys"
    for key, cell in rows:
        told, found = yaml.safe_load(cell.strip("`")), _value(tree, key)
        if cell == "none":
            assert found in (None, []), f"{method.name}.md, {key}: {found}"
        elif isinstance(told, dict):
            assert told.items() <= found.items(), f"{method.name}.md, {key}: {found}"
        else:
            assert told == found, f"{method.name}.md, {key}: {found}"


@pytest.mark.parametrize("path", _documents(), ids=lambda path: path.stem)
def test_every_key_and_recipe_of_a_page_is_one(path: Path) -> None:
    """A recipe that was copied out of a page must not be refused."""
    text = path.read_text(encoding="utf-8")
    own = path.stem if path.parent == PAGES else METHODS[0].name
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        part = yaml.safe_load(block)
        part = {"objective": {"terms": part}} if isinstance(part, list) else part
        _recipe(part.pop("method", own), part)
    tree = _recipe(own)
    for key in _KEY.findall(text):
        _value(tree, key)


@pytest.mark.parametrize("path", _documents(), ids=lambda path: path.stem)
def test_every_command_of_a_page_makes_a_recipe(path: Path) -> None:
    """A command that was copied out of a page must not be refused."""
    import typer

    text = path.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    commands = blocks.replace("\\\n", " ").splitlines()
    assert path == PAPERS or commands, f"{path.name} has no command"
    for command in commands:
        _, name, *arguments = shlex.split(command)
        inner = typer.main.get_command(app).commands[name]  # pyright: ignore[reportAttributeAccessIssue]
        given = inner.make_context(name, arguments).params
        values = {"teacher.path": given["teacher"], "method": given["method"]}
        wanted = student_from_text(given["student"] or "")
        values |= {f"student.{key}": value for key, value in wanted.items()}
        recipe = load_recipe(None, given["setting"] or (), values)
        assert path.parent != PAGES or recipe.method == path.stem


def test_the_entry_names_every_term_divergence_and_rule() -> None:
    """What a term can do and no page tells is found by nobody."""
    text = ENTRY.read_text(encoding="utf-8")
    divergences = get_args(LogitsTerm.model_fields["divergence"].annotation)
    wanted = [
        *(f"- {{kind: {term().kind}, " for term in TERMS),
        *(f"| `{name}` |" for name in (*divergences, *get_args(LayerMapRule))),
        *(f"`{name}`" for name in get_args(LogitsTerm.model_fields["examples"].annotation)),
    ]
    missing = [name for name in wanted if name not in text]
    assert not missing, f"docs/methods.md does not name {missing}"


def test_the_table_of_sizes_is_that_of_the_code() -> None:
    """A disk that is planned by this table must not overflow."""
    from transformers import BertConfig

    from limbeck.config.methods import with_method
    from limbeck.teacher.attention import basis, part_width
    from limbeck.teacher.family import FAMILIES
    from limbeck.training.layer_maps import Depths, teacher_parts, with_layer_maps

    config = BertConfig(hidden_size=384, num_attention_heads=12, num_hidden_layers=6)
    rows = re.findall(
        r"^\| ([a-z0-9_, ]+) \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$",
        ENTRY.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    told = {name: tuple(int(cell.replace(",", "")) for cell in row[1:])
            for row in rows for name in row[0].split(", ")}  # fmt: skip
    for method in METHODS:
        tree = with_method({"teacher": "./my-model", "method": method.name})
        recipe = checked(Recipe, tree, method.name)
        terms = [*recipe.terms, *(term for stage in recipe.stages for term in stage.terms)]
        depths = Depths(6 if method.name == "mobilebert" else 3, 6)
        parts = basis(FAMILIES["bert"], teacher_parts(with_layer_maps(terms, depths), depths))
        width = sum(part_width(config, part) for part in parts)
        found = (len(parts), 2 * width, width + 4 * len(parts))
        assert told.get(method.name, (0, 0, 0)) == found, method.name
