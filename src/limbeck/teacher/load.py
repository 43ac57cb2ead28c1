"""Loads a fine-tuned classifier: config and tokenizer first, weights only when they are needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.recipe import TeacherConfig
from limbeck.data.batches import Batch, collate
from limbeck.data.encode import Encoded, tokenizer_bytes
from limbeck.errors import TeacherError
from limbeck.tasks.head import OF_TOKENS, Head, head_of
from limbeck.tasks.question_answering import OUTPUTS
from limbeck.teacher.family import TABLE, Family, family_of, position_limit
from limbeck.teacher.head import model_class
from limbeck.teacher.pooling import (
    look_for_vectors,
    note_activation,
    refuse_stated_pooling,
    set_vectors,
    vector_width,
    vectors_of,
)
from limbeck.teacher.thin import thin_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_NO_LIMIT = 10**6
"""transformers writes 10^30 where a tokenizer has no limit."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint without its weights: what a plan can be made from.

    Attributes:
        path: Folder or hub name.
        config: Its transformers config.
        tokenizer: Its tokenizer, backed by `tokenizers`.
        family: Where its layers are.
    """

    path: str
    config: PreTrainedConfig
    tokenizer: PreTrainedTokenizerBase
    family: Family
    trust_remote_code: bool

    @property
    def labels(self) -> list[str]:
        """Class names in index order."""
        return class_names(self.config)

    @property
    def backend(self) -> Tokenizer:
        """The Rust tokenizer."""
        return backend_of(self.tokenizer)

    @property
    def wants_types(self) -> bool:
        """Whether the model is fed token_type_ids."""
        return "token_type_ids" in self.tokenizer.model_input_names

    @property
    def pads_left(self) -> bool:
        """Whether padding goes before the text."""
        return self.tokenizer.padding_side == "left"

    @property
    def pad_id(self) -> int:
        """Id of the padding token."""
        return int(self.tokenizer.pad_token_id)  # pyright: ignore[reportArgumentType]

    def batch(self, encoded: Encoded, rows: np.ndarray) -> Batch:
        """The rows as one batch, padded and with the inputs that this model takes."""
        return collate(
            encoded, rows, pad_id=self.pad_id, left=self.pads_left, types=self.wants_types
        )

    def max_tokens(self, wished: int) -> int:
        """`wished`, or less where model or tokenizer take less; no limit where none is cut."""
        if self.family.whole_texts:
            return _NO_LIMIT
        limits = [wished, position_limit(self.config), self.tokenizer.model_max_length]
        vectors = vectors_of(self.config)
        limits += [vectors.max_tokens] if vectors is not None else []
        return min(limit for limit in limits if limit is not None and limit < _NO_LIMIT)


def class_names(config: PreTrainedConfig) -> list[str]:
    """Class names in index order.

    Of a sentence encoder the numbers of its vector, from 0; of a head of answers start and end,
    which few configs name.
    """
    if head_of(config) == "span":
        return list(OUTPUTS)
    if vectors_of(config) is not None:
        return [str(number) for number in range(vector_width(config))]
    names: dict[Any, str] = dict(config.id2label or {})  # pyright: ignore[reportArgumentType, reportCallIssue]
    return [str(names[index]) for index in sorted(names)]


def set_class_names(config: PreTrainedConfig, names: Sequence[str]) -> None:
    """Write class names, in index order, into a config; its head gets as many outputs.

    A sentence encoder and a language model, which have no classes, keep what they have.
    """
    if vectors_of(config) is not None or not names:
        return
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}


def class_count(model: PreTrainedModel) -> int:
    """Outputs of a classifier's head."""
    return len(class_names(model.config))


