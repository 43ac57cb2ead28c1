"""What the student will be: sizes and layers checked and counted, before any weight is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from limbeck.config.recipe import StudentConfig, TeacherConfig
from limbeck.config.shapes import SHAPES
from limbeck.errors import StudentError
from limbeck.student.narrow import refuse_uncuttable
from limbeck.teacher.family import layer_count
from limbeck.teacher.load import Checkpoint, look_at, set_class_names, set_dropout

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class StudentPlan:
    """A student that can be built.

    Attributes:
        config: The transformers config of the student.
        checkpoint: Tokenizer and family: the teacher's, or those of `student.checkpoint`.
        teacher_layers: The teacher layer (from 1) that each student layer is taken from.
        narrow: Whether any width differs from the teacher's.
        init: Where the weights come from: teacher, normal, xavier, kaiming or checkpoint.
    """

    config: PreTrainedConfig
    checkpoint: Checkpoint
    teacher_layers: tuple[int, ...]
    narrow: bool
    init: str


@dataclass(frozen=True)
class Counts:
    """Parameters of a model, and of its encoder layers alone (no embeddings, no head)."""

    parameters: int
    encoder_parameters: int

    @property
    def float32_mb(self) -> float:
        """Size of the weights in float32, in MB (10^6 bytes)."""
        return 4 * self.parameters / 1e6


def plan_student(wanted: StudentConfig, teacher: Checkpoint, vocabulary: int) -> StudentPlan:
    """The student that `wanted` describes, for this teacher.

    Args:
        wanted: The recipe's `student`.
        teacher: From `look_at`.
        vocabulary: Tokens in the student's vocabulary.

    Raises:
        StudentError: For layers that the teacher has not, or widths that do not divide.
    """
    if wanted.checkpoint is not None:
        return _plan_from_checkpoint(wanted, teacher)
    shape = SHAPES[wanted.shape] if wanted.shape else None
    config = type(teacher.config).from_dict(teacher.config.to_dict())
    if wanted.layers is not None or wanted.from_layers is not None or shape is None:
        layers = _teacher_layers(wanted, layer_count(config))
    else:
        layers = _spread(shape.layers, layer_count(config))
    old = (config.hidden_size, config.num_attention_heads, _intermediate(teacher, config))
    hidden = wanted.hidden or (shape.hidden if shape else old[0])
    heads = wanted.heads or (shape.heads if shape and not wanted.hidden else None)
    heads = heads or _heads_for(hidden, old[0], old[1])
    intermediate = wanted.intermediate or (
        shape.intermediate if shape and not wanted.hidden else round(old[2] * hidden / old[0])
    )
    if hidden % heads:
        raise StudentError(
            "student.heads",
            f"{heads} heads do not divide a width of {hidden}",
            "Choose student.heads so that student.hidden is a multiple of it.",
        )
    _set_layers(config, layers)
    config.hidden_size, config.num_attention_heads = hidden, heads
    setattr(config, teacher.family.intermediate_key, intermediate)
    config.vocab_size = vocabulary
    narrow = (hidden, heads, intermediate) != old
    if narrow and wanted.init == "teacher":
        refuse_uncuttable(teacher.family, teacher.config, config)
    set_dropout(config, wanted.dropout)
    return StudentPlan(config, teacher, layers, narrow, wanted.init)


def count_parameters(config: PreTrainedConfig, checkpoint: Checkpoint) -> Counts:
    """Parameters of the classifier that `config` describes; nothing is allocated."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from limbeck.teacher.family import layer_modules

    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    modules = layer_modules(model, checkpoint.family)
    return Counts(
        parameters=sum(p.numel() for p in model.parameters()),
        encoder_parameters=sum(p.numel() for module in modules for p in module.parameters()),
    )


def _plan_from_checkpoint(wanted: StudentConfig, teacher: Checkpoint) -> StudentPlan:
    assert wanted.checkpoint is not None
    own = look_at(TeacherConfig(path=wanted.checkpoint), role="student")
    config = type(own.config).from_dict(own.config.to_dict())
    set_class_names(config, teacher.labels)
    set_dropout(config, wanted.dropout)
    if wanted.layers is not None and wanted.layers != layer_count(config):
        raise StudentError(
            "student.layers",
            f"{wanted.layers} layers, but {wanted.checkpoint} has {layer_count(config)}",
            "Delete student.layers: a student from a checkpoint keeps its own shape.",
        )
    return StudentPlan(config, replace(own, config=config), (), False, "checkpoint")


def _teacher_layers(wanted: StudentConfig, teacher_layers: int) -> tuple[int, ...]:
    if wanted.from_layers is not None:
        wrong = [layer for layer in wanted.from_layers if not 1 <= layer <= teacher_layers]
        if wrong:
            raise StudentError(
                "student.from",
                f"layer {wrong[0]} is to be taken, but the teacher has {teacher_layers}",
                f"Use layers from 1 to {teacher_layers}.",
            )
        if list(wanted.from_layers) != sorted(set(wanted.from_layers)):
            raise StudentError(
                "student.from",
                f"{list(wanted.from_layers)} is not rising: a layer expects what lies below it",
                "Name each layer once, the lowest first.",
            )
        return wanted.from_layers
    return _spread(wanted.layers or max(1, teacher_layers // 2), teacher_layers)


def _spread(layers: int, teacher_layers: int) -> tuple[int, ...]:
    """Evenly spread teacher layers, the first always among them: 3 of 6 are 1, 3, 5."""
    if layers > teacher_layers:
        raise StudentError(
            "student.layers",
            f"{layers} layers are wanted, but the teacher has {teacher_layers}",
            f"Use 1 to {teacher_layers} layers, or start from another student (checkpoint).",
        )
    return tuple(1 + index * teacher_layers // layers for index in range(layers))


def _set_layers(config: PreTrainedConfig, layers: Sequence[int]) -> None:
    old = layer_count(config)
    for key, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == old and key.startswith("layer"):
            setattr(config, key, [value[layer - 1] for layer in layers])
    config.num_hidden_layers = len(layers)


def _intermediate(teacher: Checkpoint, config: PreTrainedConfig) -> int:
    # GPT-2 writes no width where it is the usual one.
    return int(getattr(config, teacher.family.intermediate_key) or 4 * config.hidden_size)


def _heads_for(hidden: int, teacher_hidden: int, teacher_heads: int) -> int:
    size = teacher_hidden // teacher_heads
    if hidden % size == 0:
        return hidden // size
    if hidden % teacher_heads == 0:
        return teacher_heads
    raise StudentError(
        "student.hidden",
        f"a width of {hidden} is no multiple of the teacher's head size {size} "
        f"nor of its {teacher_heads} heads",
        f"Use a multiple of {size}, or give student.heads too.",
    )
