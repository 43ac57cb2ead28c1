"""The last layer for the first token alone: what no head reads is not computed.

The classification heads of BERT, RoBERTa, XLM-R, CamemBERT, ELECTRA and DistilBERT read the last
hidden state of the first token and no other. The last layer's keys and values need every token;
its queries, its output projection and its feed-forward network do not: ten twelfths of its matrix
products. For that one token the result is the same, so nothing changes but the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from limbeck.teacher.family import Family, layer_modules

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

LayerForward = Callable[..., "Tensor"]


@contextmanager
def first_token_only(model: PreTrainedModel, family: Family) -> Iterator[None]:
    """Inside, the last layer of `model` returns [batch, 1, hidden]: its first token's state.

    Does nothing for heads of words, for families whose heads read more than that
    (`Family.first_token` is None), and for classes that are not transformers' own: nobody knows
    what their heads read.
    """
    kind = type(model)
    own = kind.__module__.startswith("transformers.models.") and _of_texts(kind.__name__)
    if family.first_token is None or not own:
        yield
        return
    layer: Any = layer_modules(model, family)[-1]
    if "forward" in vars(layer):  # somebody's own (`training.replacing`): theirs to cut short
        yield
        return
    forward = _bert(layer) if family.first_token == "bert" else _distilbert(layer)
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def _of_texts(name: str) -> bool:
    """Whether a class has a head of whole texts; that of words reads every token."""
    return name.endswith("ForSequenceClassification")


def _bert(layer: Any) -> LayerForward:
    attention, inner = layer.attention, layer.attention.self

    def forward(hidden_states: Tensor, attention_mask: Any = None, *_: Any, **__: Any) -> Tensor:
        first = hidden_states[:, :1]
        context = _attend(
            inner,
            inner.query(first),
            inner.key(hidden_states),
            inner.value(hidden_states),
            attention_mask,
        )
        return layer.feed_forward_chunk(attention.output(context, first))

    return forward


def _distilbert(layer: Any) -> LayerForward:
    inner = layer.attention

    def forward(hidden_states: Tensor, attention_mask: Any = None, *_: Any, **__: Any) -> Tensor:
        first = hidden_states[:, :1]
        context = _attend(
            inner,
            inner.q_lin(first),
            inner.k_lin(hidden_states),
            inner.v_lin(hidden_states),
            attention_mask,
        )
        attended = layer.sa_layer_norm(inner.out_lin(context) + first)
        return layer.output_layer_norm(layer.ffn(attended) + attended)

    return forward


def _attend(inner: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any) -> Tensor:
    """The first token's context [batch, 1, hidden], by the model's own attention function."""
    from transformers import AttentionInterface

    batch = key.shape[0]  # not len(): a traced export would keep the example's
    size = inner.attention_head_size
    heads = [
        part.view(batch, -1, part.shape[-1] // size, size).transpose(1, 2)
        for part in (query, key, value)
    ]
    if attention_mask is not None:
        attention_mask = attention_mask[:, :, :1]
    interface = AttentionInterface().get_interface(inner.config._attn_implementation, _eager)
    context, _ = interface(
        inner,
        *heads,
        attention_mask,
        dropout=inner.dropout.p if inner.training else 0.0,
        scaling=inner.scaling,
    )
    return context.reshape(batch, 1, -1)


def _eager(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    *,
    dropout: float,
    scaling: float,
) -> tuple[Tensor, None]:
    import torch

    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    shares = torch.nn.functional.dropout(scores.softmax(-1), p=dropout, training=module.training)
    return torch.matmul(shares, value).transpose(1, 2), None
