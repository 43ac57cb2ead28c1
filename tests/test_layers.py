"""The layout: imports go one way, and the public names are what they say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "limbeck"
ORDER = [
    "errors", "progress", "files", "mapped", "machine", "config", "objective", "metrics", "data",
    "tasks", "teacher", "knowledge", "student", "training", "runtime", "evaluation", "export",
    "budget", "run", "plan", "pretrain", "distill", "frontier", "teach", "compare", "serve", "demo",
    "cli",
]  # fmt: skip
MODULES = sorted(SOURCE.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    """First names below `limbeck` that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("limbeck.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    """A folder that imports from below it cannot be understood, or used, alone."""
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    place = ORDER.index(own)
    for name in _imports(path) - {own}:
        assert ORDER.index(name) < place, f"{path} imports limbeck.{name}"


def test_objective_imports_nothing_of_ours() -> None:
    """The losses are pure functions that anybody can take."""
    for path in (SOURCE / "objective").glob("*.py"):
        assert _imports(path) <= {"objective"}


def test_serving_imports_nothing_of_training() -> None:
    """A service must not carry the trainer along."""
    for path in (SOURCE / "serve").glob("*.py"):
        assert not _imports(path) & {"training", "run", "distill", "objective", "knowledge"}


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import limbeck",
        "from limbeck import Recipe, load_recipe",
        "from limbeck.cli.main import app",
        "from limbeck.serve.predictor import Predictor",
        "from limbeck.runtime.onnx_model import OnnxAnswerer",
        "import limbeck.metrics",
    ],
)
def test_torch_waits_until_it_is_needed(code: str) -> None:
    """Help, recipes and served exports must not wait for torch, or need it."""
    assert not _modules_after(code) & {"torch", "transformers", "sklearn", "datasets"}


def test_distill_is_the_function_however_it_is_imported() -> None:
    """The module of the same name must not take its place."""
    from limbeck import distill, teach
    from limbeck.distill import distill as same

    assert distill is same
    assert callable(teach)


def test_files_stay_one_idea() -> None:
    """A file of many hundred lines holds two ideas."""
    long = [path.name for path in MODULES if len(path.read_text().splitlines()) > 425]
    assert long == []
