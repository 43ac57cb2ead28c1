"""A model's answers: logits, and hidden states caught by forward hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.batches import Batch, batches_by_length
from limbeck.data.encode import Encoded
from limbeck.teacher.family import Family, embedding_module, layer_count, layer_modules
from limbeck.teacher.first_token import first_token_only
from limbeck.teacher.precision import computing_in

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint


@dataclass(frozen=True)
class Answer:
    """What a model says about a batch.

    Attributes:
        logits: [batch, classes].
        hidden: Layer (0 is the embedding output) to hidden states [batch, tokens, hidden].
    """

    logits: Tensor
    hidden: dict[int, Tensor]


def ask(model: PreTrainedModel, batch: Batch, family: Family, layers: Sequence[int] = ()) -> Answer:
    """The model's logits, and the hidden states of `layers`, on the model's device."""
    device = model.device
    inputs: dict[str, Any] = {
        "input_ids": batch.input_ids.to(device, non_blocking=True),
        "attention_mask": batch.attention_mask.to(device, non_blocking=True),
    }
    if batch.token_type_ids is not None:
        inputs["token_type_ids"] = batch.token_type_ids.to(device, non_blocking=True)
    # What is caught must be whole; what is not looked at need not be computed.
    whole = layer_count(model.config) in layers
    last = nullcontext() if whole else first_token_only(model, family)
    with caught_states(model, family, layers) as hidden, last:
        logits = model(**inputs).logits
    return Answer(logits, dict(hidden))


@contextmanager
def caught_states(
    model: PreTrainedModel, family: Family, layers: Sequence[int]
) -> Iterator[dict[int, Tensor]]:
    """Fill a mapping with the hidden states of `layers` during the next forward pass.

    Layers with shared weights are counted by their calls, so ALBERT has layers too.
    """
    caught: dict[int, Tensor] = {}
    handles = []
    wanted = set(layers)
    if 0 in wanted:
        handles.append(
            embedding_module(model, family).register_forward_hook(
                lambda _module, _inputs, output: caught.update({0: _tensor(output)})
            )
        )
    if wanted - {0}:
        modules = layer_modules(model, family)
        per_module = layer_count(model.config) // len(modules) if family.shared_layers else 1
        calls = [0] * len(modules)

        def hook(place: int) -> Any:
            def keep(_module: Any, _inputs: Any, output: Any) -> None:
                calls[place] += 1
                number = place * per_module + calls[place]
                if number in wanted:
                    caught[number] = _tensor(output)

            return keep

        handles.extend(m.register_forward_hook(hook(place)) for place, m in enumerate(modules))
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


def _tensor(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def predict_logits(
    model: PreTrainedModel, checkpoint: Checkpoint, encoded: Encoded, *, precision: str = "float32"
) -> np.ndarray:
    """The model's logits on every row [rows, classes], in row order."""
    import torch

    from limbeck.teacher.load import class_count

    model.eval()
    logits = np.empty((len(encoded), class_count(model)), dtype=np.float32)
    with computing_in(model, precision), torch.inference_mode():
        for rows in batches_by_length(encoded.lengths, rows=64, tokens=8192):
            batch = checkpoint.batch(encoded, rows)
            logits[rows] = ask(model, batch, checkpoint.family).logits.float().cpu().numpy()
    return logits
