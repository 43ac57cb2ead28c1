"""The body of a student from a pre-trained folder; its head stays what it was built with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.errors import StudentError
from limbeck.teacher.load import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def take_body(model: PreTrainedModel, folder: Path, kept: np.ndarray | None) -> None:
    """Give `model` the encoder in `folder`, in place.

    The pooler is no part of it: it belongs to the head, and masked words teach it nothing.

    Args:
        model: A student of the same architecture and sizes.
        folder: As transformers writes it.
        kept: Old token id of each of the model's, or None for the whole vocabulary.

    Raises:
        StudentError: If a weight is missing there, or of another shape.
    """
    import torch
    from transformers import AutoModel

    with quiet_transformers():
        body, info = AutoModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
    words: Any = body.get_input_embeddings().weight
    weights = {
        name: value if kept is None or value.data_ptr() != words.data_ptr() else value[kept]
        for name, value in body.state_dict().items()
        if "pooler" not in name and name not in info["missing_keys"]
    }
    own = model.base_model.state_dict()
    odd = [
        name
        for name, value in own.items()
        if "pooler" not in name and (name not in weights or weights[name].shape != value.shape)
    ]
    if odd:
        raise StudentError(
            str(folder),
            f"{len(odd)} weights of the student are missing there or of another shape, {odd[0]} "
            "among them",
            "Delete that folder, and it is made anew.",
        )
    model.base_model.load_state_dict(weights, strict=False)
