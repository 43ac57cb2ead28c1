"""A teacher that is asked about the very batch that the student sees."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.batches import Batch
from limbeck.knowledge.recorded import zero_padding
from limbeck.teacher.ask import Answer, ask
from limbeck.teacher.parts import Part
from limbeck.teacher.precision import cast_linears, computing_in

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint


class AskedAnew:
    """Answers about batches whose words are masked, in another way in every epoch.

    No answer of one epoch serves in the next, so none is recorded. Plain text that is not masked is
    asked about in the same way: it is seen once or a few times, and its states would fill disks.

    Args:
        model: The teacher, in eval mode, on its device.
        checkpoint: Its tokenizer gives the student's token ids.
        parts: What terms look at beside logits.
        precision: float32 or bfloat16.
        top_k: Of a language model: how many tokens are told of at each place; 0 for all.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        checkpoint: Checkpoint,
        parts: Sequence[Part],
        *,
        precision: str,
        top_k: int = 0,
    ) -> None:
        self._model = model
        if precision == "bfloat16":  # a copy: students are cut out of the float32 one
            self._model = copy.deepcopy(model)
            cast_linears(self._model)
        self._checkpoint, self._parts, self._precision = checkpoint, tuple(parts), precision
        self._top_k = top_k

    def about(self, batch: Batch) -> Heard:
        """What the teacher says to the batch."""
        import torch

        if not self._checkpoint.wants_types:
            batch = replace(batch, token_type_ids=None)
        with torch.no_grad(), computing_in(self._model, self._precision):
            answer = ask(
                self._model, batch, self._checkpoint.family, self._parts, top_k=self._top_k
            )
        return Heard(answer, batch.attention_mask.to(self._model.device, non_blocking=True))


@dataclass(frozen=True)
class Heard:
    """Answers about one batch, as `Answers` gives them.

    Attributes:
        answer: The teacher's.
        mask: The batch's, on the teacher's device.
    """

    answer: Answer
    mask: Tensor

    @property
    def told(self) -> None:
        """Every row has an answer."""
        return None

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits [rows, classes], or [masked, vocabulary]; float32. Rows are the batch's."""
        return self.answer.logits.float()

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """A part, zero at padding, float32; as wide as the batch."""
        return zero_padding(self.answer.states[part].float(), self.mask)
