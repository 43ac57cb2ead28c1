"""Weights of a student with the teacher's widths: its layers, and its embedding rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.teacher.family import Family

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel


def layer_prefix(model: PreTrainedModel, family: Family) -> str:
    """The state-dict prefix of the layer list, such as ``bert.encoder.layer.``."""
    return f"{model.base_model_prefix}.{family.layers}."


def taken_weights(
    teacher: PreTrainedModel, family: Family, layers: Sequence[int], kept: np.ndarray | None
) -> dict[str, Tensor]:
    """The teacher's weights under the student's names.

    Args:
        teacher: The model to take from.
        family: Where its layers are.
        layers: The teacher layer (from 1) of each student layer.
        kept: Old token id of each new one, or None for the whole vocabulary.
    """
    import torch

    prefix = layer_prefix(teacher, family)
    weights = teacher.state_dict()
    taken = {name: value for name, value in weights.items() if not name.startswith(prefix)}
    if family.shared_layers:
        taken = dict(weights)
    else:
        for student_layer, teacher_layer in enumerate(layers):
            old, new = f"{prefix}{teacher_layer - 1}.", f"{prefix}{student_layer}."
            taken.update(
                {new + n.removeprefix(old): v for n, v in weights.items() if n.startswith(old)}
            )
    if kept is not None:
        tables = _vocabulary_tables(teacher)
        rows = torch.from_numpy(kept)
        for name, value in taken.items():
            if (value.data_ptr(), value.shape) in tables:
                taken[name] = value[rows]
    return {name: value.detach().clone() for name, value in taken.items()}


def _vocabulary_tables(model: PreTrainedModel) -> set[tuple[int, torch.Size]]:
    """Place and shape of all that has a row a token: embeddings, and a masked-LM head's decoder."""
    word: Any = model.get_input_embeddings()
    decoder: Any = model.get_output_embeddings()
    tables = [word.weight, *(() if decoder is None else (decoder.weight, decoder.bias))]
    return {(table.data_ptr(), table.shape) for table in tables if table is not None}
