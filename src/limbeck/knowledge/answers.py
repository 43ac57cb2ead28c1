"""How training reads the teacher, whether it was recorded or is asked in every step."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Protocol

import numpy as np

from limbeck.data.batches import Batch
from limbeck.data.encode import Encoded
from limbeck.data.ragged import words_of
from limbeck.knowledge.columns import rounded
from limbeck.knowledge.kind import Kind
from limbeck.knowledge.recorded import zero_padding
from limbeck.teacher.ask import ask
from limbeck.teacher.attention import with_distributions
from limbeck.teacher.parts import Part
from limbeck.teacher.precision import cast_linears, computing_in

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint


class Answers(Protocol):
    """The teacher's answers by row index; on any device."""

    @property
    def told(self) -> np.ndarray | None:
        """Which rows have an answer (bool [rows]); None where all have."""
        ...

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits [rows, classes], or [words of the rows, classes]; float32."""
        ...

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """A part, zero-padded to `width` tokens, float32.

        Returns:
            [rows, width, size], or [rows, heads, width, width] for attention distributions.
        """
        ...


class LiveTeacher:
    """Asks the teacher anew for every batch. Slower than recorded answers, and no disk.

    States are rounded as recorded ones are, so that both give the same losses. Answers
    stay on the teacher's device: nothing waits for them.
    """

    told = None

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
        self._mask: Tensor
        self._states: dict[Part, Tensor] = {}

    def logits(self, rows: np.ndarray) -> Tensor:
        """Logits [rows, classes], or [words of the rows, classes]; float32."""
        self._ask(rows)
        return self._logits

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """A part, zero-padded to `width` tokens, float32."""
        from torch.nn import functional

        self._ask(rows)
        found = with_distributions(
            (part,), self._states, self._mask, self._checkpoint.config, self._checkpoint.family
        )
        state = zero_padding(found[part], self._mask)
        more = width - self._mask.shape[1]  # negative cuts padding off
        side = (more, 0) if left else (0, more)
        return functional.pad(state, side + side if part.what == "attention" else (0, 0, *side))

    def forget(self) -> None:
        """Ask anew even about the last rows: the teacher's weights have moved."""
        self._rows = None

    def _ask(self, rows: np.ndarray) -> None:
        import torch

        if self._rows is not None and np.array_equal(rows, self._rows):
            return
        batch = self._checkpoint.batch(self._encoded, rows)
        if self._model.device.type == "cuda":
            batch = batch.pinned()
        with torch.no_grad(), computing_in(self._model, self._kind.precision):
            answer = ask(
                self._model,
                batch,
                self._checkpoint.family,
                self._kind.parts,
                top_k=self._kind.top_k,
            )
        self._mask = batch.attention_mask.to(self._model.device, non_blocking=True)
        self._logits = self._of_all_words(batch, answer.logits.float())
        self._states = {
            part: rounded(part, state, self._kind) for part, state in answer.states.items()
        }
        self._rows = rows

    def _of_all_words(self, batch: Batch, logits: Tensor) -> Tensor:
        """Zeros where a word has no token, as in shards; answers about texts stay as they are."""
        places = self._encoded.places
        if batch.words is None or places is None:
            return logits
        words, _ = words_of(places.offsets, batch.rows)
        whole = logits.new_zeros(len(words), logits.shape[1])
        return whole.index_copy(0, batch.words.to(logits.device), logits)
