"""General distillation: a student learns from its teacher on plain text, before any task.

Masks as the papers have them: DistilBERT guesses words under masks that are drawn anew in every
step, and its teacher sees the same masks. TinyBERT's and MiniLM's general distillation compares
layers alone, on text as it is. What decides is the objective: words are masked where a term guesses
them (hard, logits).

Reference:
    Sanh et al. DistilBERT, 2019, section 3. https://arxiv.org/abs/1910.01108
    Jiao et al. TinyBERT, 2020, section 4.1. https://arxiv.org/abs/1909.10351
    Wang et al. MiniLM, 2020, section 4.1. https://arxiv.org/abs/2002.10957
    Sun et al. MobileBERT, 2020, section 3.5. https://arxiv.org/abs/2004.02984
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from limbeck.config.recipe import TrainingConfig
from limbeck.config.terms import Term
from limbeck.data.texts import UNLABELLED
from limbeck.evaluation.pretrained import (
    MaskedWords,
    attention_values,
    masked_words,
    matched_layers,
    state_distances,
)
from limbeck.files import restored, whole_folder, write_json
from limbeck.knowledge.anew import AskedAnew
from limbeck.progress import say
from limbeck.run.general import GeneralPlan
from limbeck.student.build import Built, build_student
from limbeck.student.narrow import sample_rows
from limbeck.teacher.family import layer_count
from limbeck.teacher.load import class_names, fingerprint, load_classifier, quiet_transformers
from limbeck.teacher.masked_lm import load_masked_lm
from limbeck.training.by_layer import LayerTask, layer_tasks, layer_training
from limbeck.training.choice import Machine, choose
from limbeck.training.frozen import only
from limbeck.training.layer_maps import Depths, needs_teacher
from limbeck.training.lessons import Lessons, teacher_side
from limbeck.training.log import Log
from limbeck.training.loop import Outcome, train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RECORD = "limbeck_pretrain.json"


@dataclass(frozen=True)
class Figures:
    """What held-out plain text says of a student and its teacher.

    Attributes:
        words: The student's guesses of masked words; None where it has no head for them.
        teacher_words: Its teacher's.
        distances: 1 - cos between states, by pair of layers.
        terms: Values of the terms on attention and relations, by name.
    """

    words: MaskedWords | None
    teacher_words: MaskedWords | None
    distances: dict[str, float]
    terms: dict[str, float]

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def pretrained_folder(plan: GeneralPlan, machine: Machine) -> Path:
    """The folder of the plan's pre-trained student, made if it is not there.

    It is addressed by texts, teacher and settings, so that runs share it; how a machine computes is
    no part of the address. Another process that makes it is waited for.
    """
    teacher = load_general_teacher(plan)
    digest = hashlib.blake2b(digest_size=16)
    settings = {
        "student": _without(plan.recipe.student.model_dump(mode="json"), "vocabulary", "pruning"),
        "pretraining": _without(plan.recipe.pretraining.model_dump(mode="json"), "teacher"),
        "training": {key: getattr(plan.training, key) for key in _SETTINGS},
        "max_tokens": plan.encoded.max_tokens,
        "seed": plan.recipe.seed,
        "texts": plan.texts.fingerprint(),
        "teacher": _stamp(plan, teacher),
    }
    digest.update(json.dumps(settings, sort_keys=True).encode())
    place = Path(plan.recipe.knowledge.folder) / "pretrained" / digest.hexdigest()
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        if not (restored(place) / RECORD).exists():
            pretrain_to(plan, machine, place, teacher=teacher)
    return place


_SETTINGS = (
    "epochs", "learning_rate", "warmup_share", "weight_decay", "clip_norm", "batch_rows",
    "batch_tokens",
)  # fmt: skip


def load_general_teacher(plan: GeneralPlan) -> PreTrainedModel:
    """The teacher as the plan needs it: with a masked-LM head, or with one that nobody asks."""
    import torch

    if plan.masking is not None:
        model = load_masked_lm(
            plan.teacher,
            attention="sdpa",
            new_head=not plan.asks_vocabulary,
            seed=plan.recipe.seed,
        )
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.recipe.seed)
            names = class_names(plan.teacher.config)
            model = load_classifier(
                plan.teacher, attention="sdpa", new_head=names, head=plan.student.head
            )
    if torch.cuda.is_available():
        model.to("cuda")  # pyright: ignore[reportArgumentType]
    return model


def pretrain_to(
    plan: GeneralPlan, machine: Machine, place: Path, *, teacher: PreTrainedModel
) -> Figures:
    """Pre-train the plan's student and write it to `place`; interrupted, the same call goes on.

    Returns:
        The held-out figures, which are said and kept beside the weights too.
    """
    say(f"pre-training on {plan.in_words()}")
    work = place.with_name(f".{place.name}.pretraining")
    built = _build(plan, teacher, machine)
    model = built.model
    for note in built.notes:
        say(f"  {note}")
    model.to(teacher.device)  # pyright: ignore[reportArgumentType]
    lessons = _lessons(plan, teacher, machine)
    before = figures(plan, model, teacher, lessons, machine)
    outcomes = _train(plan, model, lessons, machine, work)
    model.to(teacher.device)  # pyright: ignore[reportArgumentType]
    after = figures(plan, model, teacher, lessons, machine)
    _tell(before, after)
    seconds = sum(outcome.progress.seconds for outcome in outcomes)
    steps = sum(outcome.progress.step for outcome in outcomes)
    model.cpu()
    product: Any = model if plan.masking is not None else model.base_model
    with whole_folder(place) as part, quiet_transformers():
        product.save_pretrained(part)
        plan.student.checkpoint.tokenizer.save_pretrained(part)
        if (work / "log.jsonl").exists():  # fewer steps than training.log_steps leave none
            shutil.copy(work / "log.jsonl", part / "log.jsonl")
        write_json(
            part / RECORD,
            {
                "before": before.content(),
                "after": after.content(),
                "steps": steps,
                "seconds": round(seconds, 1),
                "tokens": plan.tokens,
                "rows": len(plan.learned),
                "machine": asdict(machine),
                "notes": list(built.notes),
                "recipe": plan.recipe.model_dump(mode="json", by_alias=True),
            },
        )
    shutil.rmtree(work, ignore_errors=True)
    return after


def figures(
    plan: GeneralPlan,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    lessons: Lessons,
    machine: Machine,
) -> Figures:
    """What the held-out rows say."""
    own, other = plan.student.checkpoint, plan.teacher
    encoded, rows, precision = plan.encoded, plan.held_out, machine.precision
    depths = Depths(layer_count(student.config), layer_count(teacher.config))
    distances: dict[str, float] = {}
    values: dict[str, float] = {}
    if needs_teacher(plan.terms):
        layers = matched_layers(plan.terms, depths)
        distances = state_distances(
            student, own, teacher, other, encoded, rows, layers, precision=precision
        )
        values = attention_values(student, own, lessons, plan.terms, rows, precision=precision)
    words = told = None
    if plan.masking is not None:
        words = masked_words(student, own, encoded, rows, plan.masking, precision=precision)
        if plan.asks_vocabulary:
            told = masked_words(teacher, other, encoded, rows, plan.masking, precision=precision)
    return Figures(words, told, distances, values)


def _without(settings: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in keys}


def _stamp(plan: GeneralPlan, teacher: PreTrainedModel) -> str:
    """The teacher's fingerprint; of its body alone where its head was made for the occasion."""
    model = teacher if plan.asks_vocabulary else teacher.base_model
    return fingerprint(model, plan.teacher.backend)  # pyright: ignore[reportArgumentType]


