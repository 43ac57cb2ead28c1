"""How to train on this machine: what a recipe leaves open is chosen by timing steps."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limbeck.config.recipe import TrainingConfig
from limbeck.data.batches import padded_length
from limbeck.machine import cores_or, remembered, threads
from limbeck.progress import say
from limbeck.tasks.head import head_of
from limbeck.teacher.family import family_of, layer_count
from limbeck.teacher.head import logits_of, model_class
from limbeck.teacher.precision import cast_linears

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig

_TOKENS, _LAYERS, _STEPS = 2048, 2, 4
"""Of a trial: enough to be typical, few enough to take seconds."""
_WORTHWHILE = 1.1
"""bfloat16 must be this many times faster than the best of float32."""


@dataclass(frozen=True)
class Machine:
    """How to train here.

    Attributes:
        precision: float32 or bfloat16 (products; weights, sums and losses stay float32).
        attention: eager or sdpa.
        threads: CPU threads of torch.
    """

    precision: str
    attention: str
    threads: int


def choose(config: TrainingConfig, model: PreTrainedConfig, lengths: np.ndarray) -> Machine:
    """The recipe's choices, and the fastest of what it leaves to the machine.

    Forward and backward passes of a model like `model` are timed once for each combination of
    precision and attention, on batches of the texts' median length; the figures are kept.

    Args:
        config: The recipe's `training`.
        model: The config of what is trained.
        lengths: Tokens of each training text.
    """
    count = cores_or(config.threads)
    if "auto" not in (config.precision, config.attention):
        return Machine(config.precision, config.attention, count)
    width = padded_length(int(np.median(lengths))) if len(lengths) else 16
    rows = max(1, min(config.batch_rows, _TOKENS // width))
    key = (
        f"{model.model_type} {model.hidden_size} wide, {model.num_attention_heads} heads | "
        f"{rows} x {width} tokens"
    )
    with threads(count):
        seconds: dict[str, float] = remembered(
            "training.json", key, lambda: _trial(model, rows, width)
        )
    best = _best(seconds, config)
    precision, attention = best.split()
    slowest = max(seconds, key=lambda name: seconds[name])
    say(
        f"  training in {precision} with {attention} attention: "
        f"{seconds[slowest] / seconds[best]:.1f}x as fast here as {' with '.join(slowest.split())}"
    )
    return Machine(precision, attention, count)


def _best(seconds: dict[str, float], config: TrainingConfig) -> str:
    """The fastest allowed combination; float32 unless bfloat16 is clearly faster."""
    fastest: dict[str, str] = {}
    for name in sorted(seconds, key=lambda name: seconds[name]):
        precision, attention = name.split()
        if config.precision in ("auto", precision) and config.attention in ("auto", attention):
            fastest.setdefault(precision, name)
    if len(fastest) == 1:
        return next(iter(fastest.values()))
    gain = seconds[fastest["float32"]] / seconds[fastest["bfloat16"]]
    return fastest["bfloat16" if gain >= _WORTHWHILE else "float32"]


def _trial(model: PreTrainedConfig, rows: int, width: int) -> dict[str, float]:
    """Median seconds of a forward and backward pass, by "precision attention"."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ids = torch.randint(0, 64, (rows, width), device=device)
        arms = {
            f"{precision} {attention}": _arm(model, precision, attention).to(device)
            for precision, attention in itertools.product(
                ("float32", "bfloat16"), _attentions(model)
            )
        }
        times: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(_STEPS + 1):  # the first is a warm-up
            for name, arm in arms.items():
                times[name].append(_timed(arm, ids, low=name.startswith("bfloat16")))
    return {name: float(np.median(values[1:])) for name, values in times.items()}


def _attentions(model: PreTrainedConfig) -> tuple[str, ...]:
    return ("eager", "sdpa") if family_of(model, "the student").sdpa else ("eager",)


def _arm(model: PreTrainedConfig, precision: str, attention: str) -> nn.Module:
    """A small relative of the model: as wide, with few layers and tokens."""
    import torch

    config = type(model).from_dict(model.to_dict())
    config.num_hidden_layers = min(_LAYERS, layer_count(model))
    config.vocab_size = max(64, 1 + (config.pad_token_id or 0))
    arm = model_class(head_of(config)).from_config(
        config, attn_implementation=attention, dtype=torch.float32
    )
    if precision == "bfloat16":
        cast_linears(arm)
    return arm.train()


def _timed(arm: nn.Module, ids: Tensor, *, low: bool) -> float:
    import torch

    mask = torch.ones_like(ids)
    mask[0, -1] = 0  # as in most batches, so that attention cannot skip its mask
    start = time.perf_counter()
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=low):
        logits = logits_of(arm(input_ids=ids, attention_mask=mask))
    logits.float().square().sum().backward()
    gradient = next(p.grad for p in arm.parameters() if p.grad is not None)
    gradient.flatten()[:1].tolist()  # an accelerator is done when this can be read
    seconds = time.perf_counter() - start
    arm.zero_grad(set_to_none=True)
    return seconds
