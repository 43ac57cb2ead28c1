"""The loop: batches in, weights out. What is learned from is decided elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import HardTerm, Term
from limbeck.data.batches import shuffled_batches
from limbeck.data.targets import labelled
from limbeck.machine import kept_pages, tensor_cores, threads
from limbeck.progress import Step, say, step
from limbeck.tasks.task import merit
from limbeck.teacher.ask import predict_logits
from limbeck.teacher.load import Checkpoint
from limbeck.training.checkpoint import Checkpoints, Progress
from limbeck.training.choice import Machine
from limbeck.training.lessons import Exam, Lessons
from limbeck.training.log import Log, Tally
from limbeck.training.optimizer import learning_rate
from limbeck.training.step import Stepper

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Outcome:
    """How a training ended; the model holds its best state.

    Attributes:
        progress: Steps, looks and the best of them.
        total_steps: Those planned.
        rows_per_s: Training examples a second, looks and checkpoints left out.
        own_share: Share of the training time that was neither forward pass, backward pass nor
            update; None where nothing was trained in this call, and on an accelerator, which
            computes while the loop goes on.
    """

    progress: Progress
    total_steps: int
    rows_per_s: float
    own_share: float | None = None


def planned_steps(
    lengths: np.ndarray, config: TrainingConfig, seed: int, *, lists: np.ndarray | None = None
) -> int:
    """Optimizer steps of a whole training over rows of these lengths.

    Args:
        lengths: Tokens of each row.
        config: The loop's settings.
        seed: Of the order.
        lists: Which rows stay together (`shuffled_batches`).
    """
    batches = shuffled_batches(
        lengths,
        rows=config.batch_rows,
        tokens=config.batch_tokens,
        seed=seed,
        epoch=0,
        lists=lists,
    )
    return config.epochs * len(batches)


def train(
    model: PreTrainedModel,
    checkpoint: Checkpoint,
    terms: Sequence[Term],
    lessons: Lessons,
    exam: Exam | None,
    *,
    config: TrainingConfig,
    machine: Machine,
    seed: int,
    folder: Path,
    log: Log,
    name: str,
    balance: str = "none",
    before_step: Callable[[float], None] | None = None,
) -> Outcome:
    """Train `model` in place on a weighted sum of terms and leave its best state in it.

    Interrupted at any point, the same call goes on from the last checkpoint in `folder` and
    ends with the same weights as an uninterrupted one.

    Args:
        model: The student (or a teacher that is being fine-tuned).
        checkpoint: Tokenizer facts of the model and its family.
        terms: The objective, with layer maps written out.
        lessons: Rows, labels and the teacher's answers.
        exam: Labelled rows that are looked at for early stopping, never trained on; None keeps the
            last state, for terms that leave the head as it is.
        config: The loop's settings.
        machine: Precision and threads.
        seed: Of batches, dropout and projections.
        folder: Where checkpoints go.
        log: Where every term's value goes.
        name: Of the progress bar.
        balance: How the terms' weights adapt (`training.balance`).
        before_step: Is told the share of the training that is behind, from 0 to 1, before every
            step.

    Raises:
        TrainingError: If a term becomes NaN or infinite, naming it, the step and the rows.
    """
    import torch
    from accelerate import Accelerator

    with threads(machine.threads), tensor_cores(), kept_pages(), torch.random.fork_rng():
        torch.manual_seed(seed)
        accelerator = Accelerator(mixed_precision="no")
        stepper = Stepper(
            model,
            checkpoint,
            terms,
            lessons,
            config=config,
            machine=machine,
            balance=balance,
            seed=seed,
            accelerator=accelerator,
        )
        trainer = _Trainer(
            stepper, checkpoint, lessons, exam, config, machine, seed, folder, accelerator
        )
        return trainer.run(log, name, before_step or (lambda _share: None))


class _Trainer:
    """Holds what the loop needs; `run` is the loop."""

    def __init__(
        self,
        stepper: Stepper,
        checkpoint: Checkpoint,
        lessons: Lessons,
        exam: Exam | None,
        config: TrainingConfig,
        machine: Machine,
        seed: int,
        folder: Path,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.machine, self.seed = config, machine, seed
        self.checkpoint, self.lessons, self.exam = checkpoint, lessons, exam
        self.stepper, self.accelerator = stepper, accelerator
        self.rows = self._rows_with_a_lesson()
        self.lengths = lessons.encoded.lengths[self.rows]
        self.lists = lessons.encoded.lists_of(self.rows)
        self.per_epoch = [len(self._batches(epoch)) for epoch in range(config.epochs)]
        self.total = sum(self.per_epoch)
        self.checkpoints = Checkpoints(folder)
        self.progress = Progress()
        self.trained_s = 0.0

    def _rows_with_a_lesson(self) -> np.ndarray:
        """All rows if a term looks at the teacher or words are masked, else the labelled ones."""
        rows = self.lessons.rows
        if rows is None:
            rows = np.arange(len(self.lessons.encoded))
        masked = self.lessons.masking is not None
        if masked or any(not isinstance(term, HardTerm) for term in self.stepper.terms):
            return rows
        return rows[labelled(self.lessons.labels[rows])]

    def _batches(self, epoch: int) -> list[np.ndarray]:
        return shuffled_batches(
            self.lengths,
            rows=self.config.batch_rows,
            tokens=self.config.batch_tokens,
            seed=self.seed,
            epoch=epoch,
            lists=self.lists,
        )

    @property
    def model(self) -> PreTrainedModel:
        """The model without what accelerate wraps around it."""
        return self.stepper.joint.model  # pyright: ignore[reportReturnType]

    def run(self, log: Log, name: str, before_step: Callable[[float], None]) -> Outcome:
        """Go on from the last checkpoint, or from the start, to the end."""
        optimizer = self.stepper.optimizer
        before = self.checkpoints.progress()
        if before is not None:
            self.progress = self.checkpoints.restore(self.stepper)
        if before is not None and before.finished:
            optimizer.release()
            self.checkpoints.load_best(self.stepper.joint, before.best_step)
            self.model.eval()
            return self._outcome(before)
        if before is not None:
            self.stepper.balance.load(self.progress.balance)
            say(f"  {name}: going on from step {self.progress.step} of {self.total}")
        log.cut_after(self.progress.step)
        with step(name, self.total) as bar:
            bar.advance(self.progress.step)
            self._epochs(log, bar, before_step)
        if self.exam is None:
            self._keep()
        self.progress.finished = True
        self._save()
        optimizer.release()
        self.checkpoints.load_best(self.stepper.joint, self.progress.best_step)
        self.model.eval()
        return self._outcome(self.progress)

    def _outcome(self, progress: Progress) -> Outcome:
        seen = progress.step * len(self.rows) / max(self.per_epoch[0], 1)
        own = None
        if self.trained_s and self.accelerator.device.type == "cpu":
            own = 1 - self.stepper.computing_s / self.trained_s
        return Outcome(progress, self.total, seen / max(progress.seconds, 1e-9), own)

    def _epochs(self, log: Log, bar: Step, before_step: Callable[[float], None]) -> None:
        tally = Tally(self.stepper.names)
        clock = time.perf_counter()
        while self.progress.epoch < self.config.epochs:
            batches = self._batches(self.progress.epoch)
            looks = _look_places(len(batches), self.config.evaluations_per_epoch)
            while self.progress.batch < len(batches):
                rows = self.rows[batches[self.progress.batch]]
                number = self.progress.step + 1
                behind = self.progress.step / max(self.total - 1, 1)
                before_step(behind)
                values = self.stepper.take(rows, number, self._rate(), share=behind)
                tally.add(values, rows, self.lessons.encoded)
                self.progress.batch += 1
                self.progress.step += 1
                bar.advance(1)
                now = time.perf_counter()
                self.progress.seconds += now - clock
                self.trained_s += now - clock
                clock = now
                if self.progress.step % self.config.log_steps == 0:
                    self._log(log, tally, bar)
                looked = self.exam is not None and self.progress.batch in looks
                if looked and self.exam is not None:
                    self._look(log, bar, self.exam)
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
        self.stepper.watch.check()
        self.progress.balance = self.stepper.balance.state()
        if self.accelerator.is_main_process:
            self.checkpoints.save(self.progress, self.stepper)
            self.checkpoints.drop_other_bests(self.progress.best_step)
        self.accelerator.wait_for_everyone()

    def _log(self, log: Log, tally: Tally, bar: Step) -> None:
        self.stepper.watch.check()
        values = tally.means()
        values["learning_rate"] = learning_rate(self.progress.step - 1, self.total, self.config)
        values["epoch"] = self.progress.epoch
        if self.accelerator.is_main_process:
            log.write(self.progress.step, values)
        bar.note(f"loss {values['loss']:.3f}")

    def _keep(self) -> None:
        """Keep the state as it is as the best one."""
        self.stepper.watch.check()
        self.progress.best_step = self.progress.step
        weights = self.stepper.optimizer.weights()
        if self.accelerator.is_main_process:
            self.checkpoints.keep_best(weights, self.progress.step)

    def _look(self, log: Log, bar: Step, exam: Exam) -> None:
        self.stepper.watch.check()
        weights = self.stepper.optimizer.weights()
        score = merit(
            exam.task,
            predict_logits(
                self.model, self.checkpoint, exam.encoded, precision=self.machine.precision
            ),
            exam.labels,
        )
        self.progress.looks.append({"step": self.progress.step, "score": score})
        if score > self.progress.best_score or not self.progress.best_step:
            self.progress.best_score, self.progress.best_step = score, self.progress.step
            self.progress.looks_since_best = 0
            if self.accelerator.is_main_process:
                self.checkpoints.keep_best(weights, self.progress.step)
        else:
            self.progress.looks_since_best += 1
        if self.accelerator.is_main_process:
            log.write(self.progress.step, {"validation_score": score})
        bar.note(f"validation {score:.4f}")

    def _rate(self) -> float:
        return learning_rate(self.progress.step, self.total, self.config)


def _look_places(batches: int, looks: int) -> set[int]:
    """After how many batches of an epoch validation is looked at; the last is among them."""
    return {max(1, round(batches * (look + 1) / looks)) for look in range(looks)}
