"""`limbeck plan` and `--budget` as they are typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli.main import app, run

Limbeck = Callable[..., Any]


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """How well this machine is timed is not what is tested here."""
    monkeypatch.setattr("limbeck.budget.probe._TURNS", 3)
    monkeypatch.setattr("limbeck.budget.probe._ROUNDS", 1)


@pytest.fixture
def options(teacher: Path, files: dict[str, Path]) -> list[object]:
    """What both commands take."""
    return ["--teacher", teacher, "--train", files["train"], "--test", files["test"],
            "--set", "data.max_tokens=32", "--set", "training.threads=1"]  # fmt: skip


@pytest.mark.parametrize("command", ["plan", "distill"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "latancy<=1ms"], ["student.budget", "Did you mean 'latency'?"]),
        (["--budget", "size>=6MB"], ["limits size the wrong way"]),
        (["--budget", ""], ["the budget is empty"]),
        (["--budget", "latency<=1ms", "--student", "hidden=16"], ["hidden is 16, but a budget"]),
        (["--budget", "latency<=1ms", "--student", "pruning.heads=1"], ["pruning.heads"]),
        (["--budget", "size<=6MB", "--set", "student.budget_runtime=onx"], ["onnx_int8"]),
        (["--budget", "size<=6MB", "--student", "layers=9"], ["the teacher has 4"]),
    ],
)
def test_a_bad_budget_ends_with_status_2_and_leaves_nothing(
    limbeck: Limbeck,
    options: list[object],
    tmp_path: Path,
    command: str,
    arguments: list[str],
    said: list[str],
) -> None:
    """Before anything is timed or trained."""
    ended = limbeck(command, *options, *arguments)
    assert ended.status == 2, ended.told
    assert "Traceback" not in ended.told
    for text in said:
        assert text in ended.told
    assert not (tmp_path / "runs").exists()
    assert not list(tmp_path.rglob("latency"))


def test_retention_alone_cannot_be_planned(limbeck: Limbeck, options: list[object]) -> None:
    """Only trained students say what is kept; the message names the command that trains them."""
    ended = limbeck("plan", *options, "--budget", "retention>=99%")
    assert ended.status == 2
    assert "limits neither time nor size" in ended.told
    assert "`limbeck distill` with this budget" in ended.told


def test_plan_without_a_budget_says_so(limbeck: Limbeck, options: list[object]) -> None:
    """There is nothing to plan for."""
    ended = limbeck("plan", *options)
    assert ended.status == 2
    assert 'Give one: --budget "latency<=1ms"' in ended.told


def test_plan_and_dry_run_show_one_student_and_read_no_weights(
    teacher: Path,
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is planned is what would be made; and both keep nothing but the table."""
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(teacher, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.chdir(tmp_path)
    given = [*options, "--teacher", bare, "--budget", "size<=95kB"]
    assert run(lambda: app(["plan", *map(str, given)], standalone_mode=False)) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    row = next(line for line in shown.splitlines() if line.startswith("* ")).split()
    assert [path.name for path in (tmp_path / "knowledge").iterdir()] == ["latency"]
    assert run(lambda: app(["distill", *map(str, given), "--dry-run"], standalone_mode=False)) == 0
    dry = capsys.readouterr().out
    assert f"student   {row[1]} layers" in dry
    assert "nothing was written but knowledge/latency" in dry
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "knowledge"]
