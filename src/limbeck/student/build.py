"""Builds the planned student: weights from the teacher, from a checkpoint, or new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.data.batches import Batch
from limbeck.errors import StudentError
from limbeck.student.architecture import own_start
from limbeck.student.cut import taken_weights
from limbeck.student.narrow import energy_note, narrow_weights
from limbeck.student.plan import StudentPlan
from limbeck.student.post_norm import with_one_name
from limbeck.student.randomize import randomize
from limbeck.student.start import Start, seen_in
from limbeck.student.static import static_start
from limbeck.student.vectors import with_layer_to_cut
from limbeck.teacher.family import family_of
from limbeck.teacher.head import model_class
from limbeck.teacher.load import class_names, load_classifier
from limbeck.teacher.masked_lm import load_masked_lm

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Built:
    """A student before training, and what to say about how it was made."""

    model: PreTrainedModel
    notes: tuple[str, ...]


def build_student(
    plan: StudentPlan,
    teacher: PreTrainedModel,
    *,
    kept: np.ndarray | None,
    sample: Sequence[Batch],
    seed: int,
    attention: str,
) -> Built:
    """The student of a plan, in float32 on the CPU. The same arguments give the same weights.

    Args:
        plan: From `plan_student`.
        teacher: Where weights are taken from.
        kept: Old token id of each new one, or None for the whole vocabulary.
        sample: Batches of training texts under the teacher's tokenizer, for the students that
            want them (`StudentPlan.wants_sample`).
        seed: Of new weights.
        attention: The attention implementation to train with.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if plan.init == "checkpoint":
            return _from_checkpoint(plan, attention, seed)
        model = model_class(plan.head).from_config(
            plan.config,
            attn_implementation=attention if plan.checkpoint.family.sdpa else "eager",
            dtype=torch.float32,
        )
    if plan.init != "teacher":
        randomize(model, plan.init, torch.Generator().manual_seed(seed))
        return Built(model, (f"weights are new ({plan.init})",))
    start = _taken(plan, teacher, kept, sample)
    missing, unexpected = model.load_state_dict(start.weights, strict=False)
    gaps = [name for name in missing if not name.startswith(start.new or ("-",))]
    if gaps:
        raise StudentError(
            "student",
            f"{len(gaps)} weights cannot be taken from the teacher, {gaps[0]} among them",
            "Take other layers (student.from), or use student.init=normal.",
        )
    notes = start.notes
    if unexpected:
        notes += (f"left out of the teacher: {', '.join(sorted(unexpected))}",)
    return Built(model, notes)


def _taken(
    plan: StudentPlan,
    teacher: PreTrainedModel,
    kept: np.ndarray | None,
    sample: Sequence[Batch],
) -> Start:
    """The teacher's weights as the student's, at its widths and in its architecture."""
    if plan.architecture == "static":
        assert plan.lone is not None
        return static_start(teacher, plan.lone, plan.config, kept, sample)
    family = family_of(teacher.config, "the teacher")
    weights = taken_weights(teacher, family, plan.teacher_layers, kept)
    weights = with_layer_to_cut(weights, teacher.config, plan.config)
    notes: list[str] = []
    if plan.architecture != "albert" and plan.teacher_layers:
        layers = ", ".join(map(str, plan.teacher_layers))
        notes.append(f"layers taken from the teacher's {layers}")
    if plan.narrow and plan.architecture != "mobilebert":
        weights, energy = narrow_weights(
            weights, teacher, family, sample, plan.teacher_layers, plan.cut
        )
        notes.append(energy_note(energy))
    if plan.architecture == "same":
        return Start(weights, notes=tuple(notes))
    start = own_start(
        plan.architecture,
        with_one_name(weights, teacher.base_model_prefix, teacher.config),
        seen_in(sample, kept, teacher.config.vocab_size),
        teacher=teacher.config,
        config=plan.config,
        teacher_layers=plan.teacher_layers,
    )
    return Start(start.weights, start.new, (*notes, *start.notes))


def _from_checkpoint(plan: StudentPlan, attention: str, seed: int) -> Built:
    if plan.head == "masked_lm":
        model = load_masked_lm(plan.checkpoint, attention=attention, new_head=True, seed=seed)
    elif plan.head == "vectors":
        model = load_classifier(plan.checkpoint, attention=attention)
    else:
        names = class_names(plan.config)
        model = load_classifier(
            plan.checkpoint, attention=attention, new_head=names, head=plan.head
        )
    return Built(model, (f"weights from {plan.checkpoint.path}",))
