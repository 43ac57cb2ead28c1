"""AdamW and its learning rate: both pure functions of the settings and the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.config.recipe import TrainingConfig

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


def learning_rate(step_number: int, total: int, config: TrainingConfig) -> float:
    """The rate of a step (from 0): rising linearly in warm-up, then falling linearly to 0."""
    warmup = max(1, round(config.warmup_share * total))
    if step_number < warmup:
        return config.learning_rate * (step_number + 1) / warmup
    return config.learning_rate * max(0.0, (total - step_number) / max(1, total - warmup))


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def adamw(module: nn.Module, config: TrainingConfig, *, fused: bool) -> Optimizer:
    """AdamW; weight decay on matrices and embeddings, none on biases and LayerNorms."""
    import torch

    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)
