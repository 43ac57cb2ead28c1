"""Models with fewer heads and neurons than their config says, and factored word embeddings.

transformers 5 has no config for them: a head keeps its size while there are fewer, and each layer
may have a number of its own. A thin model is one of transformers' own whose matrices were made
smaller. Its ``config.json`` says what each layer has kept (`KEPT`) and has a model type of its own,
so that transformers alone refuses it by name instead of failing at its shapes; with limbeck
imported, AutoModel loads it (`teacher.thin_classes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
"""What a choice of heads and neurons is kept in while a run is unfinished."""
KEPT = "pruned"
"""The key of a thin model's config that says what it has kept."""
_PREFIX = "limbeck_thin_"


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
        """Write it by itself."""
        write_json(folder / FILE, asdict(self))

    @staticmethod
    def read(folder: Path) -> Kept | None:
        """What `save` or `save_thin` wrote, or None where nothing was pruned.

        Raises:
            TeacherError: If the file is not what they write.
        """
        path = folder / FILE
        try:
            if path.exists():
                content = read_json(path)
            else:
                path = folder / "config.json"
                content = read_json(path).get(KEPT) if path.exists() else None
            return None if content is None else Kept.of(content)
        except (ValueError, KeyError, TypeError) as error:
            raise TeacherError(
                str(path),
                f"it cannot be read ({type(error).__name__}: {error})",
                "Write the thin model again: give its `limbeck distill` command another folder.",
            ) from None

    @staticmethod
    def of(content: Mapping[str, Any]) -> Kept:
        """What JSON says of it."""
        heads, neurons = (
            tuple(tuple(int(place) for place in layer) for layer in content[key])
            for key in ("heads", "neurons")
        )
        rank = content.get("rank")
        return Kept(heads, neurons, None if rank is None else int(rank))


@dataclass(frozen=True)
class Matrices:
    """The modules of a layer that heads and neurons are rows and columns of.

    Attributes:
        reads: Queries, keys and values, or one matrix of all three, one below the other: heads
            are blocks of the rows of each.
        writes: What joins the heads: they are blocks of its columns.
        up: Neurons are its rows; of a gated layer twice, inputs first and then gates.
        down: Neurons are its columns.
        head_size: Rows of a head.
        thirds: Queries, keys and values in one matrix of `reads`.
        gated: Whether `up` has rows for gates too.
    """

    reads: tuple[nn.Linear, ...]
    writes: nn.Linear
    up: nn.Linear
    down: nn.Linear
    head_size: int
    thirds: bool = False
    gated: bool = False

    def rows(
        self, heads: Sequence[int], neurons: Sequence[int]
    ) -> list[tuple[nn.Linear, np.ndarray]]:
        """The matrices that lose rows, each with those that stay."""
        units, hidden = head_units(heads, self.head_size), np.array(neurons)
        all_units, all_hidden = self.writes.in_features, self.down.in_features
        if self.thirds:
            units = np.concatenate([units + part * all_units for part in range(3)])
        if self.gated:
            hidden = np.concatenate([hidden, hidden + all_hidden])
        return [*((module, units) for module in self.reads), (self.up, hidden)]

    def columns(
        self, heads: Sequence[int], neurons: Sequence[int]
    ) -> list[tuple[nn.Linear, np.ndarray]]:
        """The matrices that lose columns, each with those that stay."""
        return [
            (self.writes, head_units(heads, self.head_size)),
            (self.down, np.array(neurons)),
        ]


_BERT_LIKE = ("attention.self.query", "attention.self.key", "attention.self.value",
              "attention.output.dense", "intermediate.dense", "output.dense")  # fmt: skip
PATHS: dict[str, tuple[str, ...]] = {
    "bert": _BERT_LIKE,
    "roberta": _BERT_LIKE,
    "xlm-roberta": _BERT_LIKE,
    "camembert": _BERT_LIKE,
    "electra": _BERT_LIKE,
    "distilbert": ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                   "ffn.lin1", "ffn.lin2"),
    "mpnet": ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o",
              "intermediate.dense", "output.dense"),
    "modernbert": ("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
}  # fmt: skip
"""Model types whose heads and neurons can be taken out, with the modules that they are parts of:
queries, keys and values (or all three), what joins the heads, up, down."""


