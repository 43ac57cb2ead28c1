"""A teacher that reads another vocabulary: what a student with a tokenizer of its own is cut from.

Its layers and head are the teacher's; its word embeddings are begun from the teacher's. So widths
are fitted, layers taken and tokens asked about as with any teacher. Its answers teach nobody.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from limbeck.errors import StudentError
from limbeck.student.pieces import Pieces
from limbeck.teacher.factored import embedding_table
from limbeck.teacher.family import position_limit
from limbeck.teacher.load import Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class OwnTokens:
    """A vocabulary of the student's own.

    Attributes:
        tokenizer: Of transformers.
        pieces: What its tokens begin as.
        translated: The teacher's checkpoint, as if it had this tokenizer.
    """

    tokenizer: PreTrainedTokenizerBase
    pieces: Pieces
    translated: Checkpoint


def own_tokens_of(
    tokenizer: PreTrainedTokenizerBase, pieces: Pieces, teacher: Checkpoint
) -> OwnTokens:
    """The vocabulary, and the teacher's checkpoint with it.

    Args:
        tokenizer: With the teacher's special tokens.
        pieces: Of it.
        teacher: From `look_at`.

    Raises:
        StudentError: If the padding token has another number, where positions begin behind it.
    """
    config = type(teacher.config).from_dict(teacher.config.to_dict())
    _speak(config, teacher, tokenizer)
    own: Any = config
    behind = position_limit(config) != getattr(own, "max_position_embeddings", None)
    if behind and own.pad_token_id != teacher.config.pad_token_id:
        raise StudentError(
            "student.tokenizer",
            f"a {config.model_type!r} model counts positions from behind its padding token, which "
            f"would be number {own.pad_token_id} in place of {teacher.config.pad_token_id}",
            "Use the teacher's tokenizer (delete student.tokenizer; vocabulary: trim makes it "
            "smaller).",
        )
    return OwnTokens(tokenizer, pieces, replace(teacher, config=config, tokenizer=tokenizer))


def translated_model(
    model: PreTrainedModel, teacher: Checkpoint, own: OwnTokens
) -> PreTrainedModel:
    """The model with the new vocabulary; all but its word embeddings is shared, not copied.

    Args:
        model: The teacher's.
        teacher: Its checkpoint.
        own: The vocabulary.
    """
    from torch import nn

    shared: dict[int, Any] = {id(one): one for one in [*model.parameters(), *model.buffers()]}
    made = copy.deepcopy(model, shared)
    rows = own.pieces.rows(embedding_table(model).float())
    made.set_input_embeddings(nn.Embedding.from_pretrained(rows, freeze=False))
    for config in {id(part.config): part.config for part in _configured(made)}.values():
        _speak(config, teacher, own.tokenizer)
    return made


def _configured(model: PreTrainedModel) -> list[Any]:
    """The modules that hold a config with a vocabulary."""
    return [
        part for part in model.modules() if hasattr(getattr(part, "config", None), "vocab_size")
    ]


def _speak(
    config: PreTrainedConfig, teacher: Checkpoint, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Let a config of the teacher's know the new vocabulary's size and special tokens."""
    numbers: dict[str, int] = tokenizer.get_vocab()
    own: Any = config
    own.vocab_size = len(tokenizer)
    for key, old in config.to_dict().items():
        if key.endswith("_token_id") and isinstance(old, int):
            name = teacher.tokenizer.convert_ids_to_tokens(old)
            setattr(config, key, numbers.get(str(name)))
