"""Weights of a narrower student: the residual stream rotated by PCA, heads and neurons chosen.

With P the leading principal directions of the teacher's hidden states on real texts, a matrix
that reads the stream becomes W P and one that writes it P^T W. A LayerNorm does not commute with
a rotation, so its scale and shift are fitted by least squares: the student's normalized input
against the teacher's rotated output. Attention heads, feed-forward neurons and head units are
chosen by the product of the norms of what they read and write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.data.batches import Batch
from limbeck.errors import StudentError
from limbeck.teacher.ask import ask
from limbeck.teacher.family import FAMILIES, Family, layer_count
from limbeck.teacher.parts import hidden_parts

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel

_TOKENS = 8192
"""Sampled tokens behind the PCA and the fits: many times the widest stream."""


@dataclass(frozen=True)
class Stream:
    """What the sample of texts shows of the teacher's residual stream.

    Attributes:
        basis: P, orthonormal columns [teacher hidden, student hidden].
        kept: Share of the stream's energy inside the basis, 0 to 1.
        norms: LayerNorm's name to its fitted scale and shift, each [student hidden].
    """

    basis: Tensor
    kept: float
    norms: dict[str, tuple[Tensor, Tensor]]


def refuse_uncuttable(family: Family, teacher: PreTrainedConfig, student: PreTrainedConfig) -> None:
    """Refuse widths that cannot be cut out of the teacher, before anything is recorded.

    Raises:
        StudentError: For a family whose modules are not BERT's, or a student that is wider.
    """
    if not family.post_norm_bert:
        able = ", ".join(name for name, known in FAMILIES.items() if known.post_norm_bert)
        raise StudentError(
            "student.hidden, heads or intermediate",
            f"limbeck cannot cut the widths of a {teacher.model_type!r} teacher",
            f"Cut layers only, or use student.init=normal for new weights. Widths can be cut "
            f"for {able}.",
        )
    size, old_size = (c.hidden_size // c.num_attention_heads for c in (student, teacher))
    for name, ours, theirs in (
        ("hidden", student.hidden_size, teacher.hidden_size),
        ("heads", student.num_attention_heads, teacher.num_attention_heads),
        ("heads (each of hidden / heads)", size, old_size),
        ("intermediate", student.intermediate_size, teacher.intermediate_size),
    ):
        if ours > theirs:
            raise StudentError(
                f"student.{name}",
                f"{ours} is wanted, but the teacher has {theirs}: nothing wider can be cut out "
                "of it",
                f"Use {theirs} at most, or student.init=normal for new weights.",
            )


def narrow_weights(
    taken: dict[str, Tensor],
    teacher: PreTrainedModel,
    family: Family,
    batches: Sequence[Batch],
    layers: Sequence[int],
    student: PreTrainedConfig,
) -> tuple[dict[str, Tensor], float]:
    """The taken weights at the student's widths, and the share of the stream that they keep.

    Args:
        taken: The teacher's weights under the student's names (`cut.taken_weights`).
        teacher: The teacher, to see its stream on texts.
        family: Where its layers are.
        batches: A sample of the training texts, a few thousand tokens.
        layers: The teacher layer of each student layer.
        student: The student's config.
    """
    stream = _observe(teacher, family, batches, layers, student.hidden_size)
    widths = _Widths(teacher.config, student)
    narrow: dict[str, Tensor] = {}
    for name, value in taken.items():
        narrow[name] = _narrow(name, value, taken, stream, widths)
    return narrow, stream.kept


class _Widths:
    """Head counts and sizes of both, and the neurons to keep."""

    def __init__(self, teacher: PreTrainedConfig, student: PreTrainedConfig) -> None:
        self.hidden, self.old_hidden = student.hidden_size, teacher.hidden_size
        self.heads, self.old_heads = student.num_attention_heads, teacher.num_attention_heads
        self.size = self.hidden // self.heads
        self.old_size = self.old_hidden // self.old_heads
        self.neurons = student.intermediate_size


def _observe(
    teacher: PreTrainedModel,
    family: Family,
    batches: Sequence[Batch],
    layers: Sequence[int],
    hidden: int,
) -> Stream:
    import torch

    norms = {
        name: module
        for name, module in teacher.named_modules()
        if name.endswith("LayerNorm") and _student_name(name, family, layers) is not None
    }
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in norms}
    masks: list[Tensor] = []

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name].append((inputs[0][masks[-1]], output[masks[-1]]))

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in norms.items()]
    tokens, last = 0, hidden_parts((layer_count(teacher.config),))
    try:
        with torch.inference_mode():
            for batch in batches:
                masks.append(batch.attention_mask.bool())
                ask(teacher, batch, family, last)  # so that the last layer sees every token
                tokens += int(batch.attention_mask.sum())
                if tokens >= _TOKENS:
                    break
    finally:
        for handle in handles:
            handle.remove()
    pairs = {name: tuple(map(torch.cat, zip(*parts, strict=True))) for name, parts in seen.items()}
    outputs = torch.cat([output for name, (_, output) in pairs.items() if _is_stream(name)])
    outputs = outputs.clone().double()
    energy, directions = torch.linalg.eigh(outputs.T @ outputs)
    basis = directions[:, -hidden:].flip(1)
    kept = float(energy[-hidden:].sum() / energy.sum())
    fitted = {}
    for name, (before, after) in pairs.items():
        student_name = _student_name(name, family, layers)
        assert student_name is not None
        fitted[student_name] = _fit(before.clone().double() @ basis, after.clone().double() @ basis)
    return Stream(basis.float(), kept, fitted)


def _is_stream(name: str) -> bool:
    return "attention" not in name


def _student_name(name: str, family: Family, layers: Sequence[int]) -> str | None:
    match = re.search(rf"\.{re.escape(family.layers)}\.(\d+)\.", name)
    if match is None:
        return name
    number = int(match[1]) + 1
    if number not in layers:
        return None
    start, end = match.span(1)
    return f"{name[:start]}{list(layers).index(number)}{name[end:]}"


def _fit(before: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift, a unit each, that bring the normalized input to the target."""
    centered = before - before.mean(1, keepdim=True)
    normal = centered / centered.var(1, unbiased=False, keepdim=True).add(1e-12).sqrt()
    mean_normal, mean_target = normal.mean(0), target.mean(0)
    spread = ((normal - mean_normal) ** 2).mean(0).clamp_min(1e-12)
    scale = ((normal - mean_normal) * (target - mean_target)).mean(0) / spread
    return scale.float(), (mean_target - scale * mean_normal).float()