def backend_of(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """The Rust tokenizer inside a transformers tokenizer."""
    backend: Any = getattr(tokenizer, "backend_tokenizer")  # noqa: B009
    return backend


def look_at(teacher: TeacherConfig, *, role: str = "teacher") -> Checkpoint:
    """The checkpoint's config and tokenizer, checked; no weights are read.

    Raises:
        TeacherError: If there is no such checkpoint, or its tokenizer has no fast form.
    """
    from transformers import AutoConfig, AutoTokenizer

    from limbeck.teacher.thin_classes import as_stock

    path = teacher.path
    static = _look_at_table(teacher)
    if static is not None:
        return static
    if Path(path).is_dir() and not (Path(path) / "config.json").exists():
        raise TeacherError(
            path,
            "this folder holds no config.json, so it is no transformers checkpoint",
            f"Name the folder that save_pretrained wrote as {role}.",
        )
    if _looks_like_a_path(path) and not Path(path).exists():
        raise TeacherError(
            path,
            f"there is no such folder (looked from {Path.cwd()})",
            f"Check the spelling of the {role}'s path.",
        )
    try:
        with quiet_transformers():
            config = as_stock(
                AutoConfig.from_pretrained(path, trust_remote_code=teacher.trust_remote_code)
            )
            tokenizer = AutoTokenizer.from_pretrained(
                path, trust_remote_code=teacher.trust_remote_code
            )
    except Exception as error:
        # transformers fails here in a dozen types of its own; each means the same to the user.
        raise TeacherError(
            path,
            f"transformers cannot load its config and tokenizer "
            f"({type(error).__name__}: {_first_line(error)})",
            "Give a folder written by save_pretrained (model and tokenizer), or a hub name that "
            "this machine can reach.",
        ) from None
    if not getattr(tokenizer, "is_fast", False):
        raise TeacherError(
            path,
            f"its tokenizer ({type(tokenizer).__name__}) has no fast form",
            "Convert it once (AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained).",
        )
    if tokenizer.pad_token_id is None and head_of(config) == "causal_lm":
        tokenizer.pad_token = tokenizer.eos_token  # GPT-2 has none; padding comes behind the text
    if tokenizer.pad_token_id is None:
        raise TeacherError(
            path, "its tokenizer has no padding token", "Set one in tokenizer_config.json."
        )
    family = family_of(config, f"{path}/config.json, model_type")
    if family.causal:
        _settle_padding(config, tokenizer, path)
    look_for_vectors(config, tokenizer, teacher)
    note_activation(config, teacher.path)
    return Checkpoint(path, config, tokenizer, family, teacher.trust_remote_code)


def _look_at_table(teacher: TeacherConfig) -> Checkpoint | None:
    """The checkpoint of a folder that holds a table of token vectors, or None."""
    if not (Path(teacher.path) / "modules.json").exists():
        return None
    from limbeck.teacher.static import look_at_static

    found = look_at_static(teacher.path)
    if found is None:
        return None
    config, tokenizer = found
    refuse_stated_pooling(teacher)
    return Checkpoint(teacher.path, config, tokenizer, TABLE, teacher.trust_remote_code)


def _settle_padding(
    config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, path: str
) -> None:
    """A decoder's head reads the last token that is no padding: it must know which that is."""
    if tokenizer.padding_side == "left":
        raise TeacherError(
            f"{path}/tokenizer_config.json, padding_side",
            f"a {config.model_type!r} model counts positions from the first column, so with "
            "padding on the left each answer would depend on the other texts of its batch",
            "Set padding_side to right.",
        )
    if config.pad_token_id is None or head_of(config) == "causal_lm":
        config.pad_token_id = tokenizer.pad_token_id
    elif config.pad_token_id != tokenizer.pad_token_id:
        raise TeacherError(
            f"{path}/config.json, pad_token_id",
            f"it is {config.pad_token_id}, but the tokenizer pads with "
            f"{tokenizer.pad_token_id}: the head would read an answer off the padding",
            "Set both to the same token.",
        )


def load_classifier(
    checkpoint: Checkpoint,
    *,
    attention: str = "eager",
    new_head: list[str] | None = None,
    dropout: float | None = None,
    head: Head | None = None,
) -> PreTrainedModel:
    """The checkpoint's classifier (or sentence encoder) in float32, whatever type it is stored in.

    Args:
        checkpoint: From `look_at`.
        attention: The attention implementation, ``eager`` or ``sdpa``; families that have but
            one keep it.
        new_head: Class names of a head to make, for an encoder that has none (`teach`).
        dropout: Of hidden states and attention, or None for the checkpoint's own.
        head: Of which kind the new one is; None for the checkpoint's own.

    Raises:
        TeacherError: If the weights lack a head and none was asked for, or hold NaN.
    """
    if vectors_of(checkpoint.config) is not None and new_head is None:
        from limbeck.teacher.vector_model import load_vector_model

        return load_vector_model(checkpoint, attention=attention, dropout=dropout)
    config = type(checkpoint.config).from_dict(checkpoint.config.to_dict())
    if new_head is not None:
        set_vectors(config, None)
        set_class_names(config, new_head)
    if dropout is not None:
        set_dropout(config, dropout)
    head = head or head_of(config)
    if new_head and head in OF_TOKENS:
        head = "classifier"  # a language model's encoder is to tell classes apart
    model, missing = loaded(
        model_class(head),
        checkpoint,
        config,
        attention=attention,
        another_head=new_head is not None,
    )
    if missing and new_head is None:
        raise TeacherError(
            checkpoint.path,
            f"{len(missing)} weights are not in the checkpoint, {missing[0]} among them: its "
            "answers would be random",
            "Give a fine-tuned classifier, or make one from this encoder with `limbeck teach`.",
        )
    return model


def loaded(
    auto_class: Any,
    checkpoint: Checkpoint,
    config: PreTrainedConfig,
    *,
    attention: str,
    another_head: bool,
) -> tuple[PreTrainedModel, list[str]]:
    """The checkpoint's weights in a model of `auto_class`, float32, and what they lack.

    Args:
        auto_class: One of transformers' AutoModel classes.
        checkpoint: From `look_at`.
        config: Its own, or an altered copy.
        attention: The attention implementation, for families that have a choice.
        another_head: Whether the head may have other sizes than the checkpoint's.

    Raises:
        TeacherError: If the weights cannot be loaded, or hold NaN.
    """
    import torch

    thin = thin_model(auto_class, checkpoint.path, config, checkpoint.family, attention=attention)
    if thin is not None:
        return thin.eval(), []
    try:
        with quiet_transformers():
            model, info = auto_class.from_pretrained(
                checkpoint.path,
                config=config,
                dtype=torch.float32,
                attn_implementation=attention if checkpoint.family.sdpa else "eager",
                output_loading_info=True,
                trust_remote_code=checkpoint.trust_remote_code,
                ignore_mismatched_sizes=another_head,
            )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise TeacherError(
            checkpoint.path,
            f"its weights cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            "Check that the folder is complete (config.json and model.safetensors).",
        ) from None
    broken = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise TeacherError(
            checkpoint.path,
            f"the weight {broken[0]} holds NaN or infinity",
            "Save the teacher again from a healthy state.",
        )
    return model.eval(), sorted(info["missing_keys"])


def set_dropout(config: PreTrainedConfig, dropout: float) -> None:
    """Set every dropout rate that this architecture's config knows."""
    for key in (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "classifier_dropout_prob",
        "dropout",
        "attention_dropout",
        "seq_classif_dropout",
        "embedding_dropout",
        "mlp_dropout",
        "pooler_dropout",
        "summary_last_dropout",
        "attn_pdrop",
        "embd_pdrop",
        "resid_pdrop",
    ):
        if getattr(config, key, None) is not None:
            setattr(config, key, dropout)


def fingerprint(model: PreTrainedModel, tokenizer: Tokenizer) -> str:
    """A hash of all that decides the model's answers: weights, architecture and tokenizer."""
    digest = hashlib.blake2b(digest_size=16)
    settings = model.config.to_dict()
    for volatile in ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "id2label"):
        settings.pop(volatile, None)
    settings.pop("label2id", None)
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    digest.update(tokenizer_bytes(tokenizer))
    return digest.hexdigest()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' bars and load reports off the screen; our own checks replace them."""
    from transformers.utils import logging

    level: Any = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else ""


def _looks_like_a_path(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.count("/") > 1
