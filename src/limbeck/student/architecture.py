"""Students of another architecture than their teacher's: which there are, and who makes what."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, assert_never

from limbeck.config.recipe import StudentConfig
from limbeck.config.shapes import Layered
from limbeck.errors import StudentError
from limbeck.student.albert import albert_config, albert_start
from limbeck.student.distilbert import distilbert_config, distilbert_start
from limbeck.student.mobilebert import mobilebert_config, mobilebert_start
from limbeck.student.post_norm import Weights
from limbeck.student.sizes import wanted_embedding, wanted_thin_layers
from limbeck.student.start import Seen, Start
from limbeck.teacher.family import FAMILIES, position_limit
from limbeck.teacher.load import Checkpoint, class_names, set_class_names, set_dropout

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


def architecture_of(wish: Layered, wanted: StudentConfig, teacher: Checkpoint) -> Layered:
    """The student's architecture: "same" also where the teacher's has the wanted name already.

    Args:
        wish: The recipe's `student.architecture`.
        wanted: The recipe's `student`.
        teacher: The teacher.

    Raises:
        StudentError: If its weights are to come from a teacher that has none like them.
    """
    if wish == "same":
        return "same"
    own_sizes = (wanted.embedding, wanted.bottleneck, wanted.feed_forwards, wanted.normalization)
    if wish == teacher.config.model_type and own_sizes == (None,) * len(own_sizes):
        return "same"
    if wanted.init != "teacher":
        return wish
    able = ", ".join(name for name, family in FAMILIES.items() if family.post_norm_bert)
    if not teacher.family.post_norm_bert:
        raise StudentError(
            "student.architecture",
            f"a {wish} student cannot be taken from a {teacher.config.model_type!r} teacher: its "
            "weights mean something else there",
            f"Use student.init=normal for new weights, or a teacher of {able}.",
        )
    if teacher.pads_left and position_limit(teacher.config) != _positions(teacher.config):
        raise StudentError(
            "student.architecture",
            f"a {wish} student counts positions from the first place, but a "
            f"{teacher.config.model_type!r} teacher that pads on the left from the first token",
            "Set padding_side to right in the teacher's tokenizer_config.json.",
        )
    return wish


def own_config(
    architecture: Layered,
    wanted: StudentConfig,
    cut: PreTrainedConfig,
    teacher: Checkpoint,
    *,
    layers: int,
) -> PreTrainedConfig:
    """The student's config.

    Args:
        architecture: From `architecture_of`.
        wanted: The recipe's `student`.
        cut: The teacher's config at the widths that its weights are cut to.
        teacher: The teacher.
        layers: How many layers the student applies.
    """
    common = _common(cut, teacher)
    neurons = int(getattr(cut, teacher.family.intermediate_key))
    activation = getattr(cut, "hidden_act", None) or getattr(cut, "activation", "gelu")
    match architecture:
        case "same":
            return cut
        case "distilbert":
            config = distilbert_config(cut, common, activation=activation, neurons=neurons)
        case "albert":
            config = albert_config(
                cut,
                common,
                activation=activation,
                neurons=neurons,
                layers=layers,
                embedding=wanted_embedding(wanted, cut.hidden_size),
            )
        case "mobilebert":
            thin = wanted_thin_layers(wanted, cut.hidden_size)
            config = mobilebert_config(
                common,
                thin,
                layers=layers,
                hidden=cut.hidden_size,
                embedding=wanted_embedding(wanted, cut.hidden_size),
                norm=wanted.normalization or "no_norm",
                types=int(getattr(cut, "type_vocab_size", 2)),
            )
        case _:
            assert_never(architecture)
    set_class_names(config, class_names(cut))
    set_dropout(config, wanted.dropout)
    return config


def own_checkpoint(teacher: Checkpoint, config: PreTrainedConfig) -> Checkpoint:
    """The teacher's tokenizer, told what the student is fed, and the student's family."""
    return Checkpoint(
        path=teacher.path,
        config=config,
        tokenizer=_fed(teacher.tokenizer, types=config.model_type != "distilbert"),
        family=FAMILIES[config.model_type],
        trust_remote_code=False,
    )


def own_start(
    architecture: Layered,
    weights: Weights,
    seen: Seen,
    *,
    teacher: PreTrainedConfig,
    config: PreTrainedConfig,
    teacher_layers: Sequence[int],
) -> Start:
    """What the student starts with.

    Args:
        architecture: Not "same", whose weights are the teacher's as they are.
        weights: The teacher's under the names of `post_norm`, at the student's widths.
        seen: Tokens of the training texts.
        teacher: The teacher's config.
        config: The student's.
        teacher_layers: Those that were taken.
    """
    match architecture:
        case "same":
            return Start(weights)
        case "distilbert":
            return distilbert_start(weights, teacher)
        case "albert":
            width = config.embedding_size
            return albert_start(weights, seen, embedding=width, teacher_layers=teacher_layers)
        case "mobilebert":
            return mobilebert_start(weights, seen, config)
        case _:
            assert_never(architecture)


def _common(cut: PreTrainedConfig, teacher: Checkpoint) -> dict[str, Any]:
    """What every architecture's config is told alike."""
    return {
        "vocab_size": cut.vocab_size,
        "max_position_embeddings": position_limit(teacher.config) or 512,
        "pad_token_id": cut.pad_token_id,
        "bos_token_id": getattr(cut, "bos_token_id", None),
        "eos_token_id": getattr(cut, "eos_token_id", None),
    }


def _positions(config: PreTrainedConfig) -> int | None:
    return getattr(config, "max_position_embeddings", None)


def _fed(tokenizer: PreTrainedTokenizerBase, *, types: bool) -> PreTrainedTokenizerBase:
    """A copy that gives the model no segment ids unless it takes them, also when loaded again."""
    names = list(tokenizer.model_input_names)
    if types or "token_type_ids" not in names:
        return tokenizer
    names.remove("token_type_ids")
    own = copy.deepcopy(tokenizer)
    own.model_input_names = names
    own.init_kwargs["model_input_names"] = names
    return own
