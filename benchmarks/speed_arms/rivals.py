"""What limbeck is measured against: TextBrewer, transformers' Trainer, and plain loops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    get_linear_schedule_with_warmup,
)

from speed_arms.arm import (
    BATCH_ROWS,
    HARD_WEIGHT,
    MAX_TOKENS,
    TEMPERATURE,
    WARMUP_SHARE,
    WEIGHT_DECAY,
    Settings,
    Unit,
    load_model,
    padded,
    read_lines,
    token_count,
    tokenized,
)

_RECORD_ROWS = 32


class TextBrewer:
    """TextBrewer's GeneralDistiller with its defaults, but that it saves nothing.

    Its defaults are temperature 4, cross-entropy to the teacher without the factor T^2, no hard
    labels, no clipping; the schedule is the one of its examples.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tokenizer: Any = AutoTokenizer.from_pretrained(settings.student)
        self.teacher = load_model(settings.teacher)
        self.student = load_model(settings.student)
        self.optimizer = torch.optim.AdamW(self.student.parameters(), lr=settings.learning_rate)

    def unit(self, rows: Path) -> Unit:
        """One epoch over the rows, in shuffled order."""
        from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig

        features = tokenized(self.tokenizer, rows)
        loader = _shuffled(features, self._collate, self.settings.seed)
        distiller = GeneralDistiller(
            TrainingConfig(device="cpu", output_dir=self.settings.work, ckpt_frequency=0),
            DistillationConfig(),
            self.teacher,
            self.student,
            _logits_adaptor,
            _logits_adaptor,
        )
        start = time.perf_counter()
        with distiller:
            distiller.train(
                self.optimizer,
                loader,
                num_epochs=1,
                scheduler_class=get_linear_schedule_with_warmup,
                scheduler_args=_schedule(len(loader)),
            )
        seconds = time.perf_counter() - start
        return Unit(len(features), token_count(features), seconds)

    def _collate(self, features: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = padded(self.tokenizer, features)
        del batch["labels"]  # its default weight of hard labels is 0, so nothing reads them
        return batch


def _logits_adaptor(_batch: Any, outputs: Any) -> dict[str, Any]:
    return {"logits": outputs.logits}


def _schedule(steps: int) -> dict[str, int]:
    return {"num_warmup_steps": round(WARMUP_SHARE * steps), "num_training_steps": steps}


def _shuffled(features: list[dict[str, Any]], collate: Any, seed: int) -> DataLoader[Any]:
    return DataLoader(
        features,  # pyright: ignore[reportArgumentType]
        batch_size=BATCH_ROWS,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=collate,
    )


class DistillationTrainer(Trainer):
    """The Trainer of the tutorials: the teacher is asked in `compute_loss`.

    One thing differs from most of them, in the Trainer's favor: the teacher runs in bfloat16
    too. accelerate wraps only the student's forward, and not `compute_loss`.
    """

    def __init__(self, *args: Any, teacher: PreTrainedModel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.teacher = teacher.eval()

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """KL to the teacher's tempered classes and cross-entropy to the labels."""
        del num_items_in_batch
        outputs = model(**inputs)
        with torch.no_grad(), self.accelerator.autocast():
            teacher_logits = self.teacher(**inputs).logits
        loss = HARD_WEIGHT * outputs.loss + (1 - HARD_WEIGHT) * _soft_loss(
            outputs.logits, teacher_logits.float()
        )
        return (loss, outputs) if return_outputs else loss


def _soft_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
    divergence = functional.kl_div(
        functional.log_softmax(student_logits / TEMPERATURE, dim=-1),
        functional.softmax(teacher_logits / TEMPERATURE, dim=-1),
        reduction="batchmean",
    )
    return divergence * TEMPERATURE**2


class _Clock(TrainerCallback):
    """Time from the first step to the last: what the Trainer prepares before is not counted."""

    def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Start."""
        self.started = time.perf_counter()

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.started


class TransformersTrainer:
    """transformers' Trainer in bfloat16, with batches of similar length."""

    def __init__(self, settings: Settings) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(settings.student)
        self.student = load_model(settings.student)
        self.clock = _Clock()
        arguments = TrainingArguments(
            output_dir=settings.work,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_ROWS,
            learning_rate=settings.learning_rate,
            warmup_steps=WARMUP_SHARE,
            weight_decay=WEIGHT_DECAY,
            bf16=True,
            use_cpu=True,
            train_sampling_strategy="group_by_length",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=settings.seed,
        )
        self.trainer = DistillationTrainer(
            model=self.student,
            args=arguments,
            data_collator=DataCollatorWithPadding(self.tokenizer),
            callbacks=[self.clock],
            teacher=load_model(settings.teacher),
        )

    def unit(self, rows: Path) -> Unit:
        """One epoch over the rows."""
        features = tokenized(self.tokenizer, rows)
        self.trainer.train_dataset = features
        self.trainer.train()
        return Unit(len(features), token_count(features), self.clock.seconds)


class PlainFloat32:
    """A careful plain loop: float32, torch's AdamW, dropout 0, answers recorded beforehand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tokenizer: Any = AutoTokenizer.from_pretrained(settings.student)
        self.teacher = load_model(settings.teacher).eval()
        self.student = load_model(
            settings.student, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        parameters = list(self.student.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)

    def unit(self, rows: Path) -> Unit:
        """One epoch over the rows, in shuffled order; recording is not counted."""
        features = tokenized(self.tokenizer, rows)
        texts = [line["text"] for line in read_lines(rows)]
        answers = torch.cat(list(_answers(self.teacher, self.tokenizer, texts)))
        for row, feature in enumerate(features):
            feature["row"] = row
        loader = _shuffled(features, lambda some: padded(self.tokenizer, some), self.settings.seed)
        schedule = LambdaLR(self.optimizer, lambda step: _rate_share(step, len(loader)))
        self.student.train()
        start = time.perf_counter()
        for batch in loader:
            self._step(batch, answers[batch.pop("row")])
            schedule.step()
        return Unit(len(features), token_count(features), time.perf_counter() - start)

    def _step(self, batch: dict[str, torch.Tensor], teacher_logits: torch.Tensor) -> None:
        outputs = self.student(**batch)
        soft = _soft_loss(outputs.logits, teacher_logits)
        (HARD_WEIGHT * outputs.loss + (1 - HARD_WEIGHT) * soft).backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _rate_share(step: int, total: int) -> float:
    """The schedule of limbeck: transformers' own starts its warm-up with a step at rate 0."""
    warmup = max(1, round(WARMUP_SHARE * total))
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (total - step) / max(1, total - warmup))


class PlainRecord:
    """Asking the teacher as a transformers loop does: float32, in the order of arrival."""

    def __init__(self, settings: Settings) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(settings.teacher)
        self.teacher = load_model(settings.teacher).eval()

    def unit(self, rows: Path) -> Unit:
        """Logits of every row, tokenizing included."""
        texts = [line["text"] for line in read_lines(rows)]
        start = time.perf_counter()
        torch.cat(list(_answers(self.teacher, self.tokenizer, texts)))
        seconds = time.perf_counter() - start
        return Unit(len(texts), token_count(tokenized(self.tokenizer, rows)), seconds)


def _answers(model: PreTrainedModel, tokenizer: Any, texts: list[str]) -> Iterator[torch.Tensor]:
    for start in range(0, len(texts), _RECORD_ROWS):
        batch = tokenizer(
            texts[start : start + _RECORD_ROWS],
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        with torch.no_grad():
            yield model(**batch).logits
