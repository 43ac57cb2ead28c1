"""Writing that a kill cannot leave half done: everything appears whole, by a rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limbeck.errors import OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file takes its name only when all of it is on disk."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
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
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            for file in part.rglob("*"):
                if file.is_file():
                    _sync(file)
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            if path.exists():
                path.replace(old)
            part.replace(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


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
    except OSError as error:
        told = disk_error(error, path)
        if told is None:
            raise
        raise told from error


def disk_error(error: OSError, path: Path) -> OutputError | None:
    """The clear message for a disk that is full or may not be written to, else None."""
    if error.errno in _FULL:
        return OutputError(
            str(path),
            f"the disk is full ({free_mb(path):.0f} MB free)",
            "Free some space and give the same command again: it goes on where it stopped.",
        )
    if error.errno in _FORBIDDEN:
        return OutputError(
            str(path),
            f"this may not be written ({error.strerror})",
            "Choose another folder, or change its permissions.",
        )
    return None


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