def _narrow(
    name: str, value: Tensor, taken: dict[str, Tensor], stream: Stream, widths: _Widths
) -> Tensor:
    module, _, kind = name.rpartition(".")
    layer = re.match(r"(.*\.layer\.\d+\.)", name)
    if module.endswith("LayerNorm"):
        scale, shift = stream.norms[module]
        return scale if kind == "weight" else shift
    if layer is not None:
        return _narrow_layer(name.removeprefix(layer[1]), layer[1], value, taken, stream, widths)
    if "embeddings" in name and value.ndim == 2 and value.shape[1] == widths.old_hidden:
        return value @ stream.basis
    if module.endswith(("pooler.dense", "classifier.dense")):
        units = _head_units(taken, widths)
        return value[units] @ stream.basis if kind == "weight" else value[units]
    if value.ndim == 2 and value.shape[1] == widths.old_hidden:  # the classes' own weights
        units = _head_units(taken, widths)
        return value[:, units] if units is not None else value @ stream.basis
    return value


def _head_units(taken: dict[str, Tensor], widths: _Widths) -> Any:
    dense = [
        v
        for n, v in taken.items()
        if n.endswith(("pooler.dense.weight", "classifier.dense.weight"))
    ]
    last = [v for n, v in taken.items() if n.endswith(("classifier.weight", "out_proj.weight"))]
    if not dense or not last:
        return None
    return _largest(dense[0].norm(dim=1) * last[0].norm(dim=0), widths.hidden)


def _narrow_layer(
    name: str,
    prefix: str,
    value: Tensor,
    taken: dict[str, Tensor],
    stream: Stream,
    widths: _Widths,
) -> Tensor:
    basis = stream.basis

    def weight(part: str) -> Tensor:
        return taken[f"{prefix}{part}.weight"]

    if name.startswith(("attention.self.query", "attention.self.key", "attention.self.value")):
        rows = _attention_units(weight, widths, values=".value" in name)
        part = value[rows] @ basis if value.ndim == 2 else value[rows]
        # The scores are divided by the root of the head size: keep them as large as they were.
        return part * (widths.size / widths.old_size) ** 0.5 if ".query" in name else part
    if name == "attention.output.dense.weight":
        return basis.T @ value[:, _attention_units(weight, widths, values=True)]
    neurons = _largest(
        weight("intermediate.dense").norm(dim=1) * weight("output.dense").norm(dim=0),
        widths.neurons,
    )
    if name.startswith("intermediate.dense"):
        return value[neurons] @ basis if value.ndim == 2 else value[neurons]
    if name == "output.dense.weight":
        return basis.T @ value[:, neurons]
    return basis.T @ value  # the biases of what writes the stream


def _attention_units(weight: Any, widths: _Widths, *, values: bool) -> Tensor:
    """Rows to keep of query and key, or of value: the strongest heads' strongest units."""
    import torch

    shape = (widths.old_heads, widths.old_size)
    match = weight("attention.self.query").norm(dim=1) * weight("attention.self.key").norm(dim=1)
    carry = weight("attention.self.value").norm(dim=1) * weight("attention.output.dense").norm(
        dim=0
    )
    heads = _largest(carry.reshape(shape).square().sum(1), widths.heads)
    strength = (carry if values else match).reshape(shape)
    return torch.cat(
        [head * widths.old_size + _largest(strength[head], widths.size) for head in heads]
    )


def _largest(strength: Tensor, count: int) -> Tensor:
    """Indices of the `count` largest, in rising order."""
    return strength.topk(count).indices.sort().values


def energy_note(kept: float) -> str:
    """One line on what the rotation kept."""
    return f"the narrower stream keeps {kept:.1%} of the teacher's hidden-state energy"


def sample_rows(lengths: np.ndarray, seed: int) -> np.ndarray:
    """Random rows that hold about as many tokens as the fits need."""
    order = np.random.default_rng(seed).permutation(len(lengths))
    enough = int(np.searchsorted(np.cumsum(lengths[order]), _TOKENS)) + 1
    return order[:enough]
