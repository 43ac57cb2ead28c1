"""How training reads the teacher, whether it was recorded or is asked in every step."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Protocol

import numpy as np

from limbeck.data.encode import Encoded
from limbeck.knowledge.record import answers
from limbeck.knowledge.recorded import padded_states
from limbeck.knowledge.store import Kind
from limbeck.teacher.precision import cast_linears, computing_in

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint


class Answers(Protocol):
    """The teacher's answers by row index."""

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Logits [rows, classes], float32."""
        ...

    def hidden(self, layer: int, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """Hidden states of a layer, zero-padded: float32 [rows, width, hidden]."""
        ...


class LiveTeacher:
    """Asks the teacher anew for every batch. Slower than recorded answers, and no disk.

    Hidden states pass through float16 as recorded ones do, so that both give the same losses.
    """

    def __init__(
        self, model: PreTrainedModel, checkpoint: Checkpoint, encoded: Encoded, kind: Kind
    ) -> None:
        self._model = model
        if kind.precision == "bfloat16":  # a copy: students are cut out of the float32 one
            self._model = copy.deepcopy(model)
            cast_linears(self._model)
        self._checkpoint = checkpoint
        self._encoded = encoded
        self._kind = kind
        self._rows: np.ndarray | None = None
        self._answer: tuple[np.ndarray, dict[int, list[np.ndarray]]] | None = None

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Logits [rows, classes], float32."""
        return self._ask(rows)[0]

    def hidden(self, layer: int, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """Hidden states of a layer, zero-padded: float32 [rows, width, hidden]."""
        return padded_states(self._ask(rows)[1][layer], width=width, left=left)

    def _ask(self, rows: np.ndarray) -> tuple[np.ndarray, dict[int, list[np.ndarray]]]:
        if self._answer is None or self._rows is None or not np.array_equal(rows, self._rows):
            self._rows = rows
            with computing_in(self._model, self._kind.precision):
                self._answer = answers(
                    self._model, self._checkpoint, self._encoded, rows, self._kind
                )
        return self._answer
