"""The class of a model with a head, and what such a model says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from limbeck.tasks.head import Head

if TYPE_CHECKING:
    from torch import Tensor


def model_class(head: Head) -> Any:
    """The class that makes and loads models with this head: transformers', or ours of vectors."""
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForMaskedLM,
        AutoModelForQuestionAnswering,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    match head:
        case "classifier":
            return AutoModelForSequenceClassification
        case "token_classifier":
            return AutoModelForTokenClassification
        case "span":
            return AutoModelForQuestionAnswering
        case "masked_lm":
            return AutoModelForMaskedLM
        case "causal_lm":
            return AutoModelForCausalLM
        case "vectors":
            from limbeck.teacher.vector_model import VectorModel

            return VectorModel
        case _:
            assert_never(head)


def logits_of(said: Any) -> Tensor:
    """What the head of a model gave, as one tensor.

    Args:
        said: What calling the model returned.

    Returns:
        Its logits; of a head of answers [batch, tokens, 2], where one may start and where end.
    """
    import torch

    starts = getattr(said, "start_logits", None)
    return said.logits if starts is None else torch.stack([starts, said.end_logits], dim=-1)
