"""The loop: batches in, weights out. What is learned from is decided elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import Term
from limbeck.data.batches import Batch, shuffled_batches
from limbeck.data.encode import Encoded
from limbeck.data.texts import UNLABELLED
from limbeck.errors import TrainingError
from limbeck.knowledge.answers import Answers
from limbeck.progress import Step, say, step
from limbeck.tasks import classification
from limbeck.teacher.ask import ask, predict_logits
from limbeck.teacher.family import Family
from limbeck.teacher.load import Checkpoint
from limbeck.training.checkpoint import Checkpoints, Progress
from limbeck.training.log import Log, Tally
from limbeck.training.losses import (
    Counted,
    Inputs,
    make_projections,
    share,
    student_layers_of,
    teacher_layers_of,
    term_name,
    term_value,
)
from limbeck.training.machine import Machine, threads
from limbeck.training.optimizer import adamw, learning_rate, set_learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Lessons:
    """What a student learns from.

    Attributes:
        encoded: Token ids under the student's tokenizer.
        labels: Class indices, -100 where unlabelled.
        answers: What the teacher says to the same rows, or None without a teacher.
        teacher_hidden: Width of the teacher's hidden states.
        ids: The rows' ids, for messages.
    """

    encoded: Encoded
    labels: np.ndarray
    answers: Answers | None
    teacher_hidden: int
    ids: Sequence[str]


@dataclass(frozen=True)
class Exam:
    """Held-out labelled rows that choose the best state."""

    encoded: Encoded
    labels: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """How a training ended; the model holds its best state."""

    progress: Progress
    total_steps: int
    rows_per_s: float


def planned_steps(lengths: np.ndarray, config: TrainingConfig, seed: int) -> int:
    """Optimizer steps of a whole training over rows of these lengths."""
    return config.epochs * len(
        shuffled_batches(
            lengths, rows=config.batch_rows, tokens=config.batch_tokens, seed=seed, epoch=0
        )
    )


def train(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    terms: Sequence[Term],
    lessons: Lessons,
    exam: Exam,
    *,
    config: TrainingConfig,
    machine: Machine,
    seed: int,
    folder: Path,
    log: Log,
    name: str,
) -> Outcome:
    """Train `model` in place on a weighted sum of terms and leave its best state in it.

    Interrupted at any point, the same call goes on from the last checkpoint in `folder` and
    ends with the same weights as an uninterrupted one.

    Args:
        model: The student (or a teacher that is being fine-tuned).
        checkpoint: Tokenizer facts of the model and its family.
        terms: The objective, with layer maps written out.
        lessons: Rows, labels and the teacher's answers.
        exam: Labelled rows that are looked at for early stopping, never trained on.
        config: The loop's settings.
        machine: Precision and threads.
        seed: Of batches, dropout and projections.
        folder: Where checkpoints go.
        log: Where every term's value goes.
        name: Of the progress bar.

    Raises:
        TrainingError: If a term becomes NaN or infinite, naming it, the step and the rows.
    """
    import torch

    with threads(machine.threads), torch.random.fork_rng():
        torch.manual_seed(seed)
        trainer = _Trainer(model, checkpoint, terms, lessons, exam, config, machine, seed, folder)
        return trainer.run(log, name)


class _Trainer:
    """Holds what a step needs; `run` is the loop."""

    def __init__(
        self,
        model: PreTrainedModel,
        checkpoint: Checkpoint,
        terms: Sequence[Term],
        lessons: Lessons,
        exam: Exam,
        config: TrainingConfig,
        machine: Machine,
        seed: int,
        folder: Path,
    ) -> None:
        from accelerate import Accelerator

        self.config, self.machine, self.seed = config, machine, seed
        self.checkpoint, self.lessons, self.exam = checkpoint, lessons, exam
        self.terms = [term for term in terms if term.weight > 0]
        self.student_layers = student_layers_of(self.terms)
        self.teacher_layers = teacher_layers_of(self.terms)
        self.accelerator: Accelerator = Accelerator(mixed_precision="no")
        projections = make_projections(
            self.terms, model.config.hidden_size, lessons.teacher_hidden, seed=seed
        )
        module = _joint(model, projections, checkpoint.family, self.student_layers)
        self.rows = self._rows_with_a_lesson()
        self.lengths = lessons.encoded.lengths[self.rows]
        self.per_epoch = [len(self._batches(epoch)) for epoch in range(config.epochs)]
        self.total = sum(self.per_epoch)
        optimizer = adamw(module, config, fused=True)
        self.module: nn.Module
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer)
        self.checkpoints = Checkpoints(folder)
        self.progress = Progress()

    def _rows_with_a_lesson(self) -> np.ndarray:
        """All rows if a term looks at the teacher, else the labelled ones alone."""
        if any(term.kind != "hard" for term in self.terms):
            return np.arange(len(self.lessons.encoded))
        return np.flatnonzero(self.lessons.labels != UNLABELLED)

    def _batches(self, epoch: int) -> list[np.ndarray]:
        return shuffled_batches(
            self.lengths,
            rows=self.config.batch_rows,
            tokens=self.config.batch_tokens,
            seed=self.seed,
            epoch=epoch,
        )

    @property
    def model(self) -> PreTrainedModel:
        """The model without what accelerate wraps around it."""
        return self.accelerator.unwrap_model(self.module).model

    def run(self, log: Log, name: str) -> Outcome:
        """Go on from the last checkpoint, or from the start, to the end."""
        module = self.accelerator.unwrap_model(self.module)
        before = self.checkpoints.progress()
        if before is not None:
            if before.finished:
                self.checkpoints.load_best(module, before.best_step)
                return self._outcome(before)
            self.progress = self.checkpoints.restore(module, self.optimizer)
            say(f"  {name}: going on from step {self.progress.step} of {self.total}")
        log.cut_after(self.progress.step)
        with step(name, self.total) as bar:
            bar.advance(self.progress.step)
            self._epochs(log, bar)
        self.progress.finished = True
        self.checkpoints.load_best(module, self.progress.best_step)
        self.model.eval()
        self._save()
        return self._outcome(self.progress)

    def _outcome(self, progress: Progress) -> Outcome:
        seen = progress.step * len(self.rows) / max(self.per_epoch[0], 1)
        return Outcome(progress, self.total, seen / max(progress.seconds, 1e-9))

    def _epochs(self, log: Log, bar: Step) -> None:
        tally = Tally([term_name(term) for term in self.terms])
        clock = time.perf_counter()
        while self.progress.epoch < self.config.epochs:
            batches = self._batches(self.progress.epoch)
            looks = _look_places(len(batches), self.config.evaluations_per_epoch)
            while self.progress.batch < len(batches):
                rows = self.rows[batches[self.progress.batch]]
                tally.add(self._step(rows), rows, self.lessons.encoded)
                self.progress.batch += 1
                self.progress.step += 1
                bar.advance(1)
                now = time.perf_counter()
                self.progress.seconds += now - clock
                clock = now
                if self.progress.step % self.config.log_steps == 0:
                    self._log(log, tally, bar)
                looked = self.progress.batch in looks
                if looked:
                    self._look(log, bar)
                    clock = time.perf_counter()
                if looked or self.progress.step % self.config.checkpoint_steps == 0:
                    self._save()
                    clock = time.perf_counter()
                if self.progress.looks_since_best >= self.config.patience:
                    self.progress.stopped_early = True
                    return
            self.progress.epoch += 1
            self.progress.batch = 0

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            module = self.accelerator.unwrap_model(self.module)
            self.checkpoints.save(self.progress, module, self.optimizer)
            self.checkpoints.drop_other_bests(self.progress.best_step)
        self.accelerator.wait_for_everyone()

    def _log(self, log: Log, tally: Tally, bar: Step) -> None:
        values = tally.means()
        values["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        values["epoch"] = self.progress.epoch
        if self.accelerator.is_main_process:
            log.write(self.progress.step, values)
        bar.note(f"loss {values['loss']:.3f}")

    def _look(self, log: Log, bar: Step) -> None:
        score = classification.accuracy(
            predict_logits(
                self.model, self.checkpoint, self.exam.encoded, precision=self.machine.precision
            ),
            self.exam.labels,
        )
        self.progress.looks.append({"step": self.progress.step, "score": score})
        if score > self.progress.best_score:
            self.progress.best_score, self.progress.best_step = score, self.progress.step
            self.progress.looks_since_best = 0
            if self.accelerator.is_main_process:
                module = self.accelerator.unwrap_model(self.module)
                self.checkpoints.keep_best(module, self.progress.step)
        else:
            self.progress.looks_since_best += 1
        if self.accelerator.is_main_process:
            log.write(self.progress.step, {"validation_score": score})
        bar.note(f"validation {score:.4f}")

    def _step(self, rows: np.ndarray) -> dict[str, Tensor]:
        """One optimizer step over a batch; the unweighted value of every term."""
        self.module.train()
        set_learning_rate(self.optimizer, self._rate())
        parts = _parts(rows, self.accelerator.num_processes * self.config.accumulate)
        own = parts[self.accelerator.process_index :: self.accelerator.num_processes]
        whole = self._count(rows)
        values: dict[str, Tensor] = {}
        for part in own:
            self._part(part, whole, values)
        self.accelerator.clip_grad_norm_(self.module.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return values

    def _part(self, rows: np.ndarray, whole: Counted, values: dict[str, Tensor]) -> None:
        """Forward and backward of one part, its terms weighted by its share of the step."""
        import torch

        counted = self._count(rows)
        # Every process must take part in every backward pass, if only with a share of 0.
        some = rows if len(rows) else np.zeros(1, dtype=np.int64)
        batch = self.checkpoint.batch(self.lessons.encoded, some)
        device = self.accelerator.device
        with torch.autocast(
            device.type, torch.bfloat16, enabled=self.machine.precision == "bfloat16"
        ):
            logits, hidden = self.module(batch)
        inputs = self._inputs(batch, logits, hidden)
        loss = torch.zeros((), device=device)
        for term in self.terms:
            value = term_value(term, inputs)
            part = share(term, counted, whole) * value
            name = term_name(term)
            values[name] = values.get(name, torch.zeros((), device=device)) + part.detach()
            loss = loss + term.weight * part
        if not torch.isfinite(loss):
            self._refuse_broken(values, rows, inputs)
        values["loss"] = values.get("loss", torch.zeros((), device=device)) + loss.detach()
        # Gradients are averaged over processes, while the shares already sum to one.
        self.accelerator.backward(loss * self.accelerator.num_processes)

    def _inputs(self, batch: Batch, logits: Tensor, hidden: dict[int, Tensor]) -> Inputs:
        import torch

        device = self.accelerator.device
        answers, rows = self.lessons.answers, batch.rows
        width, left = batch.input_ids.shape[1], self.checkpoint.pads_left
        wants_logits = any(term.kind == "logits" for term in self.terms)
        teacher_logits = None
        teacher_hidden: dict[int, Tensor] = {}
        if answers is not None:
            if wants_logits:
                teacher_logits = torch.from_numpy(answers.logits(rows)).to(device)
            teacher_hidden = {
                layer: answers.hidden(layer, rows, width=width, left=left).to(device)
                for layer in self.teacher_layers
            }
        return Inputs(
            student_logits=logits.float(),
            student_hidden={layer: state.float() for layer, state in hidden.items()},
            labels=torch.from_numpy(self.lessons.labels[rows]).to(device),
            attention_mask=batch.attention_mask.to(device),
            teacher_logits=teacher_logits,
            teacher_hidden=teacher_hidden,
        )

    def _refuse_broken(self, values: dict[str, Tensor], rows: np.ndarray, inputs: Inputs) -> None:
        broken = [name for name, value in values.items() if not math.isfinite(float(value))]
        sound = inputs.student_logits.isfinite().all(1)
        if inputs.teacher_logits is not None:
            sound &= inputs.teacher_logits.isfinite().all(1)
        culprits = rows[~sound.cpu().numpy()]
        named = culprits if len(culprits) else rows
        shown = ", ".join(str(self.lessons.ids[int(row)]) for row in named[:8])
        more = f" and {len(named) - 8} more" if len(named) > 8 else ""
        raise TrainingError(
            f"training, step {self.progress.step + 1}",
            f"the term {broken[0] if broken else 'loss'} is NaN or infinite on the rows "
            f"{shown}{more}",
            "The last good state is in checkpoints/. Lower training.learning_rate, or use "
            "training.precision=float32.",
        )

    def _count(self, rows: np.ndarray) -> Counted:
        return Counted(
            rows=len(rows),
            labelled=int((self.lessons.labels[rows] != UNLABELLED).sum()),
            tokens=int(self.lessons.encoded.lengths[rows].sum()),
        )

    def _rate(self) -> float:
        return learning_rate(self.progress.step, self.total, self.config)


def _joint(
    model: PreTrainedModel, projections: nn.ModuleDict | None, family: Family, layers: Sequence[int]
) -> nn.Module:
    """Student and projections as one module, so that one wrapper averages all gradients."""
    from torch import nn

    class Joint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.projections = projections

        def forward(self, batch: Batch) -> tuple[Tensor, dict[int, Tensor]]:
            answer = ask(self.model, batch, family, layers)
            if self.projections is None:
                return answer.logits, answer.hidden
            hidden = {n: self.projections[str(n)](state) for n, state in answer.hidden.items()}
            return answer.logits, hidden

    return Joint()


def _look_places(batches: int, looks: int) -> set[int]:
    """After how many batches of an epoch validation is looked at; the last is among them."""
    return {max(1, round(batches * (look + 1) / looks)) for look in range(looks)}


def _parts(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """The rows in `count` parts that interleave, so that each has its share of long ones."""
    return [rows[start::count] for start in range(count)]
