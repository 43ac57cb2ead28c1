"""How training reads the teacher, whether it was recorded or is asked in every step."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Protocol

import numpy as np

from limbeck.data.encode import Encoded
from limbeck.knowledge.store import Kind
from limbeck.teacher.ask import ask
from limbeck.teacher.precision import cast_linears, computing_in

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint


class Answers(Protocol):
    """The teacher's answers by row index; on any device."""

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits [rows, classes], float32."""
        ...

    def hidden(self, layer: int, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """Hidden states of a layer, zero-padded: float32 [rows, width, hidden]."""
        ...


class LiveTeacher:
    """Asks the teacher anew for every batch. Slower than recorded answers, and no disk.

    Hidden states pass through float16 as recorded ones do, so that both give the same losses.
    Answers stay on the teacher's device: nothing waits for them.
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
        self._logits: Tensor
        self._states: dict[int, Tensor] = {}

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits [rows, classes], float32."""
        self._ask(rows)
        return self._logits

    def hidden(self, layer: int, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """Hidden states of a layer, zero-padded: float32 [rows, width, hidden]."""
        from torch.nn import functional

        self._ask(rows)
        states = self._states[layer]
        more = width - states.shape[1]  # negative cuts padding off
        return functional.pad(states, (0, 0, more, 0) if left else (0, 0, 0, more))

    def _ask(self, rows: np.ndarray) -> None:
        import torch

        if self._rows is not None and np.array_equal(rows, self._rows):
            return
        batch = self._checkpoint.batch(self._encoded, rows)
        if self._model.device.type == "cuda":
            batch = batch.pinned()
        with torch.no_grad(), computing_in(self._model, self._kind.precision):
            answer = ask(self._model, batch, self._checkpoint.family, self._kind.hidden)
        real = batch.attention_mask.to(self._model.device, non_blocking=True).bool()[..., None]
        self._logits = answer.logits.float()
        self._states = {
            layer: state.half().float().where(real, 0.0) for layer, state in answer.hidden.items()
        }
        self._rows = rows