def _build(plan: GeneralPlan, teacher: PreTrainedModel, machine: Machine) -> Built:
    sample = []
    if plan.student.wants_sample:
        rows = sample_rows(plan.encoded.lengths, plan.recipe.seed)
        sample = [
            plan.teacher.batch(plan.encoded, rows[start : start + 64])
            for start in range(0, len(rows), 64)
        ]
    return build_student(
        plan.student,
        teacher,
        kept=None,
        sample=sample,
        seed=plan.recipe.seed,
        attention=machine.attention,
    )


def _lessons(plan: GeneralPlan, teacher: PreTrainedModel, machine: Machine) -> Lessons:
    encoded = plan.encoded
    # Live, masked or not: masks are others in each epoch, and plain text is read once or twice,
    # so that its states would cost far more disk than the passes that they save.
    answers = AskedAnew(teacher, plan.teacher, plan.parts, precision=machine.precision)
    return Lessons(
        encoded=encoded,
        labels=np.full(len(encoded), UNLABELLED, dtype=np.int64),
        answers=answers if needs_teacher(plan.terms) else None,
        teacher=teacher_side(plan.teacher.config),
        ids=plan.texts.ids,
        rows=plan.learned,
        masking=plan.masking,
    )


def _train(
    plan: GeneralPlan, model: PreTrainedModel, lessons: Lessons, machine: Machine, work: Path
) -> list[Outcome]:
    tasks: Sequence[LayerTask] = (LayerTask("", plan.terms, ()),)
    config = plan.training
    if plan.recipe.pretraining.layer_by_layer:
        tasks = layer_tasks(model, plan.student.checkpoint.family, plan.terms)
        config = layer_training(config, len(tasks))
    outcomes = []
    for task in tasks:
        with only(model, task.learning) if task.learning else nullcontext():
            outcomes.append(_take(plan, model, task.terms, lessons, config, machine, work, task))
    return outcomes


def _take(
    plan: GeneralPlan,
    model: PreTrainedModel,
    terms: Sequence[Term],
    lessons: Lessons,
    config: TrainingConfig,
    machine: Machine,
    work: Path,
    task: LayerTask,
) -> Outcome:
    return train(
        model,
        plan.student.checkpoint,
        terms,
        lessons,
        None,  # the last state is kept: plain text is too plentiful to be learned by heart
        config=config,
        machine=machine,
        seed=plan.recipe.seed,
        folder=work / f"checkpoints{task.part}",
        log=Log(work / "log.jsonl", f"pretraining{task.part}"),
        name=f"pre-training{task.part.replace('-', ' ')}",
    )


def _tell(before: Figures, after: Figures) -> None:
    """Say the held-out figures."""
    if before.words is not None and after.words is not None:
        told = after.teacher_words
        say(
            f"  held-out masked words: loss {after.words.loss:.3f} (perplexity "
            f"{after.words.perplexity:.1f}, {after.words.accuracy:.1%} right), before "
            f"{before.words.loss:.3f}"
            + (f"; the teacher's {told.loss:.3f} ({told.perplexity:.1f})" if told else "")
        )
    for layers, distance in after.distances.items():
        say(
            f"  held-out states, layer {layers}: 1 - cos {distance:.3f}, before "
            f"{before.distances[layers]:.3f}"
        )
    for name, value in after.terms.items():
        say(f"  held-out {name}: {value:.4f}, before {before.terms[name]:.4f}")


def choose_machine(plan: GeneralPlan) -> Machine:
    """How to compute the pre-training here."""
    return choose(plan.training, plan.student.config, plan.encoded.lengths)
