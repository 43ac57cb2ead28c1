"""A student that is a table of token vectors: begun as what the teacher says to single tokens.

Reference:
    Tulkens, van Dongen. Model2Vec: Fast State-of-the-Art Static Embeddings, 2024, who ask the
    teacher about every token alone and reduce the answers by a PCA.
    https://github.com/MinishLab/model2vec

    Ours: the PCA is of what the training texts hold, and its mean is not taken away, because
    cosines of the teacher's vectors are what is learned; tokens are not weighed by how frequent
    they are, because the training weighs them. `training/` then trains the table as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.config.student import StudentConfig
from limbeck.data.batches import Batch
from limbeck.errors import StudentError
from limbeck.progress import step
from limbeck.student.start import Start, seen_in
from limbeck.tasks.head import Head
from limbeck.teacher.family import TABLE, Family
from limbeck.teacher.load import Checkpoint
from limbeck.teacher.pooling import vector_width, vectors_of

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel

_ROWS = 1024
"""Tokens that are asked about in one batch."""


@dataclass(frozen=True)
class LoneToken:
    """A text of one token, as a tokenizer gives it to its model.

    Attributes:
        ids: Special tokens, and anything where the token stands.
        types: Segment ids, or None where the model takes none.
        place: Where it stands.
    """

    ids: tuple[int, ...]
    types: tuple[int, ...] | None
    place: int


def lone_token(teacher: Checkpoint) -> LoneToken:
    """How the teacher's tokenizer puts special tokens around a token."""
    backend = type(teacher.backend).from_str(teacher.backend.to_str())
    backend.no_truncation()
    backend.no_padding()
    encoding = backend.encode("a")
    special = encoding.special_tokens_mask
    own = [place for place, one in enumerate(special) if not one][:1] or [len(special)]
    shown = [place for place, one in enumerate(special) if one or place in own]
    ids, types = encoding.ids, encoding.type_ids
    return LoneToken(
        ids=tuple(ids[place] for place in shown),
        types=tuple(types[place] for place in shown) if teacher.wants_types else None,
        place=shown.index(own[0]),
    )


def table_of(
    wanted: StudentConfig, teacher: Checkpoint, vocabulary: int, head: Head
) -> tuple[PreTrainedConfig, Checkpoint]:
    """Config and checkpoint of the table that the recipe wants.

    Raises:
        StudentError: For a task that is not one of vectors, or vectors wider than the teacher's.
    """
    from limbeck.teacher.static import static_config, without_special_tokens

    vectors, theirs = vectors_of(teacher.config), vector_width(teacher.config)
    if head != "vectors" or vectors is None:
        raise StudentError(
            "student.architecture",
            "it is static, a table of token vectors that gives a vector a text, but this task has "
            "another head",
            "Use it with a sentence encoder as teacher (the task sentence_embeddings), or another "
            "architecture.",
        )
    width = wanted.hidden or theirs
    if width > theirs and wanted.init == "teacher":
        raise StudentError(
            "student.hidden",
            f"vectors of {width} numbers cannot be taken from the teacher's, which have {theirs}",
            f"Use at most {theirs}, or student.init=normal for new weights.",
        )
    config = static_config(vocabulary, width, normalize=vectors.normalize, pad_id=teacher.pad_id)
    own = Checkpoint(
        path=teacher.path,
        config=config,
        tokenizer=without_special_tokens(teacher.backend, str(teacher.tokenizer.pad_token)),
        family=TABLE,
        trust_remote_code=False,
    )
    return config, own


def refuse_layerless(teacher: Checkpoint) -> None:
    """Refuse to cut layers out of a teacher that is itself a table.

    Raises:
        StudentError: If it is.
    """
    if teacher.family is TABLE:
        raise StudentError(
            "student.architecture",
            f"{teacher.path} is a table of token vectors, of which no layers can be taken",
            "Set student.architecture: static, or start from an encoder (student.checkpoint).",
        )


def refuse_headed(family: Family, path: str, head: Head) -> None:
    """Refuse to put another head than vectors on a table.

    Raises:
        StudentError: If that is asked for.
    """
    if family is TABLE and head != "vectors":
        raise StudentError(
            "student.checkpoint",
            f"{path} is a table of token vectors, but the task is none of vectors",
            "Start from an encoder.",
        )


def static_start(
    teacher: PreTrainedModel,
    lone: LoneToken,
    config: PreTrainedConfig,
    kept: np.ndarray | None,
    sample: Sequence[Batch],
) -> Start:
    """The teacher's vectors of single tokens, at the student's width.

    Args:
        teacher: A model that gives vectors.
        lone: How it is asked about one token.
        config: The student's.
        kept: Old token id of each new one, or None for the whole vocabulary.
        sample: Batches of training texts, whose tokens a narrower space is fitted to.
    """
    own: Any = config
    other: Any = teacher.config
    ids = np.arange(own.vocab_size) if kept is None else kept
    table = ask_about_tokens(teacher, lone, ids)
    notes = ("token vectors are the teacher's of single tokens",)
    if own.hidden_size < table.shape[1]:
        seen = seen_in(sample, kept, other.vocab_size).ids
        counts = np.bincount(seen, minlength=len(ids)).astype(np.float64)
        special = [one for place, one in enumerate(lone.ids) if place != lone.place]
        counts[np.isin(ids, special)] = 0  # they stand around every text, and are not read
        table, share = principal(table, counts, own.hidden_size)
        notes += (f"{own.hidden_size} directions keep {share:.1%} of their energy",)
    return Start({"embedding.weight": table}, notes=notes)


def ask_about_tokens(teacher: PreTrainedModel, lone: LoneToken, ids: np.ndarray) -> Tensor:
    """What the teacher says to texts of one token each, float32 [tokens, width] on the CPU."""
    import torch

    parts: list[Tensor] = []
    teacher.eval()
    with step("asking about single tokens", len(ids)) as bar, torch.inference_mode():
        for start in range(0, len(ids), _ROWS):
            asked = torch.tensor([lone.ids]).repeat(len(ids[start : start + _ROWS]), 1)
            asked[:, lone.place] = torch.from_numpy(ids[start : start + _ROWS].astype(np.int64))
            inputs = {"input_ids": asked, "attention_mask": torch.ones_like(asked)}
            if lone.types is not None:
                inputs["token_type_ids"] = torch.tensor([lone.types]).expand_as(asked)
            inputs = {name: tensor.to(teacher.device) for name, tensor in inputs.items()}
            parts.append(teacher(**inputs).logits.float().cpu())
            bar.advance(len(asked))
    return torch.cat(parts).clone()


def principal(table: Tensor, counts: np.ndarray, width: int) -> tuple[Tensor, float]:
    """The vectors in the `width` directions in which the counted ones are longest.

    It is a PCA whose mean is not taken away: dot products, and so cosines, change least.

    Args:
        table: Vectors [tokens, wide].
        counts: How often each occurs [tokens]; every one counts once more.
        width: Directions to keep.

    Returns:
        Vectors [tokens, width], and the share of the counted squared lengths that they keep.
    """
    import torch

    rows = table.double()
    weights = torch.from_numpy(counts + 1.0)[:, None]
    energies, directions = torch.linalg.eigh(rows.T @ (weights * rows))
    kept = float(energies[-width:].sum() / energies.sum().clamp_min(1e-300))
    return (rows @ directions[:, -width:].flip(1)).float().contiguous(), kept
