"""Several teachers, each about the rows of its own domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.errors import KnowledgeError
from limbeck.knowledge.mixture import Voice
from limbeck.tasks.task import Task
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from torch import Tensor

NO_DOMAIN = -1
"""Of rows that belong to no teacher's domain: all answer."""


def asked_about(domains: np.ndarray, teacher: int) -> np.ndarray:
    """The rows that a teacher is asked about: its domain's, and those of nobody's.

    Args:
        domains: Of each row, the teacher of its domain, or `NO_DOMAIN`.
        teacher: From 0.
    """
    return np.flatnonzero((domains == teacher) | (domains == NO_DOMAIN))


class ByDomain:
    """Each row's answer is that of its domain's teacher; of other rows all are mixed equally.

    Args:
        voices: The teachers, each with answers about the rows of `asked_about`, in their order.
        domains: As there.
        task: How outputs are mixed.
    """

    told = None

    def __init__(self, voices: Sequence[Voice], domains: np.ndarray, task: Task) -> None:
        self._voices, self._domains, self._task = voices, domains, task
        self._places = []
        for teacher in range(len(voices)):
            rows = asked_about(domains, teacher)
            places = np.full(len(domains), -1)
            places[rows] = np.arange(len(rows))
            self._places.append(places)

    def logits(self, rows: np.ndarray) -> Tensor:
        """The task's outputs [rows, outputs], float32."""
        import torch

        own = self._domains[rows]
        found = torch.empty(len(rows), len(self._voices[0].order))
        for teacher in range(len(self._voices)):
            here = np.flatnonzero(own == teacher)
            if len(here):
                found[torch.from_numpy(here)] = self._said(teacher, rows[here])
        shared = np.flatnonzero(own == NO_DOMAIN)
        if len(shared):
            said = torch.stack([self._said(one, rows[shared]) for one in range(len(self._voices))])
            weights = torch.full(said.shape[:2], 1 / len(self._voices))
            found[torch.from_numpy(shared)] = self._task.mixed(said, weights)
        return found

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """Nothing: the layers of several teachers are no layers of one.

        Raises:
            KnowledgeError: Always.
        """
        raise KnowledgeError(
            part.name,
            "each domain has a teacher of its own, and a layer of one is none of another",
            "Use terms of kind hard and logits.",
        )

    def _said(self, teacher: int, rows: np.ndarray) -> Tensor:
        import torch

        voice = self._voices[teacher]
        told = voice.answers.logits(self._places[teacher][rows])
        return told[:, torch.from_numpy(voice.order)].cpu()
