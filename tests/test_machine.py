"""What is measured on a machine is measured once, and settings of the process are put back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import machine


def test_a_measurement_is_made_once_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice by timing that falls another way today gives another student today."""
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path))
    asked = []

    def measure() -> dict[str, float]:
        asked.append(1)
        return {"seconds": float(len(asked))}

    assert machine.remembered("x.json", "a", measure) == {"seconds": 1.0}
    assert machine.remembered("x.json", "a", measure) == {"seconds": 1.0}
    assert machine.remembered("x.json", "b", measure) == {"seconds": 2.0}
    with machine.threads(torch.get_num_threads() + 1):
        assert machine.remembered("x.json", "a", measure) == {"seconds": 3.0}


def test_threads_are_as_before_afterwards() -> None:
    """A library that leaves one thread behind slows its caller down for good."""
    before = torch.get_num_threads()
    with machine.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_memory_is_handed_back_after_the_outermost_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner uses that hand it back would fetch it again in the next training."""
    calls: list[str] = []

    class Libc:
        def mallopt(self, option: int, value: int) -> int:
            calls.append(f"{option} {value}")
            return 1

        def malloc_trim(self, _pad: int) -> int:
            calls.append("trim")
            return 1

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _name: Libc())
    with machine.kept_pages():
        with machine.kept_pages():
            pass
        assert "trim" not in calls
    assert calls[-1] == "trim"


def test_keeping_memory_is_left_out_where_the_c_library_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Alpine and macOS have no libc.so.6, and train all the same."""

    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr(machine.ctypes, "CDLL", missing)
    with machine.kept_pages():
        pass
