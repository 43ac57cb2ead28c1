"""A training's state on disk: everything that a resumed run needs to end like a straight one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from limbeck.files import read_json, restored, whole_folder, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn


class Resumable(Protocol):
    """What is trained: a `Stepper`, or an optimizer alone."""

    def state(self) -> Mapping[str, Tensor]:
        """All that a resumed training needs."""
        ...

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        ...


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        step: Optimizer steps taken.
        epoch: The epoch under way, from 0.
        batch: Batches of it already taken.
        best_score: Best validation score so far, or -1 before the first look.
        best_step: The step that gave it.
        looks_since_best: Looks at validation since then.
        seconds: Time spent training, in seconds, over all sessions.
        stopped_early: Whether patience ran out.
        finished: Whether there is nothing left to do.
        looks: Step and score of every look.
        balance: State of the terms' adapting weights.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_score: float = -1.0
    best_step: int = 0
    looks_since_best: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    finished: bool = False
    looks: list[dict[str, float]] = field(default_factory=list)
    balance: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The folder of one arm: ``last`` (to go on from) and ``best`` (to keep)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def progress(self) -> Progress | None:
        """Where the last checkpoint stands, or None if there is none."""
        path = restored(self.folder / "last") / "progress.json"
        return Progress(**read_json(path)) if path.exists() else None

    def save(self, progress: Progress, trained: Resumable) -> None:
        """Keep the state after a step, whole or not at all."""
        import torch
        from safetensors.torch import save_file

        tensors = dict(trained.state())
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        with whole_folder(self.folder / "last") as part:
            save_file(_plain(tensors), part / "state.safetensors")
            write_json(part / "progress.json", asdict(progress))

    def restore(self, trained: Resumable) -> Progress:
        """Put the last checkpoint's state into what is trained and into random numbers."""
        import torch
        from safetensors.torch import load_file

        tensors = load_file(self.folder / "last" / "state.safetensors")
        trained.load(tensors)
        torch.set_rng_state(tensors["random.cpu"])
        if torch.cuda.is_available() and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"])
        progress = self.progress()
        assert progress is not None
        return progress

    def keep_best(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Keep these weights as those of the best step so far.

        Every best step has its own file: a kill between this and the next checkpoint then
        leaves the file that the checkpoint names.
        """
        from safetensors.torch import save_file

        with whole_folder(self.folder / f"best-{step}") as part:
            save_file(_plain(weights), part / "model.safetensors")

    def drop_other_bests(self, step: int) -> None:
        """Delete the best states that the last checkpoint no longer names."""
        import shutil

        for folder in self.folder.glob("best-*"):
            if folder.name != f"best-{step}":
                shutil.rmtree(folder, ignore_errors=True)

    def load_best(self, module: nn.Module, step: int) -> None:
        """Put the best state back into the module."""
        from safetensors.torch import load_file

        module.load_state_dict(load_file(self.folder / f"best-{step}" / "model.safetensors"))


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU that share no memory, as safetensors wants."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
