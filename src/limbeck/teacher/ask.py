"""A model's answers: logits, and parts of its computation caught by forward hooks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.batches import Batch, batches_by_length
from limbeck.data.encode import Encoded
from limbeck.data.likely import SHOWN
from limbeck.data.per_word import Outputs, spread, together, words_of
from limbeck.teacher.attention import basis, with_distributions
from limbeck.teacher.capture import caught_parts
from limbeck.teacher.family import Family, layer_count
from limbeck.teacher.first_token import first_token_only
from limbeck.teacher.foretelling import asked_of, foretelling
from limbeck.teacher.head import logits_of
from limbeck.teacher.masked_lm import vocabulary_at
from limbeck.teacher.parts import Part
from limbeck.teacher.precision import computing_in

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from limbeck.teacher.load import Checkpoint


@dataclass(frozen=True)
class Answer:
    """What a model says about a batch.

    Attributes:
        logits: [batch, classes], [answered, classes] where words or places are answered, or
            [masked, vocabulary] where words of the batch are masked. Where tokens are foretold
            float32 [answered, …]: log p of the token that stands there, and of others
            (`teacher.foretelling`).
        states: Vectors [batch, tokens, width] and distributions [batch, heads, tokens, tokens], by
            part. What stands at padding means nothing.
    """

    logits: Tensor
    states: dict[Part, Tensor]


def ask(
    model: PreTrainedModel,
    batch: Batch,
    family: Family,
    parts: Sequence[Part] = (),
    *,
    top_k: int = SHOWN,
) -> Answer:
    """The model's logits and the wanted parts of its computation, on the model's device.

    Args:
        model: Any with a head that limbeck knows.
        batch: What it is asked.
        family: Its family.
        parts: What is wanted beside its logits.
        top_k: Of a language model's answer: how many tokens are told of at each place; 0 for all.
    """
    device = model.device
    inputs: dict[str, Any] = {
        "input_ids": batch.input_ids.to(device, non_blocking=True),
        "attention_mask": batch.attention_mask.to(device, non_blocking=True),
    }
    if batch.token_type_ids is not None:
        inputs["token_type_ids"] = batch.token_type_ids.to(device, non_blocking=True)
    if family.causal:  # otherwise padding before a text would move its positions
        positions = inputs["attention_mask"].cumsum(-1) - 1
        inputs |= {"position_ids": positions.clamp_min(0), "use_cache": False}
    needed = basis(family, parts)
    # What is caught must be whole; what is not looked at need not be computed.
    end = layer_count(model.config)
    cut = {Part("hidden", end), Part("queries", end), Part("attention", end)}
    places = None if batch.places is None else batch.places.to(device, non_blocking=True)
    of_words = batch.words is not None
    if places is not None and batch.tokens is not None:
        last = foretelling(model, family, places, asked_of(batch, device, top_k))
    elif places is not None and not of_words:
        last = vocabulary_at(model, family, places)
    else:
        last = nullcontext() if cut & set(needed) else first_token_only(model, family)
    with caught_parts(model, family, needed) as caught, last as reduced:
        logits = logits_of(model(**inputs))
        logits = logits if reduced is None else reduced(logits)
    if places is not None and of_words and batch.tokens is None:
        logits = logits.flatten(0, 1).index_select(0, places)
    mask = inputs["attention_mask"]
    return Answer(logits, with_distributions(parts, caught, mask, model.config, family))


def predict_logits(
    model: PreTrainedModel, checkpoint: Checkpoint, encoded: Encoded, *, precision: str = "float32"
) -> Outputs:
    """The model's outputs on every text, in their order: [rows, classes], or those of its words."""
    import torch

    from limbeck.teacher.load import class_count

    model.eval()
    parts: list[Outputs] = []
    order: list[np.ndarray] = []
    with computing_in(model, precision), torch.inference_mode():
        for rows in batches_by_length(encoded.lengths, rows=64, tokens=8192):
            batch = checkpoint.batch(encoded, rows)
            logits = ask(model, batch, checkpoint.family).logits.float().cpu().numpy()
            parts.append(outputs_of(logits, batch, encoded))
            order.append(rows)
    if not parts:
        return np.empty((0, class_count(model)), dtype=np.float32)
    return encoded.of_texts(together(parts)[np.argsort(np.concatenate(order))])


def outputs_of(logits: np.ndarray, batch: Batch, encoded: Encoded) -> Outputs:
    """What `ask` said about a batch, as outputs of its rows.

    Args:
        logits: [batch, classes] or [answered, classes].
        batch: The batch.
        encoded: What it is of.
    """
    if batch.words is None or encoded.places is None:
        return logits
    words, offsets = words_of(encoded.places.offsets, batch.rows)
    return spread(logits, batch.words.numpy(), encoded.places.places[words], offsets)
