"""Several teachers as one: their probabilities mixed, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.stages import EnsembleConfig
from limbeck.knowledge.answers import Answers
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
    """What several teachers say together: the logarithm of their mixed probabilities.

    A mixture of distributions is what an ensemble predicts; its logarithm serves every loss on
    logits, at any temperature. States of layers are those of the first teacher.

    Args:
        voices: The first teacher's and the others'.
        config: How to mix.
        labels: Class of each row, -100 where there is none, for `confidence`.
    """

    def __init__(self, voices: Sequence[Voice], config: EnsembleConfig, labels: np.ndarray) -> None:
        self._voices, self._config, self._labels = voices, config, labels

    def logits(self, rows: np.ndarray) -> Tensor:
        """Log-probabilities [rows, classes], float32."""
        import torch

        logits = torch.stack([self._ordered(voice, rows) for voice in self._voices])
        weights = self._weights(logits, rows)
        log_probabilities = torch.log_softmax(logits.float(), dim=-1)
        return torch.logsumexp(log_probabilities + weights.log()[..., None], dim=0)

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
            case "mean":
                return torch.full(logits.shape[:2], 1 / count, device=logits.device)
            case "weighted":
                assert self._config.weights is not None
                weights = torch.tensor(self._config.weights, device=logits.device)
                return (weights / weights.sum())[:, None].expand(logits.shape[:2])
            case "confidence":
                labels = torch.from_numpy(self._labels[rows]).to(logits.device)
                return confidence_mixture(logits, labels)
