"""The files of the speed benchmark: rows that are drawn, and results that are kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import random
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from limbeck.files import read_json, write_json
from limbeck.machine import describe
from speed_arms.arm import read_lines

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared"
DATA = SHARED / "data" / "sst2"
TEACHER = SHARED / "models" / "minilm-l6-sst2"
RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
_EXAM_ROWS = 64


def write_lines(rows: Iterable[dict[str, Any]], place: Path) -> Path:
    """The rows as a .jsonl file."""
    with place.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return place


def exam(folder: Path) -> Path:
    """A few of the dev rows: limbeck wants to look at some, and its looks are not timed."""
    return write_lines(read_lines(DATA / "dev.jsonl")[:_EXAM_ROWS], folder / "exam.jsonl")


def samples(source: Path, folder: Path, *, rows: int, count: int, seed: int) -> list[Path]:
    """`count` files of `rows` rows each, no row in two of them, drawn by the seed."""
    lines = read_lines(source)
    if rows * count > len(lines):
        sys.exit(f"{count} samples of {rows} rows need more than the {len(lines)} rows there are.")
    drawn = random.Random(seed).sample(lines, rows * count)
    return [
        write_lines(drawn[start * rows : (start + 1) * rows], folder / f"rows-{start}.jsonl")
        for start in range(count)
    ]


def kept(mode: str) -> dict[str, Any]:
    """What this mode has in the results, or nothing."""
    return read_json(RESULTS).get(mode, {}) if RESULTS.exists() else {}


def keep(mode: str, numbers: dict[str, Any]) -> None:
    """Write a mode's numbers beside those of the other modes, with what made them."""
    before = read_json(RESULTS) if RESULTS.exists() else {}
    machine = describe()
    machine["textbrewer"] = importlib.metadata.version("textbrewer") if has_textbrewer() else None
    made = {
        "command": shlex.join(["python", "benchmarks/speed.py", *sys.argv[1:]]),
        "commit": commit(),
        "machine": machine,
        **numbers,
    }
    write_json(RESULTS, {**before, mode: made})


def has_textbrewer() -> bool:
    """Whether TextBrewer is installed."""
    try:
        importlib.metadata.version("textbrewer")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def commit() -> str:
    """The commit, and whether its sources were changed since."""
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "src", "benchmarks/*.py")
    return f"{head} with changes" if changed else head


def sources() -> str:
    """A hash of limbeck's own code: what its figures were made with, committed or not."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return done.stdout.strip()
