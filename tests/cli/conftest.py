"""The command line in this process and in its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    told: str


@pytest.fixture
def limbeck(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a command in this process, from inside tmp_path."""
    from limbeck.cli.main import app, run

    monkeypatch.chdir(tmp_path)

    def command(*arguments: object) -> Ended:
        capsys.readouterr()
        status = run(lambda: app([str(one) for one in arguments], standalone_mode=True))
        return Ended(status, capsys.readouterr().err)

    return command


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command in its own process, after a piece of code that prepares it."""

    def start(*arguments: object, prepare: str = "") -> subprocess.Popen[str]:
        # A job in the background is born deaf to Ctrl-C, and so are the tests that run in one.
        hears = "signal.signal(signal.SIGINT, signal.default_int_handler)"
        main = "from limbeck.cli.main import main\nmain()"
        code = f"import os, sys, signal\n{hears}\n{prepare}\n{main}"
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    return start
