"""The arithmetic of a BERT classifier: how much there is, and how fast this machine does it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from speed_arms.arm import BATCH_ROWS, Settings, Unit

_TOKENS = 14
"""Tokens a row in the measured products: about the mean of SST-2's phrases and sentences."""

_PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "addbmm", "matmul", "linear"}
_PRODUCT_LIBRARIES = ("mkldnn", "onednn", "gemm")


def model_flops(config: Any, lengths: Sequence[int], *, last_layer_first_token: bool) -> int:
    """FLOPs of the matrix products in one forward pass over rows of these lengths.

    Counted from the configuration alone, for real tokens: padding, and whatever else need not
    be computed, does not count as work done. Training takes three times as many: backward has
    a product for the gradient of each of the two factors, down to the input of the first layer,
    because the embeddings are trained too. Embedding lookups are no products.

    Args:
        config: A BERT config: hidden_size, intermediate_size, num_hidden_layers, num_labels.
        lengths: Real tokens of each row.
        last_layer_first_token: Whether the last layer is counted for the first token alone,
            the only one that a classifier's head reads: its keys and values for all tokens,
            everything else for one.

    Returns:
        Multiplications and additions, two for each multiply-add.
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    per_token = 2 * (4 * width * width + 2 * width * inner)
    keys_and_values = 2 * 2 * width * width
    rows, tokens = len(lengths), sum(int(length) for length in lengths)
    pairs = sum(int(length) ** 2 for length in lengths)
    whole_layer = tokens * per_token + 4 * width * pairs
    first_token_layer = (
        tokens * keys_and_values + rows * (per_token - keys_and_values) + 4 * width * tokens
    )
    last = first_token_layer if last_layer_first_token else whole_layer
    head = rows * 2 * (width * width + width * config.num_labels)
    return (layers - 1) * whole_layer + last + head


class Products:
    """The machine's matrix rate, at the shapes of this student's training step."""

    def __init__(self, settings: Settings) -> None:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(settings.student)
        tokens, width, inner = BATCH_ROWS * _TOKENS, config.hidden_size, config.intermediate_size
        up, down = (tokens, width, inner), (tokens, inner, width)
        self.shapes = [up, down, *[(tokens, width, width)] * 4]

    def unit(self, rows: Path) -> Unit:
        """GFLOP/s of each precision over a layer's products; `rows` do not matter."""
        del rows
        start = time.perf_counter()
        rates = {
            str(dtype).removeprefix("torch."): self._gflops(dtype)
            for dtype in (torch.float32, torch.bfloat16)
        }
        return Unit(0, 0, time.perf_counter() - start, {"gflops": rates})

    def _gflops(self, dtype: torch.dtype) -> float:
        seconds = {shape: _median_seconds(shape, dtype) for shape in set(self.shapes)}
        flops = sum(2 * rows * inner * columns for rows, inner, columns in self.shapes)
        return flops / sum(seconds[shape] for shape in self.shapes) / 1e9


def _median_seconds(shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    rows, inner, columns = shape
    left, weight = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    times = []
    with torch.inference_mode():
        for _ in range(200):
            start = time.perf_counter()
            torch.nn.functional.linear(left, weight)
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def product_share(profile: torch.profiler.profile, step_seconds: float) -> dict[str, Any]:
    """How much of a training's time went into matrix products, and what took most.

    Args:
        profile: Of a whole training.
        step_seconds: Time of its steps alone, as the profiler slowed them down.

    Returns:
        Products as a share of the operators' own time (`product_share`; operators outside of
        the steps are among them) and of the steps' time (`product_share_of_steps`), and the
        largest operators' shares.
    """
    events = [event for event in profile.key_averages() if event.self_cpu_time_total > 0]
    total = sum(event.self_cpu_time_total for event in events) / 1e6
    products = [event for event in events if _is_product(event.key)]
    in_products = sum(event.self_cpu_time_total for event in products) / 1e6
    largest = sorted(events, key=lambda event: -event.self_cpu_time_total)[:20]
    return {
        "product_share": round(in_products / total, 4),
        "product_share_of_steps": round(in_products / step_seconds, 4),
        "operator_seconds": round(total, 3),
        "step_seconds": round(step_seconds, 3),
        "products": [event.key for event in products],
        "largest": {
            event.key: round(event.self_cpu_time_total / 1e6 / total, 4) for event in largest
        },
    }


def _is_product(key: str) -> bool:
    name = key.split("::")[-1].lower()
    return name in _PRODUCTS or any(library in name for library in _PRODUCT_LIBRARIES)
