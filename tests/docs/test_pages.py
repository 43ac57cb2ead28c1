"""README and docs are true: their code runs, their generated parts are those of the code."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def like_a_user(
    teacher: Path, files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with the files that the README names."""
    shutil.copytree(teacher, tmp_path / "my-model")
    for name, source in {"train": "train", "dev": "validation"}.items():
        shutil.copy(files[source], tmp_path / f"{name}.jsonl")
    rows = [json.loads(line) for line in files["test"].read_text().splitlines()]
    lines = ["text,label"] + [f"{row['text']},{row['label']}" for row in rows]
    (tmp_path / "test.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "texts.txt").write_text("\n".join(row["text"] for row in rows[:5]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readmes_python_runs(like_a_user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The six lines are the first that a user tries."""
    blocks = _blocks("README.md", "python")
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "The student keeps" in capsys.readouterr().out


def test_the_python_of_the_page_on_budgets_runs(
    like_a_user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is copied as it stands."""
    (block,) = _blocks("docs/budgets.md", "python")
    exec(compile(block, "docs/budgets.md", "exec"), {})
    assert "Structure(layers=" in capsys.readouterr().out


def test_the_command_of_the_page_on_vocabularies_runs(
    like_a_user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is copied as it stands."""
    from limbeck.cli.main import app, run

    (block,) = _blocks("docs/vocabularies.md", "bash")
    arguments = shlex.split(block.replace("\\\n", " "))[1:]
    assert run(lambda: app(arguments, standalone_mode=False)) == 0
    report = json.loads((like_a_user / "runs/own-tokens/report.json").read_text())
    assert report["data"]["vocabulary"]["student_vocabulary"] > 50


def test_the_readmes_commands_run(
    like_a_user: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `limbeck …` line of the first screen, as it stands there."""
    from limbeck.cli.main import app, run

    commands = [
        line
        for block in _blocks("README.md", "bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("limbeck ") and "recipes/" not in line and "demo" not in line
    ]
    assert any("distill" in command for command in commands)
    assert any("predict" in command for command in commands)
    for command in commands:
        arguments = shlex.split(command)[1:]
        assert run(lambda arguments=arguments: app(arguments, standalone_mode=False)) == 0, command
    assert '"label": ' in capsys.readouterr().out


def test_the_recipe_page_is_that_of_the_code() -> None:
    """A key that is documented wrongly is worse than one that is not."""
    from limbeck.config.describe import page

    assert (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8") == page()


def test_the_schema_is_that_of_the_code() -> None:
    """Programs are generated from it."""
    from limbeck.evaluation.report import json_schema

    assert json.loads((ROOT / "docs" / "report.schema.json").read_text()) == json_schema()


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_every_recipe_is_one(path: Path) -> None:
    """A recipe with a typo is refused, also ours; its first line is its command."""
    from limbeck.config.load import load_recipe

    assert load_recipe(path).terms
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# limbeck distill recipes/{path.name}")


def test_links_lead_somewhere() -> None:
    """A dead link is a broken promise."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
