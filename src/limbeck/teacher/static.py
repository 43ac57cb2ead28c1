"""A table of token vectors, whose mean is a text's vector: sentence-transformers' StaticEmbedding.

It stands where a sentence encoder stands. There are no layers and no positions, every token of a
text counts, and special tokens are not put around it: its tokenizer adds none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from transformers import PreTrainedConfig

from limbeck.errors import TeacherError
from limbeck.files import read_json
from limbeck.teacher.pooling import Vectors, refuse_prompt, set_vectors, vectors_of
from limbeck.teacher.sentence_encoder import Answered, pooled, write_module_list

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from limbeck.teacher.load import Checkpoint

_WEIGHT = "embedding.weight"
_PADDING = ("[PAD]", "<pad>", "[UNK]", "<unk>")
"""Tokens that rows may be filled up with; the filling is not read."""
_NO_LIMIT = 10**6


class StaticConfig(PreTrainedConfig):
    """What a transformers config says, of a table: it has no layers, and one head to be counted."""

    model_type = "static"


def static_config(vocabulary: int, width: int, *, normalize: bool, pad_id: int) -> PreTrainedConfig:
    """The config of a table of `vocabulary` vectors.

    Args:
        vocabulary: Tokens.
        width: Numbers of a vector.
        normalize: Whether the mean is brought to length 1.
        pad_id: What rows are filled up with.
    """
    facts: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": 0,
        "num_attention_heads": 1,
        "intermediate_size": 0,
        "pad_token_id": pad_id,
    }
    config = StaticConfig(**facts)
    set_vectors(config, Vectors("mean", normalize))
    return config


class StaticEncoder(nn.Module):
    """A table of token vectors; it answers to what limbeck asks of a sentence encoder.

    Args:
        config: From `static_config`.
    """

    base_model_prefix = ""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        vectors = vectors_of(config)
        assert vectors is not None
        facts = cast("Any", config)
        self.config = config
        self.vectors = vectors
        self.embedding = nn.Embedding(facts.vocab_size, facts.hidden_size)
        self.layers = nn.ModuleList()

    @property
    def base_model(self) -> StaticEncoder:
        """Itself: nothing stands on top."""
        return self

    @property
    def device(self) -> Any:
        """Where it computes."""
        return self.embedding.weight.device

    def get_input_embeddings(self) -> nn.Embedding:
        """The table."""
        return self.embedding

    def get_output_embeddings(self) -> None:
        """Nothing: no word is guessed."""

    def set_attn_implementation(self, attention: str) -> None:
        """Nothing: no token attends to another."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Answered:
        """The vectors of a batch; 0 for a text without tokens."""
        made = pooled(self.embedding(input_ids), attention_mask, "mean")
        return Answered(nn.functional.normalize(made, dim=-1) if self.vectors.normalize else made)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write a folder that `SentenceTransformer` loads, without the tokenizer."""
        from safetensors.torch import save_file

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        save_file(
            {_WEIGHT: self.embedding.weight.detach().contiguous()}, place / "model.safetensors"
        )
        rest = ["Normalize"] if self.vectors.normalize else []
        write_module_list(place, ["StaticEmbedding", *rest])


def look_at_static(path: str) -> tuple[PreTrainedConfig, PreTrainedTokenizerBase] | None:
    """Config and tokenizer of a folder with a StaticEmbedding, or None if it holds another model.

    Raises:
        TeacherError: For modules behind it, a tokenizer that cuts or cannot pad, or weights of
            another layout: its vectors would be others than those that sentence-transformers gives.
    """
    listed = Path(path) / "modules.json"
    modules = read_json(listed) if listed.exists() else []
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    if kinds[:1] != ["StaticEmbedding"]:
        return None
    if kinds[1:] not in ([], ["Normalize"]):
        raise TeacherError(
            str(listed),
            f"its modules are {', '.join(kinds)}",
            "limbeck knows a StaticEmbedding, alone or with a Normalize after it.",
        )
    refuse_prompt(path)
    place = Path(path) / modules[0]["path"]
    tokenizer = _tokenizer(place / "tokenizer.json")
    vocabulary, width = _shape(place / "model.safetensors")
    config = static_config(
        vocabulary,
        width,
        normalize="Normalize" in kinds,
        pad_id=int(cast("int", tokenizer.pad_token_id)),
    )
    return config, tokenizer


def load_static(checkpoint: Checkpoint) -> PreTrainedModel:
    """The checkpoint's table in float32, in eval mode, typed as what it stands for.

    Raises:
        TeacherError: If it holds NaN.
    """
    import torch
    from safetensors.torch import load_file

    folder = Path(checkpoint.path)
    place = folder / read_json(folder / "modules.json")[0]["path"]
    weights = load_file(place / "model.safetensors")[_WEIGHT].to(torch.float32)
    if not weights.isfinite().all():
        raise TeacherError(
            checkpoint.path,
            f"the weight {_WEIGHT} holds NaN or infinity",
            "Save the model again from a healthy state.",
        )
    model = StaticEncoder(checkpoint.config)
    model.load_state_dict({_WEIGHT: weights})
    return cast("PreTrainedModel", model.eval())


def without_special_tokens(tokenizer: Tokenizer, pad_token: str) -> PreTrainedTokenizerBase:
    """A tokenizer that gives a text's own tokens, all of them: what a StaticEmbedding reads.

    Args:
        tokenizer: Left as it is.
        pad_token: One of its tokens.
    """
    from transformers import PreTrainedTokenizerFast

    own = type(tokenizer).from_str(tokenizer.to_str())
    own.no_padding()
    own.no_truncation()
    own.post_processor = None  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token=pad_token,
        model_input_names=["input_ids", "attention_mask"],
    )


def _tokenizer(file: Path) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer

    if not file.exists():
        raise TeacherError(
            str(file), "there is no such file", "Complete the folder that was saved."
        )
    backend = Tokenizer.from_file(str(file))
    cut = (backend.truncation or {}).get("max_length", _NO_LIMIT)
    if cut < _NO_LIMIT:
        raise TeacherError(
            str(file),
            f"it cuts texts at {cut} tokens, and limbeck gives a StaticEmbedding whole texts",
            'Set "truncation" to null there.',
        )
    known = backend.get_vocab()
    found = next((token for token in _PADDING if token in known), None)
    if found is None:
        raise TeacherError(
            str(file),
            f"it has none of the tokens {', '.join(_PADDING)}, to fill up rows with",
            "Add one to its added_tokens.",
        )
    return without_special_tokens(backend, found)


def _shape(file: Path) -> tuple[int, int]:
    from safetensors import safe_open

    if not file.exists():
        raise TeacherError(
            str(file), "there is no such file", "Save the model anew as safetensors."
        )
    with safe_open(file, "pt") as weights:
        names = list(weights.keys())
        if names != [_WEIGHT]:
            raise TeacherError(
                str(file),
                f"it holds {', '.join(names) or 'nothing'} and not {_WEIGHT} alone",
                "Load it with SentenceTransformer and save it again.",
            )
        rows, width = weights.get_slice(_WEIGHT).get_shape()
    return int(rows), int(width)