def matrices(layer: nn.Module, config: PreTrainedConfig) -> Matrices:
    """The matrices of a layer of a model type in `PATHS`."""
    found: Any = [attrgetter(path)(layer) for path in PATHS[stock_type(config)]]
    size = int(config.hidden_size) // int(config.num_attention_heads)
    fused = len(found) == 4
    return Matrices(tuple(found[:-3]), *found[-3:], head_size=size, thirds=fused, gated=fused)


def stock_type(config: PreTrainedConfig) -> str:
    """The model type that a config is of, or would be of if it were not thin."""
    return config.model_type.removeprefix(_PREFIX)


def thin_type(model_type: str) -> str:
    """The model type of the thin models of a type in `PATHS`."""
    return _PREFIX + model_type


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
        rows, columns = found.rows(heads, neurons), found.columns(heads, neurons)
        for module, stay in rows:
            _keep_rows(module, stay)
        for module, stay in columns:
            _keep_columns(module, stay)
        if stock_type(model.config) == "mpnet":
            _keep_position_bias(attrgetter("attention.attn")(layer), heads)


def make_blank(model: PreTrainedModel, family: Family, kept: Kept) -> None:
    """Give a new model the shape of a thin one, in place: weights are to be read into it."""
    make_thin(model, family, kept)
    if kept.rank is not None:
        blank_factors(model, kept.rank)


def save_thin(model: PreTrainedModel, kept: Kept, folder: Path) -> None:
    """Write a thin model: weights, config and what is left of each layer.

    Args:
        model: Thin.
        kept: What is left, counted in the layers that its config describes.
        folder: Exists; the tokenizer is written by others.
    """
    from safetensors.torch import save_file

    model.config.save_pretrained(folder)
    content = read_json(folder / "config.json")
    thin = {"model_type": thin_type(model.config.model_type), KEPT: asdict(kept)}
    write_json(folder / "config.json", content | thin)
    tensors = {name: value.detach().cpu().contiguous() for name, value in _own(model).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


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
        TeacherError: If weights and `KEPT` do not belong together.
    """
    import torch
    from safetensors.torch import load_file

    kept = Kept.read(Path(path))
    if kept is None:
        return None
    layers = layer_count(config)
    if len(kept.heads) != layers or len(kept.neurons) != layers:
        raise TeacherError(
            f"{path}/config.json",
            f"{KEPT} tells of {len(kept.heads)} layers, but the model has {layers}",
            "Write the thin model again.",
        )
    model = auto_class.from_config(
        config, attn_implementation=attention if family.sdpa else "eager", dtype=torch.float32
    )
    make_blank(model, family, kept)
    try:
        left = model.load_state_dict(load_file(Path(path) / "model.safetensors"), strict=False)
    except (RuntimeError, OSError) as error:
        raise TeacherError(
            path,
            f"its weights do not fit what its config keeps ({str(error).splitlines()[0]})",
            "Write the thin model again.",
        ) from None
    missing = set(left.missing_keys) - (set(model.state_dict()) - set(_own(model)))
    # An encoder alone has a pooler that no vector comes from, and that sentence encoders drop.
    missing = {name for name in missing if not name.startswith("pooler.")}
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


def _keep_position_bias(attention: Any, heads: Sequence[int]) -> None:
    """Let MPNet's attention see its own heads' part of the bias that all layers share."""
    before = getattr(attention, "kept_heads", None)
    attention.kept_heads = [*heads] if before is None else [before[head] for head in heads]
    attention.all_head_size = len(heads) * attention.attention_head_size
    if before is None:
        attention.register_forward_pre_hook(_with_own_bias, with_kwargs=True)


def _with_own_bias(attention: Any, inputs: Any, settings: Any) -> Any:
    hidden, mask, bias = inputs
    return (hidden, mask, None if bias is None else bias[:, attention.kept_heads]), settings


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
