"""AdamW without what a step need not do, and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from limbeck.config.recipe import TrainingConfig
from limbeck.training.rows import Betas, RowAdamW

if TYPE_CHECKING:
    from torch import Tensor, nn

_MANY_ROWS = 2048
"""Rows from which an embedding table is updated by row."""


def learning_rate(step_number: int, total: int, config: TrainingConfig) -> float:
    """The rate of a step (from 0): rising linearly in warm-up, then falling linearly to 0."""
    warmup = max(1, round(config.warmup_share * total))
    if step_number < warmup:
        return config.learning_rate * (step_number + 1) / warmup
    return config.learning_rate * max(0.0, (total - step_number) / max(1, total - warmup))


class AdamW:
    """AdamW over a module; weight decay on matrices and embeddings, none on biases and LayerNorms.

    - Linear layers compute in `precision` from copies of float32 masters, which alone are updated:
      nothing is cast twice a step.
    - Clipping by the norm of the whole gradient happens inside the update.
    - Large embedding tables on a CPU are updated by row (`RowAdamW`).

    Reference:
        Loshchilov, Hutter. Decoupled Weight Decay Regularization, 2019, algorithm 2.
        https://arxiv.org/abs/1711.05101
        Micikevicius et al. Mixed Precision Training, 2018, section 3.1 (master weights).
        https://arxiv.org/abs/1710.03740

    Args:
        module: What is trained; its parameters are on their device.
        config: Rates, decay and clipping.
        precision: float32 or bfloat16: of the linear layers' weights while this lives.
        by_row: Embeddings to update by row; none on an accelerator or in many processes.
    """

    def __init__(
        self,
        module: nn.Module,
        config: TrainingConfig,
        *,
        precision: str = "float32",
        by_row: Mapping[str, nn.Embedding] | None = None,
    ) -> None:
        import torch

        betas = Betas()
        self._module, self._clip = module, config.clip_norm
        self._tables = {
            name: RowAdamW(table, weight_decay=config.weight_decay, betas=betas)
            for name, table in (by_row or {}).items()
        }
        apart = {id(table.weight) for table in (by_row or {}).values()}
        self._trained = {
            name: parameter
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and id(parameter) not in apart
        }
        low = _linear_parameters(module) if precision == "bfloat16" else set()
        self._masters: dict[str, nn.Parameter] = {}
        for name, parameter in self._trained.items():
            if id(parameter) in low:
                self._masters[name] = torch.nn.Parameter(parameter.detach().clone())
                parameter.data = parameter.data.to(torch.bfloat16)
        updated = [self._masters.get(name, value) for name, value in self._trained.items()]
        self._adamw = torch.optim.AdamW(
            [
                {
                    "params": [p for p in updated if p.ndim >= 2],
                    "weight_decay": config.weight_decay,
                },
                {"params": [p for p in updated if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=(betas.first, betas.second),
            eps=betas.eps,
            fused=True,
        )

    def collect(self) -> None:
        """Take over the gradients of one backward pass: sums over parts are float32."""
        for name, master in self._masters.items():
            low = self._trained[name]
            if low.grad is None:
                continue
            part = low.grad.to(master.dtype)
            master.grad = part if master.grad is None else master.grad.add_(part)
            low.grad = None

    def step(self, rate: float) -> Tensor:
        """One update, clipped; gradients are dropped. Without any, nothing moves.

        Returns:
            The norm of the whole gradient before clipping, a scalar on the module's device.
        """
        import torch

        updated = [p for group in self._adamw.param_groups for p in group["params"]]
        gradients = [p.grad for p in updated if p.grad is not None]
        gradients += [g for table in self._tables.values() for g in table.gradients()]
        if not gradients:
            return torch.zeros(())
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # type: ignore[arg-type]
        scale = ((norm + 1e-6) / self._clip).clamp(min=1.0)
        for group in self._adamw.param_groups:
            group["lr"] = rate
        # What torch's gradient scaler sets: the fused kernel divides every gradient by it.
        self._adamw.grad_scale = scale  # type: ignore[attr-defined]
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        for table in self._tables.values():
            table.step(rate, scale)
        self._spread()
        return norm

    def _spread(self) -> None:
        """Give the layers the masters' new values."""
        import torch

        if self._masters:
            with torch.no_grad():
                torch._foreach_copy_(  # pyright: ignore[reportPrivateImportUsage]
                    [self._trained[name] for name in self._masters], list(self._masters.values())
                )

    def weights(self) -> dict[str, Tensor]:
        """The module's whole state in float32, every row up to date."""
        for table in self._tables.values():
            table.settle()
        return self._whole()

    def _whole(self) -> dict[str, Tensor]:
        """The state in float32: masters for what computes in bfloat16, tied weights twice."""
        state: dict[str, Tensor] = self._module.state_dict(keep_vars=True)  # pyright: ignore[reportAssignmentType]
        names = {id(value): name for name, value in self._trained.items()}
        return {
            name: self._masters.get(names.get(id(value), ""), value)
            for name, value in state.items()
        }

    def state(self) -> dict[str, Tensor]:
        """All that a resumed training needs: weights as they stand, moments, rows' steps."""
        import torch

        tensors = {f"weight.{name}": value for name, value in self._whole().items()}
        for index, slots in self._adamw.state_dict()["state"].items():
            tensors |= {f"adamw.{index}.{slot}": torch.as_tensor(v) for slot, v in slots.items()}
        for name, table in self._tables.items():
            tensors |= {f"table.{name}.{key}": value for key, value in table.state().items()}
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put a saved state back into module, masters, moments and tables."""
        self._load_weights(_under(tensors, "weight."))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(tensors, "adamw.").items():
            index, slot = name.split(".", 1)
            slots.setdefault(int(index), {})[slot] = value
        self._adamw.load_state_dict({**self._adamw.state_dict(), "state": slots})
        for name, table in self._tables.items():
            table.load(_under(tensors, f"table.{name}."))

    def _load_weights(self, weights: Mapping[str, Tensor]) -> None:
        import torch

        self._module.load_state_dict(weights)
        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(weights[name])

    def release(self) -> None:
        """Leave the module an ordinary one: float32, every row up to date, all of it trainable."""
        for table in self._tables.values():
            table.release()
        for name, master in self._masters.items():
            self._trained[name].data = master.data
            self._trained[name].grad = None


def tables_by_row(module: nn.Module) -> dict[str, nn.Embedding]:
    """Embeddings that are large, on a CPU, and nobody else's: what `AdamW` may update by row."""
    from torch import nn

    owners: dict[int, int] = {}
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {
        name: part
        for name, part in module.named_modules()
        if type(part) is nn.Embedding
        and part.num_embeddings >= _MANY_ROWS
        and part.weight.device.type == "cpu"
        and part.weight.requires_grad
        and part.max_norm is None
        and not part.scale_grad_by_freq
        and owners[id(part.weight)] == 1
    }


def _linear_parameters(module: nn.Module) -> set[int]:
    from torch import nn

    linears = [part for part in module.modules() if isinstance(part, nn.Linear)]
    return {id(p) for part in linears for p in part.parameters(recurse=False)}


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
