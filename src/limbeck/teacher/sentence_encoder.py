"""An encoder and what makes one vector of its tokens, as one model; a sentence-transformers folder.

It stands where a classifier stands elsewhere: its "logits" are the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from limbeck.errors import TeacherError
from limbeck.files import write_json
from limbeck.teacher.load import Checkpoint, loaded, set_dropout
from limbeck.teacher.pooling import (
    KEY,
    Vectors,
    dense_weights,
    set_vectors,
    vector_width,
    vectors_of,
)
from limbeck.teacher.thin import Kept, save_thin

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Answered:
    """What a sentence encoder says: vectors [batch, width], where a classifier has logits."""

    logits: Tensor


class SentenceEncoder(nn.Module):
    """Encoder, pooling, dense layer and normalization.

    It answers to what limbeck asks of a transformers model with a head; the encoder keeps the
    name that it has below such a head (`base_model_prefix`).

    Args:
        encoder: Of transformers; its pooler, which no vector comes from, is dropped.
        config: The encoder's, with `pooling.KEY`.
    """

    def __init__(self, encoder: PreTrainedModel, config: PreTrainedConfig) -> None:
        super().__init__()
        vectors = vectors_of(config)
        assert vectors is not None
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # pyright: ignore[reportArgumentType]
        self.config = config
        self.vectors = vectors
        self.base_model_prefix: str = encoder.base_model_prefix
        self.add_module(self.base_model_prefix, encoder)
        self.dense = None
        if vectors.dense is not None:
            self.dense = nn.Linear(
                int(config.hidden_size), vectors.dense.width, bias=vectors.dense.bias
            )

    @classmethod
    def from_config(
        cls, config: PreTrainedConfig, *, attn_implementation: str = "eager", dtype: Any = None
    ) -> SentenceEncoder:
        """A model with new weights."""
        from transformers import AutoModel

        encoder = AutoModel.from_config(
            _bare(config), attn_implementation=attn_implementation, dtype=dtype
        )
        return cls(encoder, config)

    @property
    def base_model(self) -> PreTrainedModel:
        """The encoder."""
        return cast("PreTrainedModel", self.get_submodule(self.base_model_prefix))

    @property
    def device(self) -> Any:
        """Where it computes."""
        return self.base_model.device

    def get_input_embeddings(self) -> Any:
        """The encoder's table of words."""
        return self.base_model.get_input_embeddings()

    def set_input_embeddings(self, table: Any) -> None:
        """Put another table of words into the encoder."""
        self.base_model.set_input_embeddings(table)

    def get_output_embeddings(self) -> None:
        """Nothing: no word is guessed."""

    def set_attn_implementation(self, attention: str) -> None:
        """Choose how the encoder attends."""
        self.base_model.set_attn_implementation(attention)

    def forward(self, **inputs: Any) -> Answered:
        """The vectors of a batch."""
        states = self.base_model(**inputs)[0]
        return Answered(self.vector(states, inputs["attention_mask"]))

    def vector(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """The vectors [batch, width] of token states [batch, tokens, hidden]."""
        made = pooled(states, attention_mask, self.vectors.pooling)
        if self.dense is not None:
            made = self.dense(made)
            if self.vectors.dense is not None and self.vectors.dense.activation == "tanh":
                made = made.tanh()
        return nn.functional.normalize(made, dim=-1) if self.vectors.normalize else made

    def save_pretrained(self, folder: Path | str) -> None:
        """Write a folder that `SentenceTransformer` loads, without the tokenizer."""
        place = Path(folder)
        self.base_model.save_pretrained(place)
        self._save_modules(place)

    def save_thin(self, folder: Path, kept: Kept) -> None:
        """Write the same of a thin encoder: limbeck loads it, `SentenceTransformer` does not."""
        save_thin(self.base_model, kept, folder)
        self._save_modules(folder)

    def _save_modules(self, place: Path) -> None:
        write_modules(place, self.vectors, self.config)
        if self.dense is not None:
            from safetensors.torch import save_file

            weights = {f"linear.{name}": value for name, value in self.dense.state_dict().items()}
            save_file(weights, place / "2_Dense" / "model.safetensors")


def load_sentence_encoder(
    checkpoint: Checkpoint, *, attention: str, dropout: float | None = None
) -> PreTrainedModel:
    """The checkpoint's sentence encoder in float32, in eval mode, typed as what it stands for.

    A dense layer that the checkpoint lacks, because it is to have another width, is new.

    Raises:
        TeacherError: If weights are missing, or hold NaN.
    """
    from safetensors.torch import load_file
    from transformers import AutoModel

    config = type(checkpoint.config).from_dict(checkpoint.config.to_dict())
    if dropout is not None:
        set_dropout(config, dropout)
    encoder, missing = loaded(
        AutoModel, checkpoint, _bare(config), attention=attention, another_head=False
    )
    missing = [name for name in missing if not name.startswith("pooler.")]
    if missing:
        raise TeacherError(
            checkpoint.path,
            f"{len(missing)} weights are not in the checkpoint, {missing[0]} among them: its "
            "vectors would be random",
            "Give a trained sentence encoder.",
        )
    model = SentenceEncoder(encoder, config)
    if model.dense is not None:
        file = dense_weights(checkpoint.path)
        kept = {} if file is None else load_file(file)
        kept = {name.removeprefix("linear."): value for name, value in kept.items()}
        own = model.dense.state_dict()
        if {n: v.shape for n, v in kept.items()} == {n: v.shape for n, v in own.items()}:
            model.dense.load_state_dict(kept)
    return cast("PreTrainedModel", model.eval())


def write_modules(folder: Path, vectors: Vectors, config: PreTrainedConfig) -> None:
    """Write what sentence-transformers reads beside the encoder."""
    hidden, kinds = int(config.hidden_size), ["Transformer", "Pooling"]
    kinds += ["Dense"] if vectors.dense is not None else []
    kinds += ["Normalize"] if vectors.normalize else []
    write_module_list(folder, kinds)
    modes = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
    pooling = {f"pooling_mode_{name}": mode == vectors.pooling for mode, name in modes.items()}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden} | pooling)
    if vectors.dense is not None:
        tanh = vectors.dense.activation == "tanh"
        facts = {
            "in_features": hidden,
            "out_features": vector_width(config),
            "bias": vectors.dense.bias,
            "activation_function": "torch.nn.modules."
            + ("activation.Tanh" if tanh else "linear.Identity"),
        }
        write_json(folder / "2_Dense" / "config.json", facts)
    longest = {"max_seq_length": vectors.max_tokens, "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", longest)


