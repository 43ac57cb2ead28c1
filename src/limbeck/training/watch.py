"""Sees that no step's loss is NaN or infinite, without making an accelerator wait."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.errors import TrainingError
from limbeck.training.inputs import Inputs
from limbeck.training.told import unanswered

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 8


@dataclass(frozen=True)
class _Seen:
    """A part of a step, until it is looked at."""

    step: int
    rows: np.ndarray
    loss: Tensor
    values: dict[str, Tensor]
    inputs: Inputs | None


class Watch:
    """Refuses broken steps: at once on a CPU; on an accelerator when `check` is called.

    Reading a loss from an accelerator waits until it has been computed, and the next step cannot be
    queued meanwhile. There the parts since the last check are kept, and no state is saved before a
    check.

    Args:
        ids: The rows' ids, for the message.
        late: Wait for `check`.
    """

    def __init__(self, ids: Sequence[str], *, late: bool) -> None:
        self._ids, self._late = ids, late
        self._seen: list[_Seen] = []

    def see(
        self, step: int, rows: np.ndarray, loss: Tensor, values: dict[str, Tensor], inputs: Inputs
    ) -> None:
        """Take note of one part's loss, before its backward pass.

        Raises:
            TrainingError: On a CPU, if the loss is NaN or infinite; no weight has moved yet.
        """
        if self._late:
            self._seen.append(_Seen(step, rows, loss, dict(values), None))
        elif not math.isfinite(float(loss)):
            raise self._refusal(_Seen(step, rows, loss, values, inputs))

    def check(self) -> None:
        """Look at everything since the last check.

        Raises:
            TrainingError: If a loss was NaN or infinite, naming the first.
        """
        import torch

        if not self._seen:
            return
        sound = torch.stack([seen.loss for seen in self._seen]).isfinite().tolist()
        seen, self._seen = self._seen, []
        if not all(sound):
            raise self._refusal(seen[sound.index(False)])

    def _refusal(self, seen: _Seen) -> TrainingError:
        broken = [n for n, value in seen.values.items() if not math.isfinite(float(value))]
        named = seen.rows
        if seen.inputs is not None:
            culprits = seen.rows[_broken_rows(seen.inputs)]
            named = culprits if len(culprits) else seen.rows
        shown = ", ".join(str(self._ids[int(row)]) for row in named[:_SHOWN])
        theirs = bool(broken) and broken[0].startswith("teacher_")
        rate = "knowledge.teacher_learning_rate" if theirs else "training.learning_rate"
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        return TrainingError(
            f"training, step {seen.step}",
            f"the term {broken[0] if broken else 'loss'} is NaN or infinite on the rows "
            f"{shown}{more}",
            f"The last good state is in checkpoints/. Lower {rate}, or use "
            "training.precision=float32.",
        )


def _broken_rows(inputs: Inputs) -> np.ndarray:
    """The rows of a batch with a NaN or infinity in anything that a term looks at.

    Hidden states overflow where the logits, behind a LayerNorm or a pooler's tanh, still look
    sound. What stands at padding means nothing, and is not looked at.
    """
    import torch

    real = inputs.attention_mask.bool()
    rows, tokens = real.shape
    broken = torch.zeros(rows, dtype=torch.bool)
    for logits in (inputs.student_logits, inputs.teacher_logits):
        if logits is not None:
            sound = logits.isfinite().all(1)
            if logits is inputs.teacher_logits and inputs.told is not None:
                sound[unanswered(rows, inputs.told)] = True
            places = (~sound).nonzero().flatten()
            # Where words are masked there is a row of logits a masked word.
            broken[places if inputs.places is None else inputs.places[places] // tokens] = True
    for logits in inputs.exit_logits.values():
        broken |= ~logits.isfinite().all(1)
    for states in (inputs.student_states, inputs.projected, inputs.teacher_states):
        for state in states.values():
            sound = state.isfinite()
            if state.ndim == 4:  # distributions [rows, heads, tokens, tokens]
                pairs = real[:, None, :, None] & real[:, None, None, :]
                broken |= ~(sound | ~pairs).flatten(1).all(1)
            else:
                broken |= ~(sound | ~real[:, :, None]).flatten(1).all(1)
    return broken.nonzero().flatten().numpy()
