"""The command line: `limbeck` and what its commands end with. Heavy imports wait inside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from limbeck.cli import making, measuring
from limbeck.cli.app import app

__all__ = ["app", "main", "making", "measuring", "run"]

_INTERRUPTED = "\nInterrupted. Nothing is lost: give the same command again, and it goes on.\n"


def main() -> None:
    """Run the command line; every mistake of the user's ends in one message and status 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.exit(run(lambda: app(standalone_mode=True)))


def run(command: Callable[[], Any]) -> int:
    """The exit status of a command: 0, 2 for the user's mistakes, 130 after Ctrl-C."""
    from limbeck.errors import LimbeckError
    from limbeck.files import disk_error

    try:
        command()
    except SystemExit as leaving:  # what typer makes of everything, Ctrl-C included
        if leaving.code == 130:
            sys.stderr.write(_INTERRUPTED)
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except LimbeckError as error:
        sys.stderr.write(f"\n{type(error).__name__}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(_INTERRUPTED)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        told = disk_error(error, Path(getattr(error, "filename", None) or "."))
        if told is None:
            raise
        sys.stderr.write(f"\n{type(told).__name__}: {told}\n")
        return 2
    return 0
