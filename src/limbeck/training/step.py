"""One optimizer step: a batch's rows in, every term's value out, the module's weights moved."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TrainingConfig
from limbeck.config.schedule import largest, number_at
from limbeck.config.terms import LogitsTerm, Term, VectorsTerm
from limbeck.data.batches import Batch
from limbeck.data.layout import layout_of
from limbeck.errors import TrainingError
from limbeck.knowledge.answers import Answers
from limbeck.knowledge.carried import Carried
from limbeck.teacher.ask import ask
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.parts import Part
from limbeck.training.balance import Balance
from limbeck.training.choice import Machine
from limbeck.training.companion import Pupil, Taken
from limbeck.training.inputs import Counted, Inputs, TeacherTokens
from limbeck.training.joint import Said, make_joint, sides_of
from limbeck.training.layer_maps import teacher_parts_in_step
from limbeck.training.lessons import Lessons
from limbeck.training.losses import label_share, pools, share, term_name, term_value
from limbeck.training.optimizer import AdamW, tables_by_row
from limbeck.training.watch import Watch

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn
    from transformers import PreTrainedModel

_TEACHER = "teacher."
"""What the names of a learning teacher's state begin with."""


class Stepper:
    """Model, objective and optimizer, ready to take steps.

    Attributes:
        terms: Those whose weight is ever above 0.
        joint: Model, projections and exits as one module.
        optimizer: Of that module.
        names: Of the terms, in the log; those of a teacher that learns along come last.
        watch: Sees that no step breaks the weights.
        balance: The terms' weights beside those of the recipe.
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
        balance: str,
        seed: int,
        accelerator: Accelerator,
    ) -> None:
        self._checkpoint, self._lessons = checkpoint, lessons
        self._machine, self._accelerator = machine, accelerator
        self._accumulate = config.accumulate
        self.terms = [term for term in terms if largest(term.weight) > 0]
        self._sides = sides_of(model, checkpoint, lessons, seed=seed)
        joint = make_joint(model, checkpoint.family, self.terms, lessons, self._sides)
        self._module: nn.Module = accelerator.prepare(joint)
        self.joint: nn.Module = accelerator.unwrap_model(self._module)
        alone = accelerator.num_processes == 1
        companion = lessons.companion
        if companion is not None and not alone:
            raise TrainingError(
                "training",
                f"a teacher that learns along is trained by one process, and there are "
                f"{accelerator.num_processes}",
                "Start one process, or set knowledge.source to recorded or live.",
            )
        self.optimizer = AdamW(
            self.joint,
            config,
            # Many processes average gradients in the parameters' own type.
            precision=machine.precision if alone else "float32",
            # A teacher that learns along reads the student between its steps.
            by_row=tables_by_row(model) if alone and companion is None else None,
        )
        self._peak = config.learning_rate
        self.names = [term_name(term) for term in self.terms]
        self.names += companion.names if companion is not None else []
        self.watch = Watch(lessons.ids, late=accelerator.device.type != "cpu")
        self.balance = Balance(balance, [term_name(term) for term in self.terms])
        self.computing_s = 0.0

    def take(
        self, rows: np.ndarray, number: int, rate: float, *, share: float
    ) -> dict[str, Tensor]:
        """One optimizer step over a batch; the unweighted value of every term.

        Args:
            rows: Of the lessons.
            number: The step's, from 1, for messages and what is drawn anew in each step.
            rate: Learning rate.
            share: Of the training that is behind, from 0 to 1: where schedules stand.
        """
        pupil, companion = self._pupil(), self._lessons.companion
        start = time.perf_counter()
        if companion is not None:
            companion.before(pupil)
        self.computing_s += time.perf_counter() - start
        self._module.train()
        processes = self._accelerator.num_processes
        parts = self._lessons.parts(rows, processes * self._accumulate)
        whole = self._lessons.count(rows, number)
        values: dict[str, Tensor] = {}
        for part in parts[self._accelerator.process_index :: processes]:
            self._part(part, whole, values, number, share)
        start = time.perf_counter()
        self.optimizer.step(rate)
        self.balance.note(values)
        if companion is not None:
            parts = [part for part in parts if len(part)]
            counted = [self._lessons.count(part, number) for part in parts]
            taken = Taken(parts, counted, whole, number, share, rate / self._peak)
            values |= companion.learn(pupil, taken, self.watch)
        self.computing_s += time.perf_counter() - start
        return values

    def state(self) -> dict[str, Tensor]:
        """All that a resumed training needs of the student and of a teacher that learns along."""
        companion = self._lessons.companion
        others = companion.state() if companion is not None else {}
        return self.optimizer.state() | {f"{_TEACHER}{n}": value for n, value in others.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        self.optimizer.load(tensors)
        if self._lessons.companion is not None:
            theirs = {n: value for n, value in tensors.items() if n.startswith(_TEACHER)}
            self._lessons.companion.load({n[len(_TEACHER) :]: v for n, v in theirs.items()})

    def _pupil(self) -> Pupil:
        """The student for a teacher that learns along: asked without dropout."""
        import torch

        model: PreTrainedModel = self.joint.model  # pyright: ignore[reportAssignmentType]
        device, low = self._accelerator.device.type, self._machine.precision == "bfloat16"

        def logits(rows: np.ndarray) -> Tensor:
            model.eval()
            batch = self._checkpoint.batch(self._lessons.encoded, rows)
            with torch.autocast(device, torch.bfloat16, enabled=low):
                return ask(model, batch, self._checkpoint.family).logits.float()

        return Pupil([p for p in model.parameters() if p.requires_grad], logits)

    def _part(
        self,
        rows: np.ndarray,
        whole: Counted,
        values: dict[str, Tensor],
        number: int,
        behind: float,
    ) -> None:
        """Forward and backward of one part, its terms weighted by its share of the step."""
        import torch

        counted = self._lessons.count(rows, number)
        # Every process must take part in every backward pass, if only with a share of 0.
        some = rows if len(rows) else np.zeros(1, dtype=np.int64)
        batch, heard = self._asked(some, number)
        device = self._accelerator.device
        if device.type == "cuda":
            batch = batch.pinned()
        start = time.perf_counter()
        with torch.autocast(
            device.type, torch.bfloat16, enabled=self._machine.precision == "bfloat16"
        ):
            said = self._module(batch)
        self.computing_s += time.perf_counter() - start
        inputs = replace(
            self._inputs(batch, said, heard, number, behind),
            label_share=label_share(counted, whole),
        )
        start = time.perf_counter()
        shares: dict[str, Tensor] = {}
        weighted: dict[str, Tensor] = {}
        for term in self.terms:
            name = term_name(term)
            part = share(term, counted, whole) * term_value(term, inputs, self._sides)
            shares[name] = shares[name] + part if name in shares else part
            heavy = number_at(term.weight, behind) * part
            weighted[name] = weighted[name] + heavy if name in weighted else heavy
        factors = self.balance.factors(number, shares, self.joint)
        loss = torch.zeros((), device=device)
        for name, value in weighted.items():
            values[name] = values.get(name, 0) + shares[name].detach()
            loss = loss + factors[name] * value
        values["loss"] = values.get("loss", 0) + loss.detach()
        self.watch.see(number, some, loss.detach(), values, inputs)
        # Gradients are averaged over processes, while the shares already sum to one.
        if loss.requires_grad:  # in vain where others stood in for every layer that learns
            self._accelerator.backward(loss * self._accelerator.num_processes)
        self.optimizer.collect()
        self.computing_s += time.perf_counter() - start

    def _asked(self, rows: np.ndarray, number: int) -> tuple[Batch, Answers | None]:
        """What the student is asked about some rows, and what its teacher says to that."""
        import torch

        lessons = self._lessons
        samples, tokens = lessons.samples, lessons.tokens
        if samples is None or tokens is None or not samples.own(number):
            batch = lessons.batch(self._checkpoint, rows, number)
            return batch, lessons.answers_about(batch)
        model: PreTrainedModel = self.joint.model  # pyright: ignore[reportAssignmentType]
        batch = self._checkpoint.batch(lessons.encoded, rows)
        low = self._machine.precision == "bfloat16"
        with torch.autocast(self._accelerator.device.type, torch.bfloat16, enabled=low):
            written = samples.written(model, batch, number)
        return samples.judged(written, tokens.likely if tokens.top_k else None)

    def _inputs(
        self, batch: Batch, said: Said, answers: Answers | None, number: int, behind: float
    ) -> Inputs:
        """What the terms look at; the teacher's side is on its way to the device."""
        assert batch.labels is not None  # from the lessons
        rows = batch.rows
        student_logits, foretold = said.logits.float(), None
        width, left = batch.input_ids.shape[1], self._checkpoint.pads_left
        layout, told = layout_of(batch), self._lessons.told
        teacher_logits = None
        teacher_states: dict[Part, Tensor] = {}
        compared = theirs = None
        if answers is not None:
            if any(isinstance(term, LogitsTerm | VectorsTerm) for term in self.terms):
                said_to_rows = answers.logits(rows)
                if batch.words is not None:  # the student's answers are of these alone
                    places = batch.words.to(said_to_rows.device)
                    said_to_rows = said_to_rows.index_select(0, places)
                teacher_logits = self._moved(said_to_rows)
            wanted = teacher_parts_in_step(
                self.terms, self._sides.depths, seed=self._sides.seed, number=number
            )
            teacher_states = {
                part: self._moved(answers.states(part, rows, width=width, left=left))
                for part in wanted
            }
            if self._lessons.carried is not None and wanted:
                carried = self._lessons.carried
                compared = self._moved(carried.aligned(rows, width=width, left=left))
                theirs = self._of_their_tokens(carried, rows, wanted)
        if self._lessons.tokens is not None:
            foretold, student_logits = student_logits[:, 0], student_logits[:, 1:]
            if teacher_logits is not None:
                teacher_logits = self._lessons.tokens.classes(teacher_logits, batch.likely)
        return Inputs(
            student_logits=student_logits,
            foretold=foretold,
            student_states={part: state.float() for part, state in said.states.items()},
            projected={part: state.float() for part, state in said.projected.items()},
            exit_logits={layer: logits.float() for layer, logits in said.exits.items()},
            labels=self._moved(batch.labels),
            places=batch.places,
            attention_mask=self._moved(batch.attention_mask),
            teacher_logits=teacher_logits,
            teacher_states=teacher_states,
            number=number,
            share=behind,
            layout=None if layout is None else layout.to(self._accelerator.device),
            compared=compared,
            teacher_tokens=theirs,
            told=None if told is None else self._moved(_places(told[rows])),
        )

    def _of_their_tokens(
        self, carried: Carried, rows: np.ndarray, wanted: Sequence[Part]
    ) -> TeacherTokens | None:
        """The teacher's own tokens, if a term looks at whole texts through them."""
        if not any(map(pools, self.terms)):
            return None
        return TeacherTokens(
            states={part: self._moved(carried.own_states(part, rows)) for part in wanted},
            attention_mask=self._moved(carried.own_mask(rows)),
            first_token=carried.first_token,
        )

    def _moved(self, tensor: Tensor) -> Tensor:
        """The tensor on the device; from pinned memory, so that nothing waits for the copy."""
        device = self._accelerator.device
        if device.type == "cuda" and not tensor.is_cuda:
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)


def _places(here: np.ndarray) -> Tensor:
    """Where a mask is true, as indices."""
    import torch

    return torch.from_numpy(np.flatnonzero(here))
