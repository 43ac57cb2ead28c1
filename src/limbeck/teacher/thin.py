"""Models with fewer heads and neurons than their config says, and factored word embeddings.

transformers 5 has no config for them: a head keeps its size while there are fewer, and each layer
may have a number of its own. A thin model is one of transformers' own whose matrices were made
smaller; ``pruning.json`` beside its weights says how many each layer has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.errors import TeacherError
from limbeck.files import read_json, write_json
from limbeck.teacher.factored import blank_factors
from limbeck.teacher.family import layer_count, layer_modules

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel

    from limbeck.teacher.family import Family

FILE = "pruning.json"


@dataclass(frozen=True)
class Kept:
    """What is left of each layer, as indices into the layer that its config describes.

    Attributes:
        heads: Of each layer, rising; at least one.
        neurons: Of each layer, rising; at least one.
        rank: Of the word embeddings, or None where they are one table.
    """

    heads: tuple[tuple[int, ...], ...]
    neurons: tuple[tuple[int, ...], ...]
    rank: int | None = None

    def save(self, folder: Path) -> None:
        """Write it beside a thin model's weights."""
        write_json(folder / FILE, asdict(self))

    @staticmethod
    def read(folder: Path) -> Kept | None:
        """What `save` wrote, or None where nothing was pruned.

        Raises:
            TeacherError: If the file is not what `save` writes.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            content = read_json(path)
            heads, neurons = (
                tuple(tuple(int(place) for place in layer) for layer in content[key])
                for key in ("heads", "neurons")
            )
            rank = content.get("rank")
            rank = None if rank is None else int(rank)
        except (ValueError, KeyError, TypeError) as error:
            raise TeacherError(
                str(path),
                f"it cannot be read ({type(error).__name__}: {error})",
                "Write the thin model again: give its `limbeck distill` command another folder.",
            ) from None
        return Kept(heads, neurons, rank)


@dataclass(frozen=True)
class Matrices:
    """The modules of a layer that heads and neurons are rows and columns of.

    Attributes:
        reads: Queries, keys and values: heads are blocks of their rows.
        writes: What joins the heads: they are blocks of its columns.
        up: Neurons are its rows.
        down: Neurons are its columns.
        head_size: Rows of a head.
    """

    reads: tuple[nn.Linear, nn.Linear, nn.Linear]
    writes: nn.Linear
    up: nn.Linear
    down: nn.Linear
    head_size: int


_BERT_LIKE = ("attention.self.query", "attention.self.key", "attention.self.value",
              "attention.output.dense", "intermediate.dense", "output.dense")  # fmt: skip
PATHS: dict[str, tuple[str, str, str, str, str, str]] = {
    "bert": _BERT_LIKE,
    "roberta": _BERT_LIKE,
    "xlm-roberta": _BERT_LIKE,
    "camembert": _BERT_LIKE,
    "electra": _BERT_LIKE,
    "distilbert": ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                   "ffn.lin1", "ffn.lin2"),
}  # fmt: skip
"""Model types whose heads and neurons can be taken out, with the modules that they are parts of."""


def matrices(layer: nn.Module, config: PreTrainedConfig) -> Matrices:
    """The matrices of a layer of a model type in `PATHS`."""
    found: Any = [attrgetter(path)(layer) for path in PATHS[config.model_type]]
    size = int(config.hidden_size) // int(config.num_attention_heads)
    return Matrices(tuple(found[:3]), *found[3:], head_size=size)


def make_thin(model: PreTrainedModel, family: Family, kept: Kept) -> None:
    """Take all heads and neurons but those that are kept out of `model`, in place.

    The answers are those of the whole model with the other heads' and neurons' outputs at zero.

    Args:
        model: Of a type in `PATHS`; may be thin already, and `kept` counts in what it has then.
        family: Its family.
        kept: What stays.
    """
    for layer, heads, neurons in zip(
        layer_modules(model, family), kept.heads, kept.neurons, strict=True
    ):
        found = matrices(layer, model.config)
        units = head_units(heads, found.head_size)
        for module in found.reads:
            _keep_rows(module, units)
        _keep_columns(found.writes, units)
        _keep_rows(found.up, np.array(neurons))
        _keep_columns(found.down, np.array(neurons))


def save_thin(model: PreTrainedModel, kept: Kept, folder: Path) -> None:
    """Write a thin model: weights, config and what is left of each layer.

    Args:
        model: Thin.
        kept: What is left, counted in the layers that its config describes.
        folder: Exists; the tokenizer is written by others.
    """
    from safetensors.torch import save_file

    model.config.save_pretrained(folder)
    tensors = {name: value.detach().cpu().contiguous() for name, value in _own(model).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    kept.save(folder)


def thin_model(
    auto_class: Any,
    path: str,
    config: PreTrainedConfig,
    family: Family,
    *,
    attention: str,
) -> PreTrainedModel | None:
    """The thin model in a folder, or None where it holds a whole one.

    Args:
        auto_class: One of transformers' AutoModel classes.
        path: A folder or hub name.
        config: The checkpoint's.
        family: Its family.
        attention: The attention implementation, for families that have a choice.

    Raises:
        TeacherError: If weights and ``pruning.json`` do not belong together.
    """
    import torch
    from safetensors.torch import load_file

    kept = Kept.read(Path(path))
    if kept is None:
        return None
    layers = layer_count(config)
    if len(kept.heads) != layers or len(kept.neurons) != layers:
        raise TeacherError(
            f"{path}/{FILE}",
            f"it tells of {len(kept.heads)} layers, but the model has {layers}",
            "Write the thin model again.",
        )
    model = auto_class.from_config(
        config, attn_implementation=attention if family.sdpa else "eager", dtype=torch.float32
    )
    make_thin(model, family, kept)
    if kept.rank is not None:
        blank_factors(model, kept.rank)
    try:
        left = model.load_state_dict(load_file(Path(path) / "model.safetensors"), strict=False)
    except (RuntimeError, OSError) as error:
        raise TeacherError(
            path,
            f"its weights do not fit its {FILE} ({str(error).splitlines()[0]})",
            "Write the thin model again.",
        ) from None
    missing = set(left.missing_keys) - (set(model.state_dict()) - set(_own(model)))
    if missing or left.unexpected_keys:
        odd = sorted({*missing, *left.unexpected_keys})[0]
        raise TeacherError(path, f"{odd} is not where it belongs", "Write the thin model again.")
    return model


def _own(model: PreTrainedModel) -> dict[str, Any]:
    """The state, tensors that share their memory once."""
    seen: set[int] = set()
    own = {}
    for name, value in model.state_dict().items():
        if value.data_ptr() not in seen or not value.numel():
            own[name] = value
            seen.add(value.data_ptr())
    return own


def head_units(heads: Sequence[int], size: int) -> np.ndarray:
    """The rows of some heads, of `size` each."""
    return (np.array(heads)[:, None] * size + np.arange(size)).reshape(-1)


def _keep_rows(module: nn.Linear, rows: np.ndarray) -> None:
    import torch
    from torch import nn

    places = torch.from_numpy(rows)
    module.weight = nn.Parameter(module.weight.detach()[places].clone())
    if module.bias is not None:
        module.bias = nn.Parameter(module.bias.detach()[places].clone())
    module.out_features = len(rows)


def _keep_columns(module: nn.Linear, columns: np.ndarray) -> None:
    import torch
    from torch import nn

    places = torch.from_numpy(columns)
    module.weight = nn.Parameter(module.weight.detach()[:, places].clone())
    module.in_features = len(columns)
