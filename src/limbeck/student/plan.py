"""What the student will be: sizes and layers checked and counted, before any weight is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from limbeck.config.recipe import StudentConfig, TeacherConfig
from limbeck.config.shapes import SHAPES, Architecture, Layered
from limbeck.errors import StudentError
from limbeck.student.architecture import architecture_of, own_checkpoint, own_config
from limbeck.student.narrow import refuse_uncuttable
from limbeck.student.sizes import Widths, wanted_widths
from limbeck.student.static import (
    LoneToken,
    lone_token,
    refuse_headed,
    refuse_layerless,
    table_of,
)
from limbeck.student.vectors import refuse_unbuildable, with_vectors
from limbeck.tasks.head import Head
from limbeck.teacher.family import TABLE, Family, layer_count
from limbeck.teacher.head import model_class
from limbeck.teacher.load import Checkpoint, look_at, set_class_names, set_dropout
from limbeck.teacher.pooling import vector_width

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class StudentPlan:
    """A student that can be built.

    Attributes:
        config: The transformers config of the student.
        checkpoint: Tokenizer and family: the teacher's, those of `student.checkpoint`, or the
            teacher's tokenizer as the student's architecture is fed by it.
        teacher_layers: The teacher layer (from 1) that each student layer is taken from.
        narrow: Whether any width differs from the teacher's.
        init: Where the weights come from: teacher, normal, xavier, kaiming or checkpoint.
        architecture: same, or another than the teacher's.
        cut: The teacher's config at the widths that its weights are cut to; `config` itself where
            the architecture is the same.
        head: What stands on top.
        lone: How the teacher is asked about single tokens, for a table of their vectors.
    """

    config: PreTrainedConfig
    checkpoint: Checkpoint
    teacher_layers: tuple[int, ...]
    narrow: bool
    init: str
    architecture: Architecture
    cut: PreTrainedConfig
    head: Head
    lone: LoneToken | None = None

    @property
    def wants_sample(self) -> bool:
        """Whether its weights are fitted to a sample of the training texts."""
        return self.init == "teacher" and (
            self.narrow or self.architecture in ("albert", "mobilebert")
        )


@dataclass(frozen=True)
class Counts:
    """Parameters of a model, and of its encoder layers alone (no embeddings, no head)."""

    parameters: int
    encoder_parameters: int

    @property
    def float32_mb(self) -> float:
        """Size of the weights in float32, in MB (10^6 bytes)."""
        return 4 * self.parameters / 1e6


def plan_student(
    wanted: StudentConfig, teacher: Checkpoint, vocabulary: int, *, head: Head = "classifier"
) -> StudentPlan:
    """The student that `wanted` describes, for this teacher.

    Args:
        wanted: The recipe's `student`.
        teacher: From `look_at`.
        vocabulary: Tokens in the student's vocabulary.
        head: What stands on top; the teacher has the same.

    Raises:
        StudentError: For layers that the teacher has not, or widths that do not divide.
    """
    if wanted.checkpoint is not None:
        return _plan_from_checkpoint(wanted, teacher, head)
    wish = wanted.architecture
    if wish == "static":
        return _plan_static(wanted, teacher, vocabulary, head)
    refuse_layerless(teacher)
    architecture = architecture_of(wish, wanted, teacher)
    if head == "vectors":
        refuse_unbuildable(architecture)
    layers, taken = _layers(wanted, architecture, layer_count(teacher.config))
    cut, narrow = _cut(wanted, architecture, teacher, taken, vocabulary)
    if narrow and wanted.init == "teacher" and architecture != "mobilebert":
        refuse_uncuttable(teacher.family, teacher.config, cut)
        if head == "masked_lm":
            raise StudentError(
                "student.hidden, heads or intermediate",
                "the widths of a masked-LM head cannot be cut: its activation stands between "
                "the stream and the vocabulary",
                "Cut layers only, or use student.init=normal for new weights.",
            )
    config = own_config(architecture, wanted, cut, teacher, layers=layers)
    with_vectors(config, teacher.config if head == "vectors" else None, wanted)
    own = teacher if architecture == "same" else own_checkpoint(teacher, config)
    return StudentPlan(config, own, taken, narrow, wanted.init, architecture, cut, head)


def count_parameters(
    config: PreTrainedConfig, checkpoint: Checkpoint, *, head: Head = "classifier"
) -> Counts:
    """Parameters of the model that `config` describes; nothing is allocated."""
    import torch

    with torch.device("meta"):
        model = model_class(head).from_config(config)
    return counts_of(model, checkpoint.family)


def counts_of(model: PreTrainedModel, family: Family) -> Counts:
    """Parameters of a model, thin or not."""
    from limbeck.teacher.family import layer_modules

    modules = layer_modules(model, family)
    return Counts(
        parameters=sum(p.numel() for p in model.parameters()),
        encoder_parameters=sum(p.numel() for module in modules for p in module.parameters()),
    )


def _plan_static(
    wanted: StudentConfig, teacher: Checkpoint, vocabulary: int, head: Head
) -> StudentPlan:
    config, own = table_of(wanted, teacher, vocabulary, head)
    narrow = config.hidden_size != vector_width(teacher.config)
    return StudentPlan(
        config, own, (), narrow, wanted.init, "static", config, head, lone_token(teacher)
    )


def _plan_from_checkpoint(wanted: StudentConfig, teacher: Checkpoint, head: Head) -> StudentPlan:
    assert wanted.checkpoint is not None
    own = look_at(TeacherConfig(path=wanted.checkpoint), role="student")
    refuse_headed(own.family, own.path, head)
    config = type(own.config).from_dict(own.config.to_dict())
    if own.family is TABLE:  # nothing stands behind its mean
        wanted = wanted.model_copy(update={"vectors": "own"})
    with_vectors(config, teacher.config if head == "vectors" else None, wanted)
    set_class_names(config, teacher.labels)
    set_dropout(config, wanted.dropout)
    if wanted.layers is not None and wanted.layers != layer_count(config):
        raise StudentError(
            "student.layers",
            f"{wanted.layers} layers, but {wanted.checkpoint} has {layer_count(config)}",
            "Delete student.layers: a student from a checkpoint keeps its own shape.",
        )
    own = replace(own, config=config)
    return StudentPlan(config, own, (), False, "checkpoint", "same", config, head)


def _layers(
    wanted: StudentConfig, architecture: Layered, teacher_layers: int
) -> tuple[int, tuple[int, ...]]:
    """How many layers the student applies, and the teacher's that its own are taken from."""
    shape = SHAPES[wanted.shape] if wanted.shape else None
    count = wanted.layers or (shape.layers if shape and wanted.from_layers is None else None)
    match architecture:
        case "same" | "distilbert":
            taken = _teacher_layers(wanted, count, teacher_layers)
            return len(taken), taken
        case "albert":
            count = len(_spread(count or max(1, teacher_layers // 2), teacher_layers))
            if wanted.from_layers is not None:
                return count, _teacher_layers(wanted, None, teacher_layers)
            return count, (1,)
        case "mobilebert":
            return len(_spread(count or teacher_layers, teacher_layers)), ()
        case _:
            assert_never(architecture)


def _cut(
    wanted: StudentConfig,
    architecture: Layered,
    teacher: Checkpoint,
    taken: Sequence[int],
    vocabulary: int,
) -> tuple[PreTrainedConfig, bool]:
    """The teacher's config with the student's widths and layers; whether any width differs."""
    config = type(teacher.config).from_dict(teacher.config.to_dict())
    key = teacher.family.intermediate_key
    # GPT-2 writes no width where it is the usual one.
    neurons = int(getattr(config, key) or 4 * config.hidden_size)
    old = Widths(config.hidden_size, config.num_attention_heads, neurons)
    if architecture == "mobilebert":
        shape = SHAPES[wanted.shape].hidden if wanted.shape else None
        own = replace(old, hidden=wanted.hidden or shape or old.hidden)
    else:
        own = wanted_widths(wanted, old)
        set_layers(config, taken)
    config.hidden_size, config.num_attention_heads = own.hidden, own.heads
    setattr(config, key, own.intermediate)
    config.vocab_size = vocabulary
    set_dropout(config, wanted.dropout)
    return config, own != old


def _teacher_layers(
    wanted: StudentConfig, count: int | None, teacher_layers: int
) -> tuple[int, ...]:
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
    return _spread(count or max(1, teacher_layers // 2), teacher_layers)


def _spread(layers: int, teacher_layers: int) -> tuple[int, ...]:
    """Evenly spread teacher layers, the first always among them: 3 of 6 are 1, 3, 5."""
    if layers > teacher_layers:
        raise StudentError(
            "student.layers",
            f"{layers} layers are wanted, but the teacher has {teacher_layers}",
            f"Use 1 to {teacher_layers} layers, or start from another student (checkpoint).",
        )
    return tuple(1 + index * teacher_layers // layers for index in range(layers))


def set_layers(config: PreTrainedConfig, layers: Sequence[int]) -> None:
    """Let a config speak of these of its layers (from 1) alone."""
    old = layer_count(config)
    for key, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == old and key.startswith("layer"):
            setattr(config, key, [value[layer - 1] for layer in layers])
    config.num_hidden_layers = len(layers)
