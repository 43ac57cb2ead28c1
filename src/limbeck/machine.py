"""This machine: its cores, its name, and what was measured on it once and kept."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limbeck.files import read_json, write_json

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h."""
_LARGEST_BLOCK = 32 * 2**20
"""The most that glibc lets a block on the heap be."""
_keeping = 0
"""How many uses of `kept_pages` are open: the setting is the process's."""


def cores_or(wished: int | None) -> int:
    """The number of threads that was wished for, or all cores."""
    return wished or available_cores()


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run torch on `count` threads inside, and as before outside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def describe() -> dict[str, Any]:
    """Processor, cores, memory and library versions: what figures are comparable with."""
    import onnxruntime
    import psutil
    import torch
    import transformers

    return {
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def processor_name() -> str:
    """The processor's name and instruction sets that matter for matrix products."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    matters = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    flags = [flag for flag in matters if flag in facts.get("flags", "").split()]
    family = f"family {facts.get('cpu family', '?')} model {facts.get('model', '?')}"
    return f"{facts.get('model name', platform.machine())} ({family}; {', '.join(flags)})"


@contextmanager
def tensor_cores() -> Iterator[None]:
    """Inside, float32 products on a GPU go through its tensor cores (TF32), where it has them."""
    import torch

    before = torch.get_float32_matmul_precision()
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def kept_pages() -> Iterator[None]:
    """Inside, memory that is freed stays with the process, to be used again by the next step.

    glibc hands large blocks back to the system when they are freed and fetches them again zeroed,
    page by page: 2,100 page faults a training step, 15 % of a core. After the outermost use
    everything is handed back. Does nothing where the C library is another one.
    """
    global _keeping
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt, malloc_trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    _keeping += 1
    try:
        yield
    finally:
        _keeping -= 1
        if not _keeping:
            # Where glibc's own adjustment ends after the first large block has been freed.
            mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_BLOCK)
            malloc_trim(0)


def remembered(file: str, key: str, measure: Callable[[], Any]) -> Any:
    """What `measure` said the first time it was asked about `key` on this machine.

    A choice by timing would otherwise fall one way today and another way tomorrow.

    Args:
        file: Name of a JSON file in the cache folder.
        key: What decides the answer; the machine and torch's version are added.
        measure: Says something that JSON can hold.
    """
    import torch

    place = cache_folder() / file
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()
    whole = f"{device} | {torch.get_num_threads()} threads | torch {torch.__version__} | {key}"
    known: dict[str, Any] = read_json(place) if place.exists() else {}
    if whole not in known:
        measured = measure()
        known = read_json(place) if place.exists() else {}
        known[whole] = measured
        write_json(place, known)
    return known[whole]


def cache_folder() -> Path:
    """Where facts about this machine are kept: $LIMBECK_CACHE, else the user's cache folder."""
    own = os.environ.get("LIMBECK_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "limbeck"
