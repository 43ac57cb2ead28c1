"""A teacher that is trained along with its student."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from limbeck.config.recipe import TrainingConfig
from limbeck.data.encode import Encoded
from limbeck.knowledge.answers import LiveTeacher
from limbeck.knowledge.kind import Kind
from limbeck.teacher.ask import ask
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.parts import Part
from limbeck.training.inputs import Counted, Inputs
from limbeck.training.optimizer import AdamW
from limbeck.training.watch import Watch

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Pupil:
    """The student in one step, as a teacher that learns from it sees it.

    Attributes:
        parameters: What its optimizer moves.
        logits: Rows to logits [rows, classes], float32, without dropout.
    """

    parameters: Sequence[nn.Parameter]
    logits: Callable[[np.ndarray], Tensor]


@dataclass(frozen=True)
class Taken:
    """A step that the student has just taken.

    Attributes:
        parts: The rows of each part in which it was computed.
        counted: How much each of them holds.
        whole: How much all of them hold.
        number: Of the step, from 1.
        share: Of the training that was behind before it.
        rate: Its learning rate, as a share of the largest.
    """

    parts: Sequence[np.ndarray]
    counted: Sequence[Counted]
    whole: Counted
    number: int
    share: float
    rate: float


@dataclass(frozen=True)
class Weighed:
    """One term of the teacher's loss over one part of a step.

    Attributes:
        name: In the log.
        weight: Of the term.
        share: Of the part in the step's mean.
        value: A scalar with the teacher's gradients.
    """

    name: str
    weight: float
    share: float
    value: Tensor


class Reply(Protocol):
    """What a student gives back to its teacher: `Mutual` or `Feedback`."""

    @property
    def names(self) -> Sequence[str]:
        """Of the terms of the teacher's loss."""
        ...

    def before(self, pupil: Pupil) -> None:
        """Look at the student before its step."""
        ...

    def after(self, pupil: Pupil, taken: Taken) -> None:
        """Look at the student after its step; it is left as it was."""
        ...

    def said(self, place: int) -> Tensor | None:
        """The student's logits [rows, classes] on a part, where they are the teacher's targets."""
        ...

    def weigh(self, inputs: Inputs, taken: Taken, place: int) -> Sequence[Weighed]:
        """The terms of the teacher's loss over a part.

        Args:
            inputs: What the teacher says, where a student's answers stand, and what was `said`,
                where a teacher's do.
            taken: The step.
            place: Of the part in it.
        """
        ...


class LearningTeacher:
    """A copy of the teacher that answers (`knowledge.Answers`) and learns after every step.

    The copy is in float32 and in eval mode, for answers and for learning alike: without dropout,
    what it learned from is what it said. The teacher itself stays as it is.

    Args:
        model: The teacher; a copy is trained.
        checkpoint: Its tokenizer facts and family.
        encoded: The training texts under its tokenizer.
        labels: Their classes, -100 where unlabelled.
        reply: What the student gives back.
        kind: The states that the student's terms look at.
        config: The student's loop: decay, clipping and, as a share of the largest, the rate.
        learning_rate: The teacher's own, at the peak.
    """

    told = None

    def __init__(
        self,
        model: PreTrainedModel,
        checkpoint: Checkpoint,
        encoded: Encoded,
        labels: np.ndarray,
        *,
        reply: Reply,
        kind: Kind,
        config: TrainingConfig,
        learning_rate: float,
    ) -> None:
        self.model = copy.deepcopy(model).requires_grad_(True).eval()
        self._checkpoint, self._encoded, self._labels = checkpoint, encoded, labels
        self._reply, self._learning_rate = reply, learning_rate
        exact = replace(kind, precision="float32")
        self._live = LiveTeacher(self.model, checkpoint, encoded, exact)
        self._optimizer = AdamW(
            self.model, config.model_copy(update={"learning_rate": learning_rate})
        )

    @property
    def names(self) -> Sequence[str]:
        """Of the terms of its loss, in the log."""
        return self._reply.names

    def logits(self, rows: np.ndarray) -> Tensor:
        """Its logits [rows, classes] as it stands, float32, without gradients."""
        return self._live.logits(rows)

    def states(self, part: Part, rows: np.ndarray, *, width: int, left: bool) -> Tensor:
        """A part as it stands, zero-padded to `width` tokens, float32, without gradients."""
        return self._live.states(part, rows, width=width, left=left)

    def before(self, pupil: Pupil) -> None:
        """Is called before each of the student's steps."""
        self._reply.before(pupil)

    def learn(self, pupil: Pupil, taken: Taken, watch: Watch) -> dict[str, Tensor]:
        """One step of the teacher after one of the student's.

        Returns:
            The unweighted value of every term of its loss.

        Raises:
            TrainingError: If one of them is NaN or infinite.
        """
        import torch

        self._reply.after(pupil, taken)
        values: dict[str, Tensor] = {}
        for place, rows in enumerate(taken.parts):
            inputs = self._inputs(rows, taken, self._reply.said(place))
            loss = torch.zeros((), device=inputs.student_logits.device)
            for term in self._reply.weigh(inputs, taken, place):
                part = term.share * term.value
                values[term.name] = values.get(term.name, 0) + part.detach()
                loss = loss + term.weight * part
            watch.see(taken.number, rows, loss.detach(), values, inputs)
            loss.backward()
        self._optimizer.step(self._learning_rate * taken.rate)
        self._live.forget()
        return values

    def _inputs(self, rows: np.ndarray, taken: Taken, said: Tensor | None) -> Inputs:
        """What both say, the teacher with gradients and in the student's place."""
        import torch

        batch = self._checkpoint.batch(self._encoded, rows)
        own = ask(self.model, batch, self._checkpoint.family).logits.float()
        return Inputs(
            student_logits=own,
            student_states={},
            projected={},
            exit_logits={},
            labels=torch.from_numpy(self._labels[rows]).to(own.device),
            attention_mask=batch.attention_mask,
            teacher_logits=said,
            teacher_states={},
            number=taken.number,
            share=taken.share,
        )

    def state(self) -> dict[str, Tensor]:
        """All that a resumed training needs: weights and moments."""
        return self._optimizer.state()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        self._optimizer.load(tensors)
        self._live.forget()
