"""A process for each arm: one computes, the others wait.

Lines of JSON go in, lines of JSON come out; whatever libraries print goes to the log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from speed_arms.arm import Arm, Settings, TrainingArm, Unit, accuracy, memory_mb


class Worker:
    """The driver's end: starts an arm's process and asks it for one thing at a time."""

    def __init__(self, arm: str, settings: Settings) -> None:
        self.arm = arm
        work = Path(settings.work) / f"{arm}-{settings.seed}"
        work.mkdir(parents=True, exist_ok=True)
        self._log = work / "log.txt"
        own = json.dumps(asdict(replace(settings, work=str(work))))
        path = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "speed_arms.worker", arm, own],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, path)),
                    "OMP_NUM_THREADS": str(settings.threads),
                    "CUDA_VISIBLE_DEVICES": "",
                },
            )

    def unit(self, rows: Path) -> Unit:
        """One unit of the arm's work."""
        return Unit(**self.ask("unit", rows))

    def ask(self, what: str, rows: Path | None = None) -> Any:
        """The arm's answer to `what`; the end of its log if it died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"what": what, "rows": str(rows)}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._died()
        line = self._process.stdout.readline()
        if not line:
            self._died()
        return json.loads(line)

    def _died(self) -> None:
        self._process.wait()
        sys.exit(f"{self.arm} failed:\n{self._log.read_text()[-4000:]}")

    def close(self) -> None:
        """End the process, at once: an arm that computed on would disturb whatever comes next."""
        self._process.kill()
        self._process.wait()


@contextmanager
def worker(arm: str, settings: Settings) -> Iterator[Worker]:
    """A worker that is ended, whatever happens."""
    started = Worker(arm, settings)
    try:
        yield started
    finally:
        started.close()


def answer(arm_name: str, settings: Settings) -> None:
    """The worker's end: answer until the input ends."""
    import torch

    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    arm = _arm(arm_name, settings)
    for line in sys.stdin:
        request = json.loads(line)
        reply = _reply(arm, settings, request["what"], Path(request["rows"]))
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _reply(arm: Arm, settings: Settings, what: str, rows: Path) -> Any:
    match what:
        case "unit":
            return asdict(arm.unit(rows))
        case "accuracy":
            return accuracy(cast(TrainingArm, arm).student, settings, rows)
        case "profile":
            return cast(Any, arm).profile(rows)
        case "peak_mb":
            return memory_mb("VmHWM")
        case _:
            raise ValueError(f"{what!r} is nothing that an arm is asked")


def _arm(name: str, settings: Settings) -> Arm:
    """The arm of this name; only its own libraries are loaded, so that its peak is its own."""
    if name.startswith("limbeck"):
        from speed_arms import own

        match name:
            case "limbeck_live":
                return own.Limbeck(settings, "live")
            case "limbeck_recorded":
                return own.Limbeck(settings, "recorded")
            case "limbeck_record":
                return own.LimbeckRecord(settings)
            case _:
                return own.LimbeckMemory(settings)
    if name == "products":
        from speed_arms.arithmetic import Products

        return Products(settings)
    from speed_arms import rivals

    kinds = {
        "textbrewer": rivals.TextBrewer,
        "trainer": rivals.TransformersTrainer,
        "plain_fp32": rivals.PlainFloat32,
        "plain_record": rivals.PlainRecord,
    }
    return kinds[name](settings)


if __name__ == "__main__":
    own = json.loads(sys.argv[2])
    answer(sys.argv[1], Settings(**{**own, "layers": tuple(own["layers"])}))
