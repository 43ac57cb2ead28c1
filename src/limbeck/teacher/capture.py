"""Parts of a forward pass, caught by forward hooks.

Hooks see the same tensors whatever the attention's implementation; `output_attentions` would force
the slow one, and newer models have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from limbeck.errors import TeacherError
from limbeck.teacher.family import Family, embedding_module, head_count, layer_modules
from limbeck.teacher.parts import Part, What

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

_VECTORS: tuple[What, ...] = ("queries", "keys", "values")


@contextmanager
def caught_parts(
    model: PreTrainedModel, family: Family, parts: Iterable[Part]
) -> Iterator[dict[Part, Tensor]]:
    """Fill a mapping with `parts` during the next forward pass.

    Layers are counted by their calls, so those with shared weights (ALBERT) are layers, too.

    Raises:
        TeacherError: For a class of the user's that has other modules than its family.
    """
    catcher = _Catcher(model, family, frozenset(parts))
    try:
        catcher.hook()
        yield catcher.caught
    finally:
        for handle in catcher.handles:
            handle.remove()


class _Catcher:
    """The hooks of one forward pass, and what they have seen of it."""

    def __init__(self, model: PreTrainedModel, family: Family, wanted: frozenset[Part]) -> None:
        self.caught: dict[Part, Tensor] = {}
        self.handles: list[Any] = []
        self._model, self._family, self._wanted = model, family, wanted
        self._heads = head_count(model.config)
        self._layer = 0
        self._turn: tuple[Tensor, Tensor] | None = None

    def hook(self) -> None:
        """Place every hook that the wanted parts need."""
        if Part("hidden", 0) in self._wanted:
            self._after(embedding_module(self._model, self._family), self._keep_hidden)
        if not any(part.layer for part in self._wanted):
            return
        for place, layer in enumerate(layer_modules(self._model, self._family), start=1):
            self.handles.append(layer.register_forward_pre_hook(self._enter))
            self._after(layer, self._keep_hidden)
            if self._family.shared_layers or any(part.layer == place for part in self._wanted):
                self._hook_attention(layer)
        # Hooked last, for they replace what the layer gave.
        for path in (self._family.after_first, self._family.final_norm):
            module = attrgetter(path)(self._model.base_model) if path else None
            if module is not None:
                self._after(module, self._keep_hidden)

    def _hook_attention(self, layer: nn.Module) -> None:
        vectors, kinds = self._family.vectors, {part.what for part in self._wanted}
        if not kinds - {"hidden"}:
            return
        attention = self._inside(layer, vectors.attention)
        if vectors.layout == "parameters":
            self.handles.append(attention.register_forward_pre_hook(self._multiply))
        else:
            if vectors.rotary:
                self.handles.append(
                    attention.register_forward_pre_hook(self._see_turn, with_kwargs=True)
                )
            paths = {what: getattr(vectors, what) for what in _VECTORS}
            for path in dict.fromkeys(paths[what] for what in _VECTORS if what in kinds):
                given: list[What] = [what for what in _VECTORS if paths[what] == path]
                self._hook_projection(attention, path, given)
        if "attention" in kinds and vectors.shares is not None:
            self.handles.append(
                self._inside(attention, vectors.shares).register_forward_pre_hook(
                    lambda _module, inputs: self._keep("attention", inputs[0])
                )
            )

    def _hook_projection(self, attention: nn.Module, path: str, given: list[What]) -> None:
        def keep(output: Tensor) -> None:
            for what, vectors in zip(given, self._parted(attention, output), strict=True):
                self._keep(what, vectors)

        self._after(self._inside(attention, path), keep)

    def _after(self, module: nn.Module, keep: Any) -> None:
        handle = module.register_forward_hook(lambda _module, _inputs, output: keep(output))
        self.handles.append(handle)

    def _enter(self, _module: nn.Module, _inputs: Any) -> None:
        self._layer += 1

    def _keep(self, what: What, value: Tensor) -> None:
        """Keep a layer's first: some modules serve again, for positions or for the output."""
        part = Part(what, self._layer)
        if part in self._wanted:
            self.caught.setdefault(part, value)

    def _keep_hidden(self, output: Any) -> None:
        part = Part("hidden", self._layer)
        if part in self._wanted:
            state = output[0] if isinstance(output, tuple) else output
            self.caught[part] = state.transpose(0, 1) if self._family.tokens_first else state

    def _see_turn(self, _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._turn = named["position_embeddings"] if "position_embeddings" in named else inputs[1]

    def _multiply(self, attention: nn.Module, inputs: tuple[Any, ...]) -> None:
        import torch

        for what in _VECTORS:
            if Part(what, self._layer) in self._wanted:
                weight = getattr(attention, getattr(self._family.vectors, what))
                product = torch.einsum("ibh,hnd->bind", inputs[0], weight)
                self._keep(what, product.flatten(2))

    def _parted(self, attention: Any, output: Tensor) -> tuple[Tensor, ...]:
        """What one module gives: one kind of vectors, or all three."""
        layout = self._family.vectors.layout
        if layout == "separate":
            return (output,)
        if layout == "thirds":
            queries, keys, values = output.chunk(3, dim=-1)
            if self._turn is not None:
                queries, keys = (self._turned(vectors) for vectors in (queries, keys))
            return queries, keys, values
        by_head = output.unflatten(-1, (self._heads, -1)).chunk(3, dim=-1)
        queries, keys, values = (vectors.flatten(2) for vectors in by_head)
        return queries + attention.q_bias, keys, values + attention.v_bias

    def _turned(self, vectors: Tensor) -> Tensor:
        """Each pair of a head's numbers (i, i + half) turned by its token's angle."""
        import torch

        assert self._turn is not None
        cosine, sine = (angle.unsqueeze(2) for angle in self._turn)
        heads = vectors.unflatten(-1, (self._heads, -1)).float()
        first, second = heads.chunk(2, dim=-1)
        turned = heads * cosine + torch.cat((-second, first), dim=-1) * sine
        return turned.to(vectors.dtype).flatten(2)

    def _inside(self, module: nn.Module, path: str) -> nn.Module:
        try:
            return module.get_submodule(path)
        except AttributeError:
            raise TeacherError(
                type(self._model).__name__,
                f"its {type(module).__name__} has no module {path!r}, where a "
                f"{self._model.config.model_type!r} model has its attention",
                "Use terms on logits and hidden states only, or the class of transformers.",
            ) from None
