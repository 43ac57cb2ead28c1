"""The run's folder: whose it is, and what is left in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config.load import load_recipe
from limbeck.errors import OutputError, RecipeError
from limbeck.files import read_json, restored, whole_file, whole_folder, write_json
from limbeck.run.folder import RunFolder

Make = Callable[..., Any]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Makes a recipe whose output is tmp_path/runs/one."""

    def make(**settings: Any) -> Any:
        values = {"teacher": "x", "output": str(tmp_path / "runs" / "one")}
        values |= {key.replace("__", "."): value for key, value in settings.items()}
        return load_recipe(None, values=values)

    return make


def _claim(recipe: Any) -> Any:
    run = RunFolder(recipe.output)
    with run.claimed(recipe) as settled:
        run.write_recipe(settled)
    return settled


def test_a_run_that_fails_before_it_writes_leaves_no_folder(made: Make, tmp_path: Path) -> None:
    """A refused command must leave the disk as it was."""
    recipe = made()
    with pytest.raises(ZeroDivisionError), RunFolder(recipe.output).claimed(recipe):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_of_the_users_is_not_deleted(made: Make, tmp_path: Path) -> None:
    """Only what the run made is the run's to delete."""
    recipe = made()
    Path(recipe.output).mkdir(parents=True)
    with pytest.raises(ZeroDivisionError), RunFolder(recipe.output).claimed(recipe):
        raise ZeroDivisionError
    assert Path(recipe.output).is_dir()


def test_the_same_recipe_claims_its_folder_again(made: Make) -> None:
    """This is how a killed run goes on."""
    first = _claim(made())
    assert _claim(made()) == first
    assert RunFolder(first.output).stored() == first


def test_what_was_settled_before_replaces_auto(made: Make) -> None:
    """A resumed run must not change its precision half way."""
    _claim(
        made(training__precision="float32", training__threads=1, knowledge__precision="bfloat16")
    )
    settled = _claim(made(training__precision="auto", knowledge__precision="auto"))
    assert settled.training.precision == "float32"
    assert settled.training.threads == 1
    assert settled.knowledge.precision == "bfloat16"


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 7), ("training__epochs", 9), ("method", "hidden"), ("data__train", "other.csv")],
)
def test_refuses_another_recipe_and_names_the_difference(
    made: Make, key: str, value: object
) -> None:
    """Two runs in one folder would be neither."""
    _claim(made())
    before = Path(made().output, "recipe.yaml").read_bytes()
    with pytest.raises(OutputError, match="this folder holds another run: its "):
        _claim(made(**{key: value}))
    assert Path(made().output, "recipe.yaml").read_bytes() == before


def test_refuses_a_folder_that_holds_something_else(made: Make) -> None:
    """It may be the folder of somebody's photographs."""
    folder = Path(made().output)
    folder.mkdir(parents=True)
    (folder / "photo.jpg").write_text("x")
    with pytest.raises(OutputError, match=r"holds something else \(photo\.jpg\)"):
        _claim(made())
    assert [entry.name for entry in folder.iterdir()] == ["photo.jpg"]


def test_refuses_a_file_and_a_path_below_a_file(made: Make, tmp_path: Path) -> None:
    """A file of this name is not ours to replace."""
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OutputError):
            _claim(made(output=str(output)))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("content", ["teacher: [", "teacher: x\nold_key: 1\n", ""])
def test_a_damaged_recipe_in_the_folder_is_refused_with_its_place(made: Make, content: str) -> None:
    """A traceback would not say which file it is."""
    _claim(made())
    path = Path(made().output, "recipe.yaml")
    path.write_text(content)
    with pytest.raises(RecipeError, match=re.escape(str(path))):
        _claim(made())


def test_refuses_a_folder_in_which_a_run_is_working(made: Make) -> None:
    """Two processes would overwrite each other's checkpoints."""
    recipe = made()
    with (
        RunFolder(recipe.output).claimed(recipe),
        pytest.raises(OutputError, match="another limbeck is working"),
        RunFolder(recipe.output).claimed(recipe),
    ):
        pass
    _claim(recipe)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """Half a report looks like a report."""
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ZeroDivisionError), whole_file(path) as part:  # noqa: PT012
        part.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"score": float("nan")})
    assert read_json(path) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """Half a checkpoint looks like a checkpoint."""
    place = tmp_path / "last"
    for content in ("old", "new"):
        with whole_folder(place) as part:
            (part / "file").write_text(content)
            (part / content).write_text("")
    with pytest.raises(ZeroDivisionError), whole_folder(place) as part:  # noqa: PT012
        (part / "file").write_text("half")
        raise ZeroDivisionError
    assert sorted(entry.name for entry in place.iterdir()) == ["file", "new"]
    assert (place / "file").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


def test_a_folder_whose_replacement_was_killed_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two renames there is no checkpoint: a kill there must not lose both."""
    place = tmp_path / "last"
    with whole_folder(place) as part:
        (part / "file").write_text("old")
    code = (
        "import os, sys; from pathlib import Path; import limbeck.files as files\n"
        "rename = Path.replace\n"
        "def killed(self, target):\n"
        "    if self.name.endswith('.part'): os.kill(os.getpid(), 9)\n"
        "    return rename(self, target)\n"
        "Path.replace = killed\n"
        "with files.whole_folder(Path(sys.argv[1])) as part: (part / 'file').write_text('new')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(place)], check=False).returncode == -9
    assert not place.exists()
    assert (restored(place) / "file").read_text() == "old"
    with whole_folder(place) as part:
        (part / "file").write_text("newer")
    assert [entry.name for entry in tmp_path.iterdir()] == ["last"]


def test_parts_of_killed_processes_are_swept_and_those_of_living_ones_kept(
    tmp_path: Path,
) -> None:
    """Each kill would leave a file of the size of the model for ever."""
    code = (
        "import os, sys; from pathlib import Path; from limbeck.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as part: part.write_text('x'); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "big.bin"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    left = next(tmp_path.iterdir())
    living = left.with_name(re.sub(r"-\d+\.part$", f"-{os.getppid()}.part", left.name))
    living.write_text("of another process")
    with whole_file(path) as part:
        part.write_text("whole")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([living.name, "big.bin"])
