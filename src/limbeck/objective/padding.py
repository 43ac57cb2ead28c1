"""Which tokens of a batch are real: padding never enters a term."""

from jaxtyping import Bool, Int
from torch import Tensor


def real_tokens(
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    *,
    batch: int,
    tokens: int,
    where: str,
    beside: str,
) -> Bool[Tensor, "batch tokens"]:
    """True where a token is real.

    The mask's values are checked on a CPU alone: to look at them on an accelerator is to wait.

    Args:
        attention_mask: 1 for a real token, 0 for padding.
        batch: Rows of what is masked.
        tokens: Tokens of a row of what is masked.
        where: The function that was called, for the message.
        beside: What is masked and its shape, for the message.

    Returns:
        As many truth values, on the mask's device.

    Raises:
        ValueError: If the mask is not [batch tokens] (a broadcast one would mask other tokens),
            holds anything but 0 and 1 (an additive mask, 0 for real, would train on padding
            alone), or marks no token as real (the mean of nothing is NaN).
    """
    if attention_mask.shape != (batch, tokens):
        raise ValueError(
            f"{where}: attention_mask has shape {tuple(attention_mask.shape)}, {beside}. "
            f"The mask must be [batch tokens], one entry per token. "
            f"Pass the mask that the model was given."
        )
    real = attention_mask == 1
    if attention_mask.device.type == "cpu":
        _refuse_values(attention_mask, real, where=where)
    return real


def _refuse_values(
    attention_mask: Bool[Tensor, "batch tokens"] | Int[Tensor, "batch tokens"],
    real: Bool[Tensor, "batch tokens"],
    *,
    where: str,
) -> None:
    other = attention_mask[~real & (attention_mask != 0)]
    if other.numel() > 0:
        raise ValueError(
            f"{where}: attention_mask contains {other[0].item()}. It must be 1 for a real token "
            f"and 0 for padding. Pass the tokenizer's mask, and not an additive one or segments."
        )
    if not real.any():
        raise ValueError(
            f"{where}: attention_mask marks none of {real.numel()} tokens as real. At least one "
            f"must be 1, as the mean of nothing is not a number. Skip empty batches, and check "
            f"that the mask is not inverted."
        )
