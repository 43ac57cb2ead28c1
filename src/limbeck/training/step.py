"""One optimizer step: a batch's rows in, every term's value out, the module's weights moved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import Term
from limbeck.data.batches import Batch
from limbeck.teacher.ask import ask
from limbeck.teacher.family import Family
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.parts import Part
from limbeck.training.choice import Machine
from limbeck.training.lessons import Lessons
from limbeck.training.losses import (
    Counted,
    Inputs,
    make_projections,
    share,
    student_parts,
    teacher_parts,
    term_name,
    term_value,
)
from limbeck.training.optimizer import AdamW, tables_by_row
from limbeck.training.watch import Watch

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class Stepper:
    """Model, objective and optimizer, ready to take steps.

    Attributes:
        terms: Those with a weight.
        joint: Model and projections as one module.
        optimizer: Of that module.
        watch: Sees that no step breaks the weights.
        computing_s: Seconds spent in forward passes, backward passes and updates.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        checkpoint: Checkpoint,
        terms: Sequence[Term],
        lessons: Lessons,
        *,
        config: TrainingConfig,
        machine: Machine,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        self._checkpoint, self._lessons = checkpoint, lessons
        self._machine, self._accelerator = machine, accelerator
        self._accumulate = config.accumulate
        self.terms = [term for term in terms if term.weight > 0]
        self._teacher_parts = teacher_parts(self.terms)
        projections = make_projections(
            self.terms, model.config.hidden_size, lessons.teacher_hidden, seed=seed
        )
        self._module: nn.Module = accelerator.prepare(
            _joint(model, projections, checkpoint.family, student_parts(self.terms))
        )
        self.joint: nn.Module = accelerator.unwrap_model(self._module)
        alone = accelerator.num_processes == 1
        self.optimizer = AdamW(
            self.joint,
            config,
            # Many processes average gradients in the parameters' own type.
            precision=machine.precision if alone else "float32",
            by_row=tables_by_row(model) if alone else None,
        )
        self.watch = Watch(lessons.ids, late=accelerator.device.type != "cpu")
        self.computing_s = 0.0

    def take(self, rows: np.ndarray, number: int, rate: float) -> dict[str, Tensor]:
        """One optimizer step over a batch; the unweighted value of every term.

        Args:
            rows: Of the lessons.
            number: The step's, from 1, for messages.
            rate: Learning rate.
        """
        self._module.train()
        processes = self._accelerator.num_processes
        parts = _parts(rows, processes * self._accumulate)
        whole = self._lessons.count(rows)
        values: dict[str, Tensor] = {}
        for part in parts[self._accelerator.process_index :: processes]:
            self._part(part, whole, values, number)
        start = time.perf_counter()
        self.optimizer.step(rate)
        self.computing_s += time.perf_counter() - start
        return values

    def _part(
        self, rows: np.ndarray, whole: Counted, values: dict[str, Tensor], number: int
    ) -> None:
        """Forward and backward of one part, its terms weighted by its share of the step."""
        import torch

        counted = self._lessons.count(rows)
        # Every process must take part in every backward pass, if only with a share of 0.
        some = rows if len(rows) else np.zeros(1, dtype=np.int64)
        batch = self._checkpoint.batch(self._lessons.encoded, some)
        device = self._accelerator.device
        if device.type == "cuda":
            batch = batch.pinned()
        start = time.perf_counter()
        with torch.autocast(
            device.type, torch.bfloat16, enabled=self._machine.precision == "bfloat16"
        ):
            logits, states = self._module(batch)
        self.computing_s += time.perf_counter() - start
        inputs = self._inputs(batch, logits, states)
        start = time.perf_counter()
        loss = torch.zeros((), device=device)
        for term in self.terms:
            value = term_value(term, inputs)
            part = share(term, counted, whole) * value
            name = term_name(term)
            values[name] = values.get(name, 0) + part.detach()
            loss = loss + term.weight * part
        values["loss"] = values.get("loss", 0) + loss.detach()
        self.watch.see(number, some, loss.detach(), values, inputs)
        # Gradients are averaged over processes, while the shares already sum to one.
        self._accelerator.backward(loss * self._accelerator.num_processes)
        self.optimizer.collect()
        self.computing_s += time.perf_counter() - start

    def _inputs(self, batch: Batch, logits: Tensor, states: dict[Part, Tensor]) -> Inputs:
        """What the terms look at; the teacher's side is on its way to the device."""
        import torch

        answers, rows = self._lessons.answers, batch.rows
        width, left = batch.input_ids.shape[1], self._checkpoint.pads_left
        teacher_logits = None
        teacher_states: dict[Part, Tensor] = {}
        if answers is not None:
            if any(term.kind == "logits" for term in self.terms):
                teacher_logits = self._moved(answers.logits(rows))
            teacher_states = {
                part: self._moved(answers.states(part, rows, width=width, left=left))
                for part in self._teacher_parts
            }
        return Inputs(
            student_logits=logits.float(),
            student_states={part: state.float() for part, state in states.items()},
            labels=self._moved(torch.from_numpy(self._lessons.labels[rows])),
            attention_mask=self._moved(batch.attention_mask),
            teacher_logits=teacher_logits,
            teacher_states=teacher_states,
        )

    def _moved(self, tensor: Tensor) -> Tensor:
        """The tensor on the device; from pinned memory, so that nothing waits for the copy."""
        device = self._accelerator.device
        if device.type == "cuda" and not tensor.is_cuda:
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)


def _joint(
    model: PreTrainedModel, projections: nn.ModuleDict | None, family: Family, parts: Sequence[Part]
) -> nn.Module:
    """Student and projections as one module, so that one wrapper averages all gradients."""
    from torch import nn

    class Joint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.projections = projections

        def forward(self, batch: Batch) -> tuple[Tensor, dict[Part, Tensor]]:
            answer = ask(self.model, batch, family, parts)
            if self.projections is None:
                return answer.logits, answer.states
            projected = {
                part: self.projections[str(part.layer)](state)
                for part, state in answer.states.items()
                if part.what == "hidden"
            }
            return answer.logits, answer.states | projected

    return Joint()


def _parts(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """The rows in `count` parts that interleave, so that each has its share of long ones."""
    return [rows[start::count] for start in range(count)]