def write_module_list(folder: Path, kinds: Sequence[str]) -> None:
    """Write which modules of sentence-transformers follow each other; the first lies in `folder`.

    Args:
        folder: Where it is loaded from.
        kinds: Names of its classes.
    """
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": f"{place}_{kind}" if place else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", modules)
    if "Normalize" in kinds:  # versions before 5.0 want the folder, which may be empty
        (folder / f"{kinds.index('Normalize')}_Normalize").mkdir(exist_ok=True)


def _bare(config: PreTrainedConfig) -> PreTrainedConfig:
    """A copy without what is ours: what the encoder keeps and saves."""
    facts = config.to_dict()
    facts.pop(KEY, None)
    own = type(config).from_dict(facts)
    set_vectors(own, None)
    return own


def pooled(states: Tensor, attention_mask: Tensor, pooling: str) -> Tensor:
    """One vector [batch, hidden] of token states [batch, tokens, hidden], padding left out."""
    if pooling == "cls":
        first = attention_mask.argmax(dim=1)[:, None, None].expand(-1, 1, states.shape[-1])
        return states.gather(1, first).squeeze(1)
    real = attention_mask[..., None].to(states.dtype)
    if pooling == "max":
        return states.masked_fill(real == 0, float("-inf")).max(dim=1).values
    return (states * real).sum(1) / real.sum(1).clamp(min=1e-9)
