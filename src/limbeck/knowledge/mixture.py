"""Several teachers as one: their probabilities mixed, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.stages import EnsembleConfig
from limbeck.knowledge.answers import Answers
from limbeck.tasks.task import Task
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Voice:
    """One teacher's answers.

    Attributes:
        answers: On the rows of the training.
        order: For each class of the first teacher, this one's index of it.
    """

    answers: Answers
    order: np.ndarray


class Mixture:
    """What several teachers say together, as `Task.mixed` has it.

    Of classes that is the logarithm of their mixed probabilities: a mixture of distributions is
    what an ensemble predicts, and its logarithm serves every loss on logits, at any temperature.
    States of layers are those of the first teacher.

    Args:
        voices: The first teacher's and the others'.
        config: How to mix.
        labels: Class of each row, -100 where there is none, for `confidence`.
        task: How its outputs are mixed.
    """

    told = None

    def __init__(
        self, voices: Sequence[Voice], config: EnsembleConfig, labels: np.ndarray, task: Task
    ) -> None:
        self._voices, self._config, self._labels, self._task = voices, config, labels, task

    def logits(self, rows: np.ndarray) -> Tensor:
        """The task's mixed outputs [rows, outputs], float32."""
        import torch

        logits = torch.stack([self._ordered(voice, rows) for voice in self._voices])
        return self._task.mixed(logits, self._weights(logits, rows))

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """The first teacher's."""
        return self._voices[0].answers.states(part, rows, width=width, left=left)

    def _ordered(self, voice: Voice, rows: np.ndarray) -> Tensor:
        import torch

        return voice.answers.logits(rows)[:, torch.from_numpy(voice.order)]

    def _weights(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """One weight a teacher and row [teachers, rows]; they sum to 1 over the teachers."""
        import torch

        from limbeck.objective import confidence_mixture

        count = len(self._voices)
        match self._config.combine:
            case "mean" | "domain":
                return torch.full(logits.shape[:2], 1 / count, device=logits.device)
            case "weighted":
                assert self._config.weights is not None
                weights = torch.tensor(self._config.weights, device=logits.device)
                return (weights / weights.sum())[:, None].expand(logits.shape[:2])
            case "confidence":
                labels = torch.from_numpy(self._labels[rows]).to(logits.device)
                return confidence_mixture(logits, labels)
