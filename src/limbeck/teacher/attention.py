"""What each family's attention can give: checks, widths, and distributions recomputed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.errors import RecipeError
from limbeck.teacher.family import Family, head_count, layer_count
from limbeck.teacher.parts import Part

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Scoring:
    """How a layer makes distributions of its queries and keys.

    Attributes:
        heads: Attention heads.
        scale: Factor of the dot products.
        causal: A token sees itself and those before it.
        window: The farthest token that is seen, or None for all.
    """

    heads: int
    scale: float
    causal: bool
    window: int | None


def scoring(config: PreTrainedConfig, family: Family, layer: int) -> Scoring:
    """How a layer (from 1) scores; for families whose queries and keys give all of it."""
    settings: Any = config
    heads = head_count(config)
    scale = (part_width(config, Part("queries", layer)) // heads) ** -0.5
    if not getattr(settings, "scale_attn_weights", True):
        scale = 1.0
    if getattr(settings, "scale_attn_by_inverse_layer_idx", False):
        scale /= layer
    causal = getattr(settings, "is_causal", True) if family.causal else False
    kinds = getattr(settings, "layer_types", None)
    local = kinds is not None and kinds[layer - 1] == "sliding_attention"
    return Scoring(
        heads=heads,
        scale=scale,
        causal=bool(causal or getattr(settings, "is_decoder", False)),
        window=int(settings.sliding_window) if local else None,
    )


def part_width(config: PreTrainedConfig, part: Part) -> int:
    """Numbers a token: of its hidden state, or of all heads' vectors side by side."""
    settings: Any = config
    if part.what == "hidden":
        own = part.layer == 0 and settings.model_type == "electra"
        return int(settings.embedding_size if own else settings.hidden_size)
    heads = head_count(config)
    width = getattr(settings, "true_hidden_size", settings.hidden_size)
    return heads * int(getattr(settings, "attention_head_size", width // heads))


def numbers(config: PreTrainedConfig, part: Part, lengths: Any) -> int:
    """Numbers of a part over texts of these lengths (a NumPy array of tokens)."""
    if part.what == "attention":
        return head_count(config) * int((lengths.astype("int64") ** 2).sum())
    return part_width(config, part) * int(lengths.sum())


def basis(family: Family, parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts to catch and keep, rising: distributions are recomputed wherever they can be."""
    found: set[Part] = set()
    for part in parts:
        if part.what == "attention" and family.vectors.shares is None:
            found |= {Part("queries", part.layer), Part("keys", part.layer)}
        else:
            found.add(part)
    return tuple(sorted(found))


def check_parts(
    config: PreTrainedConfig, family: Family, parts: Iterable[Part], *, where: str
) -> None:
    """Refuse what a model of this config has not, before it is loaded.

    Args:
        config: The model's.
        family: Its family.
        parts: What is wanted of it.
        where: The recipe key that wants it.

    Raises:
        RecipeError: For a layer or a part that the model has not.
    """
    last = layer_count(config)
    for part in parts:
        first = 0 if part.what == "hidden" else 1
        if not first <= part.layer <= last:
            raise RecipeError(
                where,
                f"the {part.in_words()} are wanted, but the {config.model_type!r} model has "
                f"{last} layers",
                f"Use a layer from {first} to {last}.",
            )
        if part.what != "hidden" and getattr(config, "inner_group_num", 1) > 1:
            raise RecipeError(
                where,
                f"the {part.in_words()} are wanted, but each layer of this {config.model_type!r} "
                "model attends several times (inner_group_num)",
                "Use terms on logits and hidden states.",
            )


def check_scores(config: PreTrainedConfig, family: Family, *, where: str) -> None:
    """Refuse attention scores where Q K^T / sqrt(head size) is not what attention ranks by.

    Raises:
        RecipeError: For families whose positions have a say of their own in every score, and for
            those in which a token sees some of the others alone.
    """
    odd = getattr(config, "scale_attn_by_inverse_layer_idx", False) or not getattr(
        config, "scale_attn_weights", True
    )
    partly = family.causal or getattr(config, "layer_types", None) is not None
    if family.vectors.shares is None and not odd and not partly:
        return
    why = "adds relative positions to its scores inside"
    if family.vectors.shares is None:
        why = "scales scores in another way" if odd else "lets a token see some of the others alone"
    raise RecipeError(
        where,
        f"a {config.model_type!r} model {why}, so its queries and keys do not give them",
        "Match attention distributions or relations (queries, keys, values) instead.",
    )


def with_distributions(
    parts: Iterable[Part],
    caught: Mapping[Part, Tensor],
    attention_mask: Tensor,
    config: PreTrainedConfig,
    family: Family,
) -> dict[Part, Tensor]:
    """The parts that are wanted, out of those that were caught (`basis`).

    Args:
        parts: What is wanted.
        caught: Their basis.
        attention_mask: [batch, tokens].
        config: Of the model that was asked.
        family: Its family.
    """
    return {
        part: caught[part]
        if part in caught
        else distribution(
            caught[Part("queries", part.layer)],
            caught[Part("keys", part.layer)],
            attention_mask,
            scoring(config, family, part.layer),
        )
        for part in parts
    }


def distribution(queries: Tensor, keys: Tensor, attention_mask: Tensor, how: Scoring) -> Tensor:
    """softmax(Q K^T * scale) over the tokens that are seen: float32 [batch, heads, tokens, tokens].

    Rows of padding mean nothing.

    Args:
        queries: [batch, tokens, heads * head size].
        keys: Likewise.
        attention_mask: [batch, tokens].
        how: From `scoring`.
    """
    import torch

    with torch.autocast(queries.device.type, enabled=False):
        heads = [v.float().unflatten(-1, (how.heads, -1)).transpose(1, 2) for v in (queries, keys)]
        scores = heads[0] @ heads[1].transpose(2, 3) * how.scale
    seen = attention_mask.bool()[:, None, None, :]
    places = torch.arange(seen.shape[-1], device=seen.device)
    ahead = places[None, :] - places[:, None]
    if how.causal:
        seen = seen & (ahead <= 0)
    if how.window is not None:
        seen = seen & (ahead.abs() <= how.window)
    return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(-1)
