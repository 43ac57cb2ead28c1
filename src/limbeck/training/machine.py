"""What this machine trains fastest with, measured once and kept."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.config.recipe import TrainingConfig
from limbeck.files import read_json, write_json

_WORTHWHILE = 1.3
"""bfloat16 must multiply this many times faster: the casts around a product cost time too."""


@dataclass(frozen=True)
class Machine:
    """How to train here.

    Attributes:
        precision: float32 or bfloat16 (autocast; weights and losses stay float32).
        attention: eager or sdpa.
        threads: CPU threads of torch.
    """

    precision: str
    attention: str
    threads: int


def choose(config: TrainingConfig) -> Machine:
    """The recipe's choices, and what this machine does best where it says auto."""
    import torch

    threads = config.threads or available_cores()
    precision, attention = config.precision, config.attention
    if precision == "auto":
        precision = _measured_precision(threads)
    if attention == "auto":
        attention = "sdpa" if torch.cuda.is_available() else "eager"
    return Machine(precision, attention, threads)


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


def _measured_precision(count: int) -> str:
    import torch

    place = cache_folder() / "precision.json"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()
    key = f"{device} | {count} threads | torch {torch.__version__}"
    known: dict[str, float] = read_json(place) if place.exists() else {}
    if key not in known:
        with threads(count):
            known[key] = round(_bfloat16_gain(), 2)
        write_json(place, known)
    return "bfloat16" if known[key] >= _WORTHWHILE else "float32"


def _bfloat16_gain() -> float:
    """How many times faster a product of a typical step is in bfloat16 than in float32."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        left = torch.randn(1024, 384, device=device).to(dtype)
        right = torch.randn(384, 1536, device=device).to(dtype)
        times = []
        for _ in range(30):
            start = time.perf_counter()
            product = left @ right
            float(product[0, 0])
            times.append(time.perf_counter() - start)
        seconds[dtype] = sorted(times)[len(times) // 2]
    return seconds[torch.float32] / seconds[torch.bfloat16]


def cache_folder() -> Path:
    """Where facts about this machine are kept: $LIMBECK_CACHE, else the user's cache folder."""
    own = os.environ.get("LIMBECK_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "limbeck"
