"""Writing that a kill cannot leave half done: everything appears whole, by a rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limbeck.errors import LimbeckError, OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL_SAID = re.compile(r"No space left on device|\(os error 28\)|\d+ requested and \d+ written")
"""A full disk as safetensors (Rust) and numpy tell it: without an errno."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file takes its name only when all of it is on disk."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _part(path)
        try:
            yield part
            _sync(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; it replaces `path` only when all of it is on disk."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _part(path)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            for file in part.rglob("*"):
                if file.is_file():
                    _sync(file)
            old = _set_aside(path)
            shutil.rmtree(old, ignore_errors=True)
            if path.exists():
                path.replace(old)
            part.replace(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def restored(path: Path) -> Path:
    """`path`, put back if a kill came between the two renames that replace a folder."""
    old = _set_aside(path)
    if old.exists() and not path.exists():
        old.replace(path)
    return path


def _set_aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _part(path: Path) -> Path:
    """Where `path` is written at first; what killed processes of this machine left is deleted."""
    host = re.sub(r"\W+", "-", socket.gethostname())
    for left in path.parent.glob(f".{path.name}.{host}-*.part"):
        process = left.name.removesuffix(".part").rsplit("-", 1)[1]
        if process.isdigit() and not _alive(int(process)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{host}-{os.getpid()}.part")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_json(path: Path, content: Any) -> None:
    """`content` as JSON, whole or not at all; NaN is refused, it is no JSON."""
    with whole_file(path) as part:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_mb(path: Path) -> float:
    """Size of a file, or of all files in a folder, in MB (10^6 bytes)."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def free_mb(path: Path) -> float:
    """Free space on the disk that would hold `path`, in MB."""
    existing = next(folder for folder in [path, *path.absolute().parents] if folder.exists())
    return shutil.disk_usage(existing).free / 1e6


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except LimbeckError:
        raise
    except Exception as error:
        told = disk_error(error, path)
        if told is None:
            raise
        raise told from error


def disk_error(error: Exception, path: Path) -> OutputError | None:
    """The clear message for a disk that is full or a path without access, else None."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL or _FULL_SAID.search(str(error)):
        return OutputError(
            str(path),
            f"the disk is full ({free_mb(path):.0f} MB free)",
            "Free some space and give the same command again: it goes on where it stopped.",
        )
    if number in _FORBIDDEN:
        return OutputError(
            str(path),
            f"access is refused ({os.strerror(number or 0)})",
            "Change its permissions, or name another place.",
        )
    return None


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
